import { describe, expect, it } from 'vitest'
import { errorTable } from '#base/errors.ts'
import type { ErrorCode } from '#base/errors.ts'
import { refusalReply, refuse } from '#journey/respond.ts'
import { Recorder, valueOf } from './parts.ts'

const codes = Object.keys(errorTable) as ErrorCode[]

describe('a refusal', () => {
  it.each(codes)('%s is never 401, says its code, and is as long as it says', (code) => {
    const { status, headers, body } = refusalReply({ code, reason: 'why', requestId: 'id' })
    expect(status).toBeGreaterThanOrEqual(400)
    expect(status).not.toBe(401)
    expect(valueOf(headers, 'content-length')).toBe(String(body.length))
    expect(valueOf(headers, 'proxy-status')).toBe(`iron-proxy; error=${errorTable[code].proxyStatus}; details="${code}"`)
    expect(valueOf(headers, 'cache-control')).toBe('no-store')
    expect(valueOf(headers, 'proxy-authenticate') !== undefined).toBe(status === 407)
  })

  it('has exactly the members that are documented', () => {
    const all = {
      code: 'host_denied',
      reason: 'why — “so”',
      requestId: 'id',
      agent: 'a',
      rule: 'r',
      host: 'good.test',
      method: 'GET',
      path: '/x',
    } as const
    expect(JSON.parse(refusalReply(all).body.toString())).toEqual({
      error: {
        code: 'host_denied',
        message: 'why — “so”',
        agent: 'a',
        rule: 'r',
        host: 'good.test',
        method: 'GET',
        path: '/x',
        request_id: 'id',
        hint: errorTable.host_denied.hint,
      },
    })
    expect(JSON.parse(refusalReply({ code: 'internal', reason: 'x', requestId: 'id' }).body.toString())).toMatchObject({
      error: { agent: null, rule: null, host: null, method: null, path: null },
    })
  })

  it('is said once, and breaks off what had begun', () => {
    const client = new Recorder()
    expect(refuse(client, { code: 'host_denied', reason: 'x', requestId: 'id' })).toBe(403)
    expect([client.status, client.trailers, client.aborted]).toEqual([403, [], 0])
    expect(refuse(client, { code: 'internal', reason: 'x', requestId: 'id' })).toBe(0)
    expect([client.status, client.aborted]).toEqual([403, 1])
  })
})
