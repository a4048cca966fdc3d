import { describe, expect, it } from 'vitest'
import { durationOf, sizeOf } from '../../../../deploy/agent/supervisor/units.ts'

describe('units', () => {
  it.each([
    ['30s', 30_000],
    ['1h30m', 5_400_000],
    ['1.5h', 5_400_000],
    ['250ms', 250],
    ['0', 0],
    ['+5s', 5000],
    ['.5s', 500],
    ['5.s', 5000],
    ['1500us', 1.5],
    ['2µs', 0.002],
    ['1000000ns', 1],
    ['1m.5s', 60_500],
    ['.s', undefined],
    ['++5s', undefined],
    ['1d', undefined],
    ['+', undefined],
    ['30', undefined],
    ['', undefined],
    ['5 s', undefined],
    ['-5s', undefined],
  ])('the duration %s', (text, expected) => {
    expect(durationOf(text)).toBe(expected)
  })

  it.each([
    ['2GiB', 2 * 1024 ** 3],
    ['1.5MB', 1_500_000],
    ['1000', 1000],
    ['512 KiB', 524_288],
    ['2TiB', undefined],
    ['lots', undefined],
  ])('the size %s', (text, expected) => {
    expect(sizeOf(text)).toBe(expected)
  })
})
