import { Allowances, forwardedQueries, freshNameBytes, TokenBucket } from '#dns/allowance.ts'
import { describe, expect, test } from 'vitest'

test('a bucket gives its burst, then what comes back with time, and never more than its burst', () => {
  const bucket = new TokenBucket({ burst: 3, perSecond: 2 }, 0)
  const takes = (now: number, times: number): number =>
    Array.from({ length: times }, () => bucket.take(1, now)).filter(Boolean).length
  expect(takes(0, 10)).toBe(3)
  expect(takes(1000, 10)).toBe(2)
  expect(takes(60_000, 10)).toBe(3)
})

describe('what one agent may have forwarded', () => {
  test('the same names may be asked often', () => {
    const allowances = new Allowances()
    const given = Array.from({ length: forwardedQueries.burst }, (_, index) => allowances.take('a', `s${index % 20}.svc`, 0))
    expect(given).not.toContain(false)
    expect(allowances.take('a', 's1.svc', 0)).toBe(false)
    expect(allowances.take('a', 's1.svc', 1000)).toBe(true)
  })

  test('new names cost their length, so a tunnel runs dry while known names go on', () => {
    const allowances = new Allowances()
    const name = (index: number): string => `${String(index).padStart(60, 'x')}.svc`
    let bytes = 0
    for (let index = 0; index < 900; index += 1) if (allowances.take('a', name(index), 0)) bytes += name(index).length
    expect(bytes).toBeGreaterThan(freshNameBytes.burst - 64)
    expect(bytes).toBeLessThanOrEqual(freshNameBytes.burst)
    expect(allowances.take('a', name(0), 0)).toBe(true)
  })

  test('another agent is not touched by it', () => {
    const allowances = new Allowances()
    for (let index = 0; index < 2000; index += 1) allowances.take('a', `n${index}.svc`, 0)
    expect(allowances.take('a', 'fresh.svc', 0)).toBe(false)
    expect(allowances.take('b', 'fresh.svc', 0)).toBe(true)
  })
})
