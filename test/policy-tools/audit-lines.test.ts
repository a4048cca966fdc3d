import { describe, expect, it } from 'vitest'
import { AuditTally } from '#policy-tools/audit-lines.ts'
import type { Tallied } from '#policy-tools/audit-lines.ts'
import { auditLine } from '#observe/audit-line.ts'
import { record } from '../observe/records.ts'

function tallied(
  text: string,
  window = {},
  piece = text.length,
): { readonly kinds: readonly Tallied[]; readonly tally: AuditTally } {
  const kinds: Tallied[] = []
  const tally = new AuditTally((kind) => kinds.push(kind), window)
  for (let at = 0; at < text.length; at += Math.max(piece, 1)) tally.push(Buffer.from(text.slice(at, at + piece)))
  tally.end()
  return { kinds, tally }
}

const at = (second: number) => new Date(Date.UTC(2026, 0, 1) + second * 1000).toISOString()

describe('the lines of an audit', () => {
  const lines = [
    record({ id: 'A', time: at(1) }),
    record({ id: 'B', time: at(2), status: 404, duration: 99, upstream: '10.0.0.1' }),
    record({ id: 'C', time: at(3), path: '/other' }),
    record({ id: 'D', time: at(4), credential: 'github' }),
    record({ id: 'E', time: at(5), swaps: [{ credential: 'github', place: 'header:authorization' }] }),
  ]
  const text = lines.map((each) => `${auditLine(each)}\n`).join('')

  it.each([text.length, 100, 7, 1])('count what a decision cannot tell apart once, read %i bytes at a time', (piece) => {
    const { kinds, tally } = tallied(text, {}, piece)
    expect(kinds.map(({ record: { id }, count }) => [id, count])).toEqual([
      ['A', 2],
      ['C', 1],
      ['D', 1],
      ['E', 1],
    ])
    expect([tally.lines, tally.skipped]).toEqual([5, 0])
  })

  it('count those of a window', () => {
    expect(tallied(text, { from: at(2), to: at(4) }).kinds.map(({ record: { id }, count }) => [id, count])).toEqual([
      ['B', 1],
      ['C', 1],
    ])
  })

  it('may lack the last line end, and come as events of NATS', () => {
    const event = JSON.stringify({
      specversion: '1.0',
      type: 'x',
      data: JSON.parse(auditLine(record({ path: '/event' }))) as unknown,
    })
    const { kinds } = tallied(`${event}\n${auditLine(record())}`)
    expect(new Set(kinds.map((kind) => kind.record.path))).toEqual(new Set(['/event', '/user']))
  })

  it('that are none are counted and passed over', () => {
    const odd = [
      '',
      'x',
      '{}',
      '[]',
      'null',
      '{"type":1}',
      '{"id":"a","time":"b","type":"request","swaps":[',
      auditLine(record()),
    ]
    const { kinds, tally } = tallied(`${odd.join('\n')}\n`)
    expect(kinds.length).toBe(1)
    expect(tally.skipped).toBe(6)
  })

  it('tell apart what stands in a text from a field', () => {
    const path = '/a","swaps":["credential":"x'
    const { kinds } = tallied(`${auditLine(record({ path }))}\n${auditLine(record({ path: `${path}y` }))}\n`)
    expect(kinds.map((kind) => kind.record.path)).toEqual([path, `${path}y`])
  })
})
