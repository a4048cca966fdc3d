/** When a lease needs what. All times in milliseconds. */
import type { Pair } from '#credentials/lease.ts'

/** A pair that is held, whether in force or not. */
export interface HeldLease {
  readonly pair: Pair
  readonly generation: number
  /** Since the epoch, when it was granted; `undefined`: a seed or a login, which do not say. */
  readonly since: number | undefined
}

/** `fresh`: good. `stale`: good, and time to get the next. `dead`: not to be used, not even for a request on its way. */
export type Phase = 'fresh' | 'stale' | 'dead'

const second = 1000
const minute = 60 * second

/** A request takes its time, and so do clocks that differ. */
const deadMargin = 30 * second
const staleMargin = 5 * minute

const longestPause = 5 * minute
const longestDeadPause = 30 * second
/** A server may say how long, within reason. */
const longestAfter = 60 * minute
/** If the pair is spent, the server has said so by now; if not, this is how fast one is back after it was silent. */
const unsurePause = minute

/** The phase at `now`, since the epoch. A pair that does not say when it expires is good until it is refused. */
export function phaseOf(held: HeldLease, now: number): Phase {
  const { expiresAt } = held.pair
  if (expiresAt === undefined) return 'fresh'
  if (now >= deadAt(held)) return 'dead'
  return now >= expiresAt - staleFor(held) ? 'stale' : 'fresh'
}

/** Since the epoch, when the pair is dead. Infinite when it does not say. */
export function deadAt(held: HeldLease): number {
  const { expiresAt } = held.pair
  if (expiresAt === undefined) return Number.POSITIVE_INFINITY
  // A quarter of what lives for less than two minutes: else it would be born dead.
  return expiresAt - Math.min(deadMargin, lifetime(held) / 4)
}

/** Since the epoch, when to get the next pair though nobody asks; `chance` from 0 to 1 spreads replicas apart. */
export function refreshAt(held: HeldLease, chance: number): number {
  const { expiresAt } = held.pair
  if (expiresAt === undefined) return Number.POSITIVE_INFINITY
  return expiresAt - staleFor(held) * (1 - chance / 10)
}

/** What is known of an attempt that failed. */
export interface LeaseFailure {
  /** In a row, this one included. */
  readonly failures: number
  /** What is left of the pair in force; 0: requests fail for want of one. */
  readonly life: number
  /** What the server has asked for. */
  readonly after: number
  /** The pair may be spent already. */
  readonly unsure: boolean
}

/**
 * How long to wait before the next attempt: twice as long each time, up to five minutes, or half a minute while
 * requests fail. At least half of it is sure, the rest is `chance`. Not past the end of the pair, unless the server asks.
 */
export function pauseAfter({ failures, life, after, unsure }: LeaseFailure, chance: number): number {
  const most = Math.min(Math.max(life, longestDeadPause), longestPause)
  const pause = Math.min(most, second * 2 ** Math.min(failures, 20)) * (0.5 + chance / 2)
  const least = !unsure ? 0 : life > 0 ? Math.min(life, unsurePause) : unsurePause
  return Math.max(pause, least, Math.min(after, longestAfter))
}

/** Half of a short life: else every refresh would at once ask for the next. */
function staleFor(held: HeldLease): number {
  const life = lifetime(held)
  if (life === Number.POSITIVE_INFINITY) return staleMargin
  return Math.min(Math.max(staleMargin, life / 10), life / 2)
}

/** Infinite when not known. */
function lifetime({ pair, since }: HeldLease): number {
  if (pair.expiresAt === undefined || since === undefined || pair.expiresAt <= since) return Number.POSITIVE_INFINITY
  return pair.expiresAt - since
}
