import { Secret } from '#base/secret.ts'
import type { Pair } from '#credentials/lease.ts'
import type { KeptGrant } from '#contracts/grants.ts'

/** A pair whose halves tell which generation they are of. */
export function pairOf(generation: number, extra = ''): Pair {
  return {
    access: new Secret('access', `access ${generation} ${extra}`),
    refresh: new Secret('refresh', `refresh ${generation} ${extra}`),
    expiresAt: 1_000_000 + generation,
    scopes: ['read', `scope-${generation}`],
  }
}

/** What is in a pair, fit for comparing: a Secret hides its value from `toEqual`. */
export function shown(pair: Pair | undefined): unknown {
  return pair && { ...pair, access: pair.access.expose(), refresh: pair.refresh?.expose() }
}

/** The same for what a store gives. */
export function shownGrant(kept: KeptGrant | undefined): unknown {
  return kept && { ...kept, pair: shown(kept.pair) }
}
