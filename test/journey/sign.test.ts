import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { Outbound } from '#contracts/upstream.ts'
import type { RequestBody } from '#contracts/request.ts'
import { sign } from '#journey/sign.ts'
import { hashes } from '#vault/hashes.ts'
import { chunked, claimOf, signatureFault } from '../kit/aws.ts'
import { bearerFor, canary, credential, grantOf } from '../kit/credentials.ts'
import { bodyOf, headOf, readAll, valueOf } from './parts.ts'

const accessKeyId = `AKIA${randomBytes(8).toString('hex').toUpperCase()}`
const secret = canary()
const aws = credential('aws', {
  kind: 'aws-sigv4',
  stub: 'AKIASTUBSTUBSTUBSTUB',
  accessKeyId,
  secret: { env: 'KEY' },
  regions: ['us-east-1'],
  services: ['s3', 'bedrock'],
  hosts: ['good.test'],
})
const tools = { now: Date.UTC(2026, 0, 2), hashes }

function outboundOf(headers: readonly string[], service = 's3'): Outbound {
  return {
    head: headOf({ method: 'POST', path: '/a', query: '?b=c' }),
    headers: ['host', 'good.test', 'authorization', claimOf(accessKeyId, { service }), ...headers],
    credentials: ['aws'],
    decode: true,
    upgrade: false,
  }
}

/** Signs, reads what would be sent, and says what the host would find wrong with it. */
async function leave(outbound: Outbound, body: RequestBody | undefined) {
  const leaving = await sign({ outbound, body }, [grantOf(aws, secret)], tools)
  const text = await readAll(leaving.body)
  const arrived = { method: 'POST', target: '/a?b=c', rawHeaders: leaving.outbound.headers, body: Buffer.from(text, 'latin1') }
  return { leaving, text, fault: signatureFault(arrived, { accessKeyId, secret }) }
}

describe('signing', () => {
  it('leaves alone what no credential signs', async () => {
    const outbound = outboundOf([])
    const body = bodyOf(['as it is'])
    const leaving = await sign({ outbound, body }, [grantOf(bearerFor('key', 'stub-of-key'), secret)], tools)
    expect(leaving.outbound).toBe(outbound)
    expect(leaving.body).toBe(body)
  })

  it('keeps everything of a request but the headers it signs', async () => {
    const { leaving, fault } = await leave(outboundOf(['x-kept', '1']), undefined)
    expect(fault).toBeUndefined()
    expect(leaving.body).toBeUndefined()
    expect(leaving.outbound).toMatchObject({ credentials: ['aws'], decode: true, upgrade: false, head: { query: '?b=c' } })
    expect(valueOf(leaving.outbound.headers, 'x-kept')).toBe('1')
    expect(leaving.outbound.headers.join('\n')).not.toContain(secret)
  })

  it('reads a body whole whose hash nobody says, and sends it all the same', async () => {
    const body = { ...bodyOf(['{"a"', ':1}'], ['x-trailer', '1']), length: 7 }
    const { leaving, text, fault } = await leave(outboundOf([], 'bedrock'), body)
    expect(fault).toBeUndefined()
    expect(text).toBe('{"a":1}')
    expect(leaving.body?.length).toBe(7)
    expect(leaving.body?.trailers()).toEqual(['x-trailer', '1'])
  })

  it('lets a body stream whose hash is said', async () => {
    const body = bodyOf(['one', new Error('nobody reads this far')])
    const outbound = outboundOf(['x-amz-content-sha256', 'UNSIGNED-PAYLOAD'])
    const leaving = await sign({ outbound, body }, [grantOf(aws, secret)], tools)
    expect(leaving.body).toBe(body)
  })

  it('signs the chunks of a body anew, at the same length', async () => {
    const sent = chunked('some data that is longer than a chunk', 10)
    const { text, fault } = await leave(
      outboundOf(['x-amz-content-sha256', 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD']),
      bodyOf([sent]),
    )
    expect(fault).toBeUndefined()
    expect(text).toHaveLength(sent.length)
    expect(text).not.toBe(sent)
  })

  it('can be done once more for a body that is sent once more', async () => {
    const outbound = outboundOf([], 'bedrock')
    const first = await leave(outbound, bodyOf(['again']))
    const second = await leave(outbound, bodyOf(['again']))
    expect([first.text, second.text]).toEqual(['again', 'again'])
    expect(second.leaving.outbound.headers).toEqual(first.leaving.outbound.headers)
  })

  it('refuses a body over 8 MiB whose hash nobody says', async () => {
    const body = bodyOf([Buffer.alloc(8 << 20), 'x'])
    await expect(leave(outboundOf([], 'bedrock'), body)).rejects.toMatchObject({ code: 'body_too_large' })
  })
})
