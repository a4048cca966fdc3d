import { describe, expect, it } from 'vitest'
import { settle, trace } from '#journey/settle.ts'
import type { Arrival } from '#contracts/request.ts'
import type { AuditRecord, Outcome } from '#contracts/audit-record.ts'
import { ManualClock } from '../kit/clock.ts'
import { hostOf } from '../kit/policy.ts'
import { addressOf, arrivalOf } from './parts.ts'

const peer = { address: addressOf('127.0.0.1'), port: 1 }

function record(
  arrival: Arrival,
  outcome: Outcome = { kind: 'replied' },
  change: (seen: ReturnType<typeof trace>) => void = () => {},
): AuditRecord {
  const clock = new ManualClock(Date.UTC(2026, 0, 1))
  const seen = trace(arrival, { clock, ids: { next: () => 'id' } })
  clock.advance(12.345678)
  change(seen)
  return settle(seen, outcome, 'exchange', clock)
}

describe('the record', () => {
  it.each<[Outcome, Partial<AuditRecord>]>([
    [{ kind: 'replied' }, { verdict: 'allow', code: undefined }],
    [
      { kind: 'denied', denial: { kind: 'deny', code: 'host_denied', reason: 'why' } },
      { verdict: 'deny', code: 'host_denied', reason: 'why' },
    ],
    [
      { kind: 'failed', code: 'upstream_reset', detail: 'gone' },
      { verdict: 'error', code: 'upstream_reset', reason: 'gone' },
    ],
    [
      { kind: 'aborted', by: 'agent' },
      { verdict: 'allow', code: 'client_closed' },
    ],
    [
      { kind: 'aborted', by: 'policy' },
      { verdict: 'allow', code: 'policy_changed' },
    ],
    [
      { kind: 'aborted', by: 'shutdown' },
      { verdict: 'allow', code: 'shutting_down' },
    ],
  ])('of %j', (outcome, expected) => {
    expect(record(arrivalOf(), outcome)).toMatchObject(expected)
  })

  it('of what the policy would have refused says so, and why', () => {
    const denial = { kind: 'deny', code: 'host_denied', reason: 'why' } as const
    const would = (outcome: Outcome) => record(arrivalOf(), outcome, (seen) => (seen.wouldDeny = denial))
    expect(would({ kind: 'replied' })).toMatchObject({ verdict: 'would_deny', code: 'host_denied', reason: 'why' })
    expect(would({ kind: 'failed', code: 'upstream_reset' })).toMatchObject({ verdict: 'error', code: 'upstream_reset' })
  })

  it('of a request never holds its query, its headers or more than it needs', () => {
    const written = JSON.stringify(record(arrivalOf({ path: '/p', query: '?token=x', headers: ['authorization', 'y'] })))
    expect(written).not.toMatch(/token|authorization/)
    expect(JSON.parse(written)).toMatchObject({
      id: 'id',
      time: '2026-01-01T00:00:00.000Z',
      type: 'request',
      agent: null,
      path: '/p',
      duration: 12.346,
      protocol: 'http/1.1',
    })
  })

  it.each<[Arrival, Partial<AuditRecord>]>([
    [arrivalOf({}, { kind: 'upgrade' }), { type: 'upgrade', protocol: 'websocket', host: 'good.test' }],
    [
      { kind: 'tunnel', door: 'proxy', peer, target: { scheme: 'https', host: hostOf('good.test'), port: 8443 } },
      { type: 'tunnel', protocol: 'tcp', host: 'good.test', port: 8443 },
    ],
    [
      { kind: 'broken', door: 'https', peer, code: 'tls_no_sni', detail: '', protocol: 'tls' },
      { type: 'tls', protocol: 'tls' },
    ],
    [
      { kind: 'broken', door: 'http', peer, code: 'bad_host', detail: '', protocol: 'http/1.1', parent: 'outer' },
      { type: 'request', parent: 'outer' },
    ],
  ])('says what kind it is', (arrival, expected) => {
    expect(record(arrival)).toMatchObject(expected)
  })

  it('knows when the reply began', () => {
    expect(record(arrivalOf()).ttfb).toBeUndefined()
    expect(record(arrivalOf(), { kind: 'replied' }, (seen) => (seen.repliedAt = 7.00049)).ttfb).toBe(7)
  })
})
