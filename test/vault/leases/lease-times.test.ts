import { describe, expect, test } from 'vitest'
import { Secret } from '#base/secret.ts'
import { deadAt, pauseAfter, phaseOf, refreshAt } from '#vault/leases/lease-times.ts'
import type { HeldLease } from '#vault/leases/lease-times.ts'
import { hour, minute, second } from '../keeping.ts'

/** Granted at 0; expires after `life`. */
const held = (life: number | undefined, since: number | undefined = 0): HeldLease => ({
  pair: { access: new Secret('access', ''), refresh: undefined, expiresAt: life, scopes: undefined },
  generation: 1,
  since,
})

describe('a pair', () => {
  test.each([
    ['of a day', held(24 * hour), 24 * hour - 144 * minute, 24 * hour - 30 * second],
    ['of an hour', held(hour), hour - 6 * minute, hour - 30 * second],
    ['of twenty minutes', held(20 * minute), 15 * minute, 19.5 * minute],
    ['of a minute', held(minute), 30 * second, 45 * second],
    ['of a seed', { ...held(hour), since: undefined }, 55 * minute, hour - 30 * second],
    ['granted after its own expiry', held(hour, 2 * hour), 55 * minute, hour - 30 * second],
  ])('%s is fresh, stale and dead in time', (_, pair, stale, dead) => {
    expect(phaseOf(pair, stale - 1)).toBe('fresh')
    expect(phaseOf(pair, stale)).toBe('stale')
    expect(phaseOf(pair, dead - 1)).toBe('stale')
    expect(phaseOf(pair, dead)).toBe('dead')
    expect(deadAt(pair)).toBe(dead)
    expect(refreshAt(pair, 0)).toBe(stale)
    expect(refreshAt(pair, 1)).toBeGreaterThan(stale)
    expect(refreshAt(pair, 1)).toBeLessThan(dead)
  })

  test('that does not say when it expires is always fresh', () => {
    expect(phaseOf(held(undefined), Number.MAX_SAFE_INTEGER)).toBe('fresh')
    expect([deadAt(held(undefined)), refreshAt(held(undefined), 0.5)]).toEqual([Infinity, Infinity])
  })
})

describe('a pause', () => {
  const failure = { failures: 1, life: hour, after: 0, unsure: false }
  test.each([
    ['is short at first', failure, 2 * second],
    ['doubles', { ...failure, failures: 4 }, 16 * second],
    ['grows to five minutes', { ...failure, failures: 500 }, 5 * minute],
    ['does not go past the end of the pair', { ...failure, failures: 500, life: 2 * minute }, 2 * minute],
    ['stays short while requests fail', { ...failure, failures: 500, life: 0 }, 30 * second],
    ['is as long as the server asks', { ...failure, after: 20 * minute }, 20 * minute],
    ['is not longer than an hour whatever the server asks', { ...failure, after: 24 * hour }, hour],
    ['is a minute where the pair may be spent', { ...failure, life: 0, unsure: true }, minute],
    ['ends with the pair where that may be spent', { ...failure, life: 20 * second, unsure: true }, 20 * second],
  ])('%s', (_, given, expected) => {
    expect(pauseAfter(given, 1)).toBe(expected)
    expect(pauseAfter(given, 0)).toBeGreaterThanOrEqual(expected / 2)
  })
})
