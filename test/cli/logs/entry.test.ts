import { describe, expect, it } from 'vitest'
import { entryText } from '#cli/logs/entry.ts'
import type { AuditRecord } from '#contracts/audit-record.ts'
import { remedyOf } from '#timeline/remedy.ts'

const base: AuditRecord = {
  id: '01TEST',
  time: '2026-01-02T03:04:05.678Z',
  type: 'request',
  event: 'exchange',
  agent: 'coder',
  peer: '127.0.0.1',
  door: 'https',
  protocol: 'h2',
  method: 'GET',
  scheme: 'https',
  host: 'api.github.com',
  port: 443,
  path: '/user',
  verdict: 'allow',
  swaps: [],
  bytesUp: 0,
  bytesDown: 0,
  duration: 1,
}

describe('an entry', () => {
  it.each<[string, Partial<AuditRecord>, string]>([
    [
      'what was swapped and what it cost',
      {
        status: 200,
        swaps: [{ credential: 'github', place: 'header:authorization' }],
        usage: { meter: 'anthropic', model: 'claude', input: 1200, output: 34, usd: 0.0123 },
      },
      '03:04:05 coder      allow GET api.github.com /user 200 swap github 1,234 tokens 0.0123 USD 01TEST',
    ],
    ['a port that is not the usual one', { port: 8443 }, '03:04:05 coder      allow GET api.github.com:8443 /user 01TEST'],
    ['plain HTTP', { scheme: 'http', port: 80 }, '03:04:05 coder      allow GET http://api.github.com /user 01TEST'],
    [
      'a tunnel',
      { type: 'tunnel', event: 'open', method: undefined, path: undefined },
      '03:04:05 coder      allow tunnel api.github.com open 01TEST',
    ],
    [
      'a DNS question',
      { type: 'dns', dns: { qtype: 'A', rcode: 'NOERROR', outcome: 'sinkhole', proto: 'udp' } },
      '03:04:05 coder      allow dns A api.github.com sinkhole 01TEST',
    ],
    [
      'a login that ended',
      { type: 'credential', event: 'needs_login', agent: null, credential: 'claude', verdict: 'error' },
      '03:04:05 -          error credential needs_login claude 01TEST',
    ],
  ])('shows %s', (_name, record, text) => {
    expect(entryText({ ...base, ...record }, false)).toBe(text)
  })

  it('of a refusal has the rule that would allow it, which loads', () => {
    const denied = { ...base, verdict: 'deny', code: 'request_denied', status: 403 } as const
    expect(entryText(denied, false).split('\n')[1]?.trim()).toBe(
      'would allow it: - {id: api-github-com, agents: [coder], hosts: [api.github.com], methods: [GET], paths: ["/user"]}; or: iron-proxy allow api.github.com --agent coder',
    )
  })

  it.each<[string, Partial<AuditRecord>, string | undefined]>([
    ['a rule refuses on purpose', { verdict: 'deny', code: 'rule_denied' }, undefined],
    ['nobody is known to ask', { verdict: 'deny', code: 'host_denied', agent: null }, undefined],
    ['another thing is wrong', { verdict: 'deny', code: 'budget_exhausted' }, expect.any(String)],
    ['all is well', {}, undefined],
  ])('names no rule where %s', (_name, record, remedy) => {
    const said = remedyOf({ ...base, ...record })
    expect(said).toEqual(remedy)
    expect(said ?? '').not.toContain('would allow it')
  })

  it('is coloured only where that is asked for', () => {
    expect(entryText(base, true)).toContain('\u001B[32mallow')
    expect(entryText(base, false)).not.toContain('\u001B')
  })
})
