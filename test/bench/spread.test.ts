import { describe, expect, it } from 'vitest'
import { spread, spreads } from '../../bench/spread.ts'

describe('a spread', () => {
  it.each([
    [[3], { median: 3, low: 3, high: 3 }],
    [[9, 1, 5], { median: 5, low: 1, high: 9 }],
    [[5, 1, 4, 2, 3], { median: 3, low: 2, high: 4 }],
    [[2, Number.NaN, 1, 3], { median: 2, low: 1, high: 3 }],
  ])('of %j is its middle, and where its middle half lies', (values, expected) => {
    expect(spread(values)).toEqual(expected)
  })

  it('of nothing is no figure', () => {
    expect(spread([])).toEqual({ median: Number.NaN, low: Number.NaN, high: Number.NaN })
  })

  it('is taken of each figure of some runs by itself', () => {
    const runs = [
      { rate: 10, cpu: Number.NaN },
      { rate: 30, cpu: 2 },
      { rate: 20, cpu: 2 },
    ]
    expect(spreads(runs)).toEqual({ rate: { median: 20, low: 10, high: 30 }, cpu: { median: 2, low: 2, high: 2 } })
    expect(spreads([])).toEqual({})
  })

  it('takes together what was looked at several times', () => {
    expect(spreads([{ started: [5, 1] }, { started: [3] }])).toEqual({ started: { median: 3, low: 1, high: 5 } })
  })
})
