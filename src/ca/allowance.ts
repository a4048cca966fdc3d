import { LruMap } from '#base/async.ts'
import type { Clock } from '#base/clock.ts'

export interface LeafAllowance {
  /** How many at once. */
  readonly burst: number
  /** How many come back each second. */
  readonly perSecond: number
}

interface Bucket {
  readonly tokens: number
  readonly at: number
}

/**
 * How many certificates for denied names each agent may still cause: a token bucket per agent. A denied name gets a leaf
 * so that the client reads a 403 and not a reset; a flood of them must not become a flood of signatures.
 */
export class DeniedAllowance {
  readonly #allowance: LeafAllowance
  readonly #clock: Clock
  // Agent names come from the policy; the bound is for a policy with more of them than anyone has.
  readonly #buckets = new LruMap<string, Bucket>(10_000)

  constructor(allowance: LeafAllowance, clock: Clock) {
    this.#allowance = allowance
    this.#clock = clock
  }

  /** Takes one from the agent's bucket; `false`: it is empty. */
  take(agent: string): boolean {
    const at = this.#clock.elapsed()
    const { burst, perSecond } = this.#allowance
    const last = this.#buckets.get(agent) ?? { tokens: burst, at }
    const tokens = Math.min(burst, last.tokens + ((at - last.at) / 1000) * perSecond)
    const granted = tokens >= 1
    this.#buckets.set(agent, { tokens: granted ? tokens - 1 : tokens, at })
    return granted
  }
}
