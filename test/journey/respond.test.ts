import { describe, expect, it } from 'vitest'
import { errorTable, lasting } from '#base/errors.ts'
import type { ErrorCode } from '#base/errors.ts'
import { refusalReply, refuse } from '#journey/respond.ts'
import { providers } from '#providers/index.ts'
import { hostOf } from '../kit/policy.ts'
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

  it('that waiting cannot help says so, and names no time to wait', () => {
    for (const code of lasting) {
      const { headers } = refusalReply({ code, reason: 'why', requestId: 'id' })
      expect([code, valueOf(headers, 'x-should-retry'), valueOf(headers, 'retry-after')]).toEqual([code, 'false', undefined])
    }
  })

  it.each(['credential_unavailable', 'ledger_unavailable', 'shutting_down'] as const)(
    '%s says when to try again: it passes without an operator',
    (code) => {
      const { status, headers } = refusalReply({ code, reason: 'why', requestId: 'id' })
      expect([status, valueOf(headers, 'retry-after'), valueOf(headers, 'x-should-retry')]).toEqual([503, '5', undefined])
    },
  )

  it.each(
    providers.flatMap((provider) =>
      [...lasting, 'host_denied' as const, 'stub_misplaced' as const].map(
        (code) => [provider.id, code, provider.speech] as const,
      ),
    ),
  )('to clients of %s, %s is an error of theirs that they do not try again', (_id, code, speech) => {
    const client = new Recorder()
    const call = { host: 'llm.test', method: 'POST', path: '/', query: '', upgrade: false }
    const status = refuse(client, { code, reason: 'why', requestId: 'id-7' }, { speech, call, header: () => undefined })
    expect([400, 403]).toContain(status)
    expect(valueOf(client.headers, 'retry-after')).toBeUndefined()
    for (const said of [code, 'why', errorTable[code].hint, 'id-7']) expect(client.text).toContain(said)
  })

  const keptStatus = ['body_too_large', 'misdirected', 'upstream_timeout', 'upstream_unreachable', 'internal'] as const
  it.each(providers.flatMap((provider) => keptStatus.map((code) => [provider.id, code, provider.speech] as const)))(
    'to clients of %s, %s keeps its status, also where the body says it',
    (_id, code, speech) => {
      const client = new Recorder()
      const call = { host: 'llm.test', method: 'POST', path: '/', query: '', upgrade: false }
      const { status } = errorTable[code]
      expect(refuse(client, { code, reason: 'why', requestId: 'id' }, { speech, call, header: () => undefined })).toBe(status)
      const { error = {} } = JSON.parse(client.text) as { error?: { code?: unknown } }
      if (typeof error.code === 'number') expect(error.code).toBe(status)
    },
  )

  it.each([
    ['npm', 'npm/11.0.0 node/v24.0.0 linux x64', 403],
    ['pip', 'pip/25.0', 403],
    ['docker', 'docker/28.0.0 go/1.24', 403],
    ['boto3', 'Boto3/1.40.0', 403],
    ['octokit', 'octokit-rest.js/22', 403],
    ['git', 'git/2.47.0', 503],
    ['curl', 'curl/8.14.1', 503],
  ])('that waiting cannot help is no 5xx to %s where it would ask again for a minute', (_who, agent, status) => {
    const asking = { host: hostOf('registry.test'), path: '/left-pad', query: '', headers: ['user-agent', agent] }
    const replyTo = (code: ErrorCode) => refusalReply({ code, reason: 'why', requestId: 'id', asking }).status
    expect(replyTo('needs_login')).toBe(status)
    expect(replyTo('credential_unavailable')).toBe(503)
    expect(replyTo('host_denied')).toBe(403)
  })

  it('is said once, and breaks off what had begun', () => {
    const client = new Recorder()
    expect(refuse(client, { code: 'host_denied', reason: 'x', requestId: 'id' })).toBe(403)
    expect([client.status, client.trailers, client.aborted]).toEqual([403, [], 0])
    expect(refuse(client, { code: 'internal', reason: 'x', requestId: 'id' })).toBe(0)
    expect([client.status, client.aborted]).toEqual([403, 1])
  })
})
