import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { ProxyError } from '#base/errors.ts'
import { chunkSigning, resignChunks } from '#credentials/aws/chunks.ts'
import { awsSigner } from '#credentials/aws/signer.ts'
import { hashes } from '#vault/hashes.ts'
import { example } from '../../kit/aws.ts'

const placeholder = '0'.repeat(64)
const signer = () => awsSigner({ ...example.key, region: 'us-east-1', service: 's3' }, { now: example.time, hashes })

async function* cut(text: string, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < text.length; at += size) yield Buffer.from(text.slice(at, at + size), 'latin1')
}

/** Signs a body anew that comes in pieces of so many bytes. */
async function resigned(text: string, options: { trailer?: boolean; seed?: string; most?: number; size?: number } = {}) {
  const { trailer = false, seed = placeholder, most = 1 << 20, size = 1000 } = options
  let out = ''
  for await (const bytes of resignChunks(cut(text, size), { trailer, seed, most }, await signer()))
    out += Buffer.from(bytes).toString('latin1')
  return out
}

const signatures = (text: string): readonly string[] =>
  [...text.matchAll(/signature[=:]([0-9a-f]{64})/g)].map(([, hex = '']) => hex)
const chunk = (data: string): string => `${data.length.toString(16)};chunk-signature=${placeholder}\r\n${data}${data && '\r\n'}`
const upload = chunk('a'.repeat(65_536)) + chunk('a'.repeat(1024)) + chunk('')

describe('a body in signed chunks', () => {
  it.each([1, 7, 1000, 1 << 20])('has the signatures of the provider’s example, in pieces of %d bytes', async (size) => {
    const text = await resigned(`${upload}\r\n`, { seed: example.chunks.seed, size })
    expect(signatures(text)).toEqual(example.chunks.signatures)
    expect(text.replaceAll(/signature=[0-9a-f]{64}/g, `signature=${placeholder}`)).toBe(`${upload}\r\n`)
  })

  it.each(['\r\n', '\n', '\n\r\n'])(
    'has the provider’s signature under its trailer too, with %j between the fields',
    async (end) => {
      const sent = `${upload}x-amz-checksum-crc32c:sOO8/Q==${end}x-amz-trailer-signature:${placeholder}\r\n\r\n`
      const text = await resigned(sent, { trailer: true, seed: example.trailer.seed })
      expect(signatures(text)).toEqual(example.trailer.signatures)
      expect(text).toHaveLength(sent.length)
      expect(text.endsWith('\r\n\r\n')).toBe(true)
    },
  )

  it('passes any bytes as they are, in chunks of any length', async () => {
    const data = [1, 9, 4096, 70_000].map((length) => randomBytes(length).toString('latin1'))
    const sent = `${data.map(chunk).join('')}${chunk('')}\r\n`
    const text = await resigned(sent)
    expect(text).toHaveLength(sent.length)
    expect(text.replaceAll(/signature=[0-9a-f]{64}\r\n/g, `signature=${placeholder}\r\n`)).toBe(sent)
  })

  it('gives a chunk away before it asks for the next', async () => {
    let asked = 0
    async function* source(): AsyncGenerator<Uint8Array> {
      for (const data of ['one', 'two', '']) {
        asked += 1
        yield Buffer.from(data === '' ? `${chunk('')}\r\n` : chunk(data))
      }
    }
    const out = resignChunks(source(), { trailer: false, seed: placeholder, most: 100 }, await signer())
    await out.next()
    expect(asked).toBe(1)
  })

  it('tells its source when nobody reads on', async () => {
    let ended = false
    async function* source(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) yield Buffer.from(chunk('more'))
      } finally {
        ended = true
      }
    }
    const out = resignChunks(source(), { trailer: false, seed: placeholder, most: 100 }, await signer())
    await out.next()
    await out.return(undefined)
    expect(ended).toBe(true)
  })

  const end = `${chunk('')}\r\n`
  it.each([
    ['that has no chunks', 'just bytes', 'malformed_request'],
    ['that is empty', '', 'malformed_request'],
    ['whose chunks are not signed', '3\r\nabc\r\n0\r\n\r\n', 'malformed_request'],
    ['whose chunk is longer than it says', chunk('abc').replace('abc', 'abcd') + end, 'malformed_request'],
    ['that ends within a chunk', chunk('abc').slice(0, -4), 'malformed_request'],
    ['that has no last chunk', chunk('abc'), 'malformed_request'],
    ['that goes on after its last chunk', `${end}more`, 'malformed_request'],
    [
      'with a trailer it has not announced',
      `${chunk('')}a:b\r\nx-amz-trailer-signature:${placeholder}\r\n\r\n`,
      'malformed_request',
    ],
    ['whose chunk begins with a very long line', `3;${'x'.repeat(5000)}`, 'malformed_request'],
    ['whose chunk is longer than may be held', chunk('a'.repeat(101)) + end, 'body_too_large'],
    ['whose chunk says it is longer than anything', `ffffffff;chunk-signature=${placeholder}\r\n`, 'body_too_large'],
  ])('is refused when it is one %s', async (_what, text, code) => {
    await expect(resigned(text, { most: 100 })).rejects.toMatchObject({ code })
    await expect(resigned(text, { most: 100 })).rejects.toBeInstanceOf(ProxyError)
  })

  it.each([
    ['is missing', '\r\n'],
    ['is not signed', 'x-amz-checksum-crc32c:sOO8/Q==\r\n\r\n'],
    ['is very long', `x-amz-meta-a:${'x'.repeat(20_000)}\r\nx-amz-trailer-signature:${placeholder}\r\n\r\n`],
  ])('is refused when the trailer it announces %s', async (_what, trailer) => {
    await expect(resigned(`${chunk('abc')}${chunk('')}${trailer}`, { trailer: true })).rejects.toMatchObject({
      code: 'malformed_request',
    })
  })

  it.each([
    ['STREAMING-AWS4-HMAC-SHA256-PAYLOAD', { trailer: false }],
    ['STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER', { trailer: true }],
    ['STREAMING-UNSIGNED-PAYLOAD-TRAILER', undefined],
    ['STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD', undefined],
    ['UNSIGNED-PAYLOAD', undefined],
  ])('is announced by %s: %j', (declared, expected) => {
    expect(chunkSigning(declared)).toEqual(expected)
  })
})
