import type { Address } from '#base/address.ts'
import { distinctNames, QuestionLog, windowLength } from '#dns/question-log.ts'
import type { AskedQuestion } from '#dns/question-log.ts'
import type { AuditRecord } from '#contracts/audit-record.ts'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { ManualClock } from '../kit/clock.ts'

const asking: AskedQuestion = {
  agent: 'devbot',
  peer: '127.0.1.1' as Address,
  proto: 'udp',
  name: 'good.test',
  qtype: 'A',
  rcode: 'NOERROR',
  finding: { outcome: 'intercept', verdict: 'allow', rule: 'good' },
  bytesUp: 30,
  bytesDown: 46,
  duration: 0.5,
  policyHash: 'a1',
}

let records: AuditRecord[]
let clock: ManualClock
let tally: QuestionLog
beforeEach(() => {
  vi.useFakeTimers()
  records = []
  clock = new ManualClock()
  let next = 0
  tally = new QuestionLog({
    audit: { write: (record) => void records.push(record) },
    ids: { next: () => `id-${(next += 1)}` },
    clock,
  })
})
afterEach(() => vi.useRealTimers())

const total = (): number => records.reduce((sum, { count = 0 }) => sum + count, 0)

describe('the tally', () => {
  test('writes the first of its kind at once, whole', () => {
    tally.count(asking)
    expect(records).toEqual([
      {
        id: 'id-1',
        time: '2026-01-01T00:00:00.000Z',
        type: 'dns',
        event: 'exchange',
        agent: 'devbot',
        peer: '127.0.1.1',
        door: 'dns',
        protocol: 'dns',
        host: 'good.test',
        rule: 'good',
        verdict: 'allow',
        swaps: [],
        bytesUp: 30,
        bytesDown: 46,
        duration: 0.5,
        policyHash: 'a1',
        dns: { qtype: 'A', rcode: 'NOERROR', outcome: 'intercept', proto: 'udp' },
        count: 1,
      },
    ])
  })

  test('counts repeats and writes them once when the window ends', () => {
    for (let times = 0; times < 5; times += 1) tally.count({ ...asking, duration: times })
    expect(records).toHaveLength(1)
    vi.advanceTimersByTime(windowLength)
    expect(records).toHaveLength(2)
    expect(records[1]).toMatchObject({ id: 'id-2', host: 'good.test', count: 4, bytesUp: 120, bytesDown: 184, duration: 2.5 })
    vi.advanceTimersByTime(windowLength)
    expect(records).toHaveLength(2)
  })

  test('writes nothing more for what was asked once', () => {
    tally.count(asking)
    vi.advanceTimersByTime(2 * windowLength)
    expect(records).toHaveLength(1)
  })

  test.each<[string, Partial<AskedQuestion>]>([
    ['agent', { agent: 'infrabot' }],
    ['name', { name: 'other.test' }],
    ['type', { qtype: 'AAAA' }],
    ['response code', { rcode: 'SERVFAIL' }],
    ['transport', { proto: 'tcp' }],
    ['outcome', { finding: { outcome: 'nodata', verdict: 'allow' } }],
    ['verdict', { finding: { outcome: 'intercept', verdict: 'would_deny', code: 'host_denied' } }],
  ])('keeps questions of another %s apart', (_, change) => {
    tally.count(asking)
    tally.count({ ...asking, ...change })
    expect(records).toHaveLength(2)
  })

  test('keeps addresses apart that are no agent’s', () => {
    tally.count({ ...asking, agent: undefined })
    tally.count({ ...asking, agent: undefined, peer: '127.0.9.2' as Address })
    expect(records.map(({ agent, peer }) => [agent, peer])).toEqual([
      [null, '127.0.1.1'],
      [null, '127.0.9.2'],
    ])
  })

  test('ends the window when the policy changes, so that no record speaks for two', () => {
    tally.count(asking)
    tally.count(asking)
    tally.count({ ...asking, policyHash: 'b2' })
    expect(records.map(({ policyHash, count }) => [policyHash, count])).toEqual([
      ['a1', 1],
      ['a1', 1],
      ['b2', 1],
    ])
  })

  test('stays small under a flood of names, loses no question, and leaves other agents their names', () => {
    const flood = 5000
    for (let index = 0; index < flood; index += 1) tally.count({ ...asking, name: `n${index}.evil.test` })
    expect(records).toHaveLength(distinctNames.agent + 1)
    expect(records.at(-1)?.host).toBeUndefined()
    tally.count({ ...asking, agent: 'infrabot' })
    expect(records.at(-1)?.host).toBe('good.test')
    tally.flush()
    expect(total()).toBe(flood + 1)
    expect(records).toHaveLength(distinctNames.agent + 3)
  })

  test('holds a bound over all agents', () => {
    for (let agent = 0; agent < 100; agent += 1) {
      for (let index = 0; index < 100; index += 1) tally.count({ ...asking, agent: `agent-${agent}`, name: `n${index}.test` })
    }
    expect(records.filter(({ host }) => host !== undefined)).toHaveLength(distinctNames.everyone)
    tally.flush()
    expect(total()).toBe(10_000)
  })
})
