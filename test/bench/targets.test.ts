import { describe, expect, it } from 'vitest'
import { judge, lookInto, targets } from '../../bench/targets.ts'
import type { Target } from '../../bench/targets.ts'
import type { Table } from '../../bench/types.ts'

const one = (median: number) => ({ median, low: median, high: median })
const table = (name: string, of: string, rows: Readonly<Record<string, Readonly<Record<string, number>>>>): Table => ({
  name,
  title: name,
  measures: {},
  notes: [],
  rows: Object.entries(rows).map(([contender, figures]) => ({
    of,
    contender,
    figures: Object.fromEntries(Object.entries(figures).map(([key, median]) => [key, one(median)])),
  })),
})
const target = (says: string): Target => {
  const found = targets.find((each) => each.says === says)
  if (!found) throw new Error(`there is no target ${says}`)
  return found
}
const judged = (says: string, ...tables: readonly Table[]) => judge(lookInto(tables), [target(says)])[0]

describe('a target', () => {
  it.each([
    ['met', 25_000, '2.50×'],
    ['met', 20_000, '2.00×'],
    ['not met', 19_900, '1.99×'],
  ])('is %s at a rate of %i over 10,000', (verdict, rate, reached) => {
    const json = table('json', '64 connections', { 'iron-proxy': { rate }, 'http-mitm-proxy': { rate: 10_000 } })
    expect(judged('JSON: rate over http-mitm-proxy', json)).toEqual({
      says: 'JSON: rate over http-mitm-proxy',
      wanted: '≥ 2×',
      sketch: '(2.15×)',
      reached,
      verdict,
    })
  })

  it.each([
    ['met', 18, '18 µs'],
    ['met', 20.4, '20 µs'],
    ['not met', 21, '21 µs'],
  ])('that is a ceiling is %s at %d', (verdict, added, reached) => {
    const json = table('json', '1 connection', { 'iron-proxy': { p50: 100 + added }, 'HAProxy (TCP, unopened)': { p50: 100 } })
    expect(judged('added to HAProxy at 1 connection, p50', json)).toMatchObject({ wanted: '≤ 20 µs', reached, verdict })
  })

  it('is not measured where a figure is missing, whichever it is', () => {
    const alone = table('json', '64 connections', { 'iron-proxy': { rate: 1 } })
    expect(judged('JSON: rate over mitmproxy', alone)).toMatchObject({ reached: '–', verdict: 'not measured' })
    expect(judged('JSON: rate over mitmproxy')).toMatchObject({ verdict: 'not measured' })
    // What JSON.stringify makes of NaN.
    const read = JSON.parse(JSON.stringify(table('json', '64 connections', { 'iron-proxy': { cpu: Number.NaN } }))) as Table
    expect(judged('moonshot: CPU of a JSON request', read)).toMatchObject({ verdict: 'not measured' })
  })
})

describe('the targets', () => {
  it('each say something of their own', () => {
    expect(new Set(targets.map(({ says }) => says)).size).toBe(targets.length)
  })
})
