import { describe, expect, it } from 'vitest'
import { comparisonText, compareWith, holds } from '../../bench/baseline.ts'

const baseline = { made: 'today', ratios: { json: 0.9, bulk: 1.5 } }

describe('a short run beside its baseline', () => {
  it.each([
    [{ json: 0.9, bulk: 1.5 }, true],
    [{ json: 2, bulk: 1.01 }, true],
    [{ json: 0.59, bulk: 1.5 }, false],
    [{ json: 0.9, bulk: 0.99 }, false],
    [{ json: 0.9 }, true],
    [{ json: 0.9, bulk: Number.NaN }, true],
    [{ other: 3 }, false],
    [{}, false],
  ])('%j holds: %j', (ratios: Readonly<Record<string, number>>, expected) => {
    expect(holds(compareWith(baseline, ratios))).toBe(expected)
  })

  it('names what fell, what is new and what was not measured', () => {
    const found = compareWith(baseline, { json: 0.3, dns: 1 })
    expect(found.map(({ name, verdict }) => [name, verdict])).toEqual([
      ['json', 'fell'],
      ['bulk', 'not measured'],
      ['dns', 'new'],
    ])
    expect(comparisonText(found)).toBe(
      '  0.30  was   0.90  fell          json\n     –  was   1.50  not measured  bulk\n  1.00  was      –  new           dns\n',
    )
  })
})
