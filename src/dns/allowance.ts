/**
 * How much may be asked. A forwarded zone is the one place where a name an agent made up leaves the house, so names are
 * counted there like bytes of an upload.
 */
import { LruMap } from '#base/async.ts'

export interface DnsAllowance {
  /** How much at once. */
  readonly burst: number
  /** How much comes back each second. */
  readonly perSecond: number
}

export class TokenBucket {
  readonly #allowance: DnsAllowance
  #tokens: number
  #at: number

  /** `now`: monotonic milliseconds, here and in `take`. */
  constructor(allowance: DnsAllowance, now: number) {
    this.#allowance = allowance
    this.#tokens = allowance.burst
    this.#at = now
  }

  /** Takes the whole amount, or nothing and answers `false`. */
  take(amount: number, now: number): boolean {
    const { burst, perSecond } = this.#allowance
    this.#tokens = Math.min(burst, this.#tokens + ((now - this.#at) / 1000) * perSecond)
    this.#at = now
    if (this.#tokens < amount) return false
    this.#tokens -= amount
    return true
  }
}

interface Share {
  readonly queries: TokenBucket
  readonly fresh: TokenBucket
  readonly names: LruMap<string, true>
}

/** Queries one agent may have forwarded. */
export const forwardedQueries: DnsAllowance = { burst: 1000, perSecond: 200 }
/**
 * Bytes of names one agent has not asked lately. A pod's services are a few hundred names; a tunnel needs a new one for
 * every message, so what it can carry is held to this.
 */
export const freshNameBytes: DnsAllowance = { burst: 16_384, perSecond: 128 }
/** Names remembered for each agent as asked lately. */
const rememberedNames = 1024

/** What each agent may still have forwarded. */
export class Allowances {
  readonly #shares = new LruMap<string, Share>(1024)

  /** Whether the agent may ask this name now; `now` in monotonic milliseconds. */
  take(agent: string, name: string, now: number): boolean {
    let share = this.#shares.get(agent)
    if (!share) {
      share = {
        queries: new TokenBucket(forwardedQueries, now),
        fresh: new TokenBucket(freshNameBytes, now),
        names: new LruMap(rememberedNames),
      }
      this.#shares.set(agent, share)
    }
    if (!share.queries.take(1, now)) return false
    if (share.names.get(name)) return true
    if (!share.fresh.take(name.length, now)) return false
    share.names.set(name, true)
    return true
  }
}
