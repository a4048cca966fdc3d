import { describe, expect, it } from 'vitest'
import { judgements, report, tableText } from '../../bench/report.ts'
import type { Results, Table } from '../../bench/types.ts'

const exactly = (median: number) => ({ median, low: median, high: median })
const json: Table = {
  name: 'json',
  title: 'Small replies',
  measures: { rate: { says: 'requests/s', unit: '' }, cpu: { says: 'CPU', unit: 'µs', digits: 1 } },
  compare: { measure: 'rate', better: 'more' },
  rows: [
    {
      of: '64 connections',
      contender: 'iron-proxy',
      figures: { rate: { median: 20_000, low: 19_000, high: 21_000 }, cpu: exactly(40) },
    },
    { of: '64 connections', contender: 'mitmproxy', figures: { rate: exactly(1000), cpu: exactly(Number.NaN) } },
  ],
  notes: ['mockttp is left out: it said\nnothing'],
}

describe('a table', () => {
  it('compares each row with ours, and shows medians with their spread', () => {
    expect(tableText(json)).toBe(`|  |  | iron-proxy ÷ it, requests/s | requests/s | CPU, µs |
| --- | --- | --- | --- | --- |
| 64 connections | iron-proxy |  | 20,000 (19,000 to 21,000) | 40.0 |
|  | mitmproxy | 20.00 | 1,000 | – |

Above 1, iron-proxy is the better one.

- mockttp is left out: it said nothing
`)
  })

  it('compares with its first row where ours has another name', () => {
    const rows = [
      { of: 'all', contender: 'on', figures: { cpu: exactly(3) } },
      { of: 'all', contender: 'off | never', figures: { cpu: exactly(2) } },
    ]
    const text = tableText({
      ...json,
      rows,
      compare: { measure: 'cpu', better: 'less' },
      measures: { cpu: { says: 'CPU', unit: 'µs' } },
    })
    expect(text).toContain('on ÷ it, CPU')
    expect(text).toContain(String.raw`|  | off \| never | 1.50 | 2 |`)
    expect(text).toContain('Below 1, on is the better one.')
  })

  it('is its notes where it has no rows', () => {
    expect(tableText({ ...json, rows: [] })).toBe('- mockttp is left out: it said nothing\n')
  })
})

describe('the report', () => {
  const results: Results = {
    date: '2026-01-02',
    machine: 'a machine, 2 cores',
    versions: { squid: '5.7' },
    leftOut: ['mockttp, not installed'],
    seconds: 840,
    tables: [json],
  }

  it('says when, where and with what, the targets first and then each table', () => {
    const text = report(results)
    const places = [
      '2026-01-02 in 14 minutes: a machine, 2 cores',
      '- squid: 5.7',
      'Left out: mockttp, not installed.',
      '## Targets',
      '## Small replies',
    ].map((each) => text.indexOf(each))
    expect(places.every((place) => place >= 0)).toBe(true)
    expect(places).toEqual(places.toSorted((a, b) => a - b))
  })

  it('names a target that is not met so that it is seen', () => {
    const text = judgements([json])
    expect(text).toContain('| JSON: rate over mitmproxy | ≥ 22× (23×) | 20.00× | **not met** |')
    expect(text).toContain('| JSON: rate over squid | ≥ 1.25× (1.23×) | – | not measured |')
  })
})
