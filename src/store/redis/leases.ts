import type { Account, Amount, Claim, Reserved } from '#metering/types.ts'
import { accountKey } from '../amounts.ts'

type Limit = Claim['limit']

/** What this replica may spend of an account while the server is away. */
interface Lease {
  readonly size: Amount
  /** On the monotonic clock. */
  readonly until: number
  tokens: number
  nano: number
}

export interface LeaseOrder {
  readonly leases: readonly { readonly account: Account; readonly limit: Limit; readonly size: Amount }[]
  /** By the server's clock. */
  readonly deadline: number
  /** So many times its size must be free. */
  readonly plenty: number
}

/**
 * Share of a limit that is leased, how many times that must be free for it, and in milliseconds: how long a lease lives, how often
 * it is renewed, how much earlier it ends for us than for the server, and how long an account is of interest after its last use.
 */
const terms = { share: 0.05, plenty: 5, life: 30_000, renew: 5_000, margin: 2_000, interest: 600_000 } as const

/**
 * Shares of budgets that are set aside for this replica alone, so that what it lets through while it is blind is within the limit
 * whatever the others do. Each is used up once, and gone when it is not renewed.
 */
export class RedisLeases {
  readonly #wanted = new Map<string, { account: Account; limit: Limit; at: number }>()
  readonly #leases = new Map<string, Lease>()
  /** By request; where in its claims each stands. */
  readonly #holds = new Map<string, readonly { readonly key: string; readonly at: number; readonly hold: Amount }[]>()
  #renewedAt = Number.NEGATIVE_INFINITY

  /** These accounts are in use. */
  want(claims: readonly Claim[]): void {
    for (const { account, limit } of claims) {
      const key = accountKey(account)
      // Who has none yet need not wait for the next round.
      if (!this.#wanted.has(key)) this.#renewedAt = Number.NEGATIVE_INFINITY
      this.#wanted.set(key, { account, limit, at: performance.now() })
    }
  }

  /** Holds all claims on what is leased, or where a budget allows it on nothing; `undefined`: there is no room. */
  reserve(id: string, claims: readonly Claim[]): Reserved | undefined {
    const covered = claims.map((claim, at) => ({ claim, at, key: accountKey(claim.account), fits: this.#fits(claim) }))
    if (!covered.every(({ claim, fits }) => fits || claim.whenBlind === 'allow')) return undefined
    const leased = covered.filter(({ fits }) => fits)
    for (const { claim, key } of leased) this.#use(key, claim.hold, 1)
    this.#holds.set(
      id,
      leased.map(({ claim, key, at }) => ({ key, at, hold: claim.hold })),
    )
    const blind = covered.every(({ fits }) => fits) ? 'leased' : 'allowed'
    return { kind: 'held', holds: claims.map(({ hold }) => hold), tail: false, blind }
  }

  settle(id: string, amounts: readonly Amount[]): void {
    const holds = this.#holds.get(id)
    this.#holds.delete(id)
    for (const { key, at, hold } of holds ?? []) {
      this.#use(key, hold, -1)
      this.#use(key, amounts[at] ?? hold, 1)
    }
  }

  release(id: string): void {
    for (const { key, hold } of this.#holds.get(id) ?? []) this.#use(key, hold, -1)
    this.#holds.delete(id)
  }

  /** What to ask for now, and how to take the answer; `undefined`: it is not time yet. */
  due(now: number): { readonly order: LeaseOrder; readonly take: (given: readonly number[]) => void } | undefined {
    const asked = performance.now()
    if (asked - this.#renewedAt < terms.renew) return undefined
    this.#renewedAt = asked
    for (const [key, { at }] of this.#wanted) if (asked - at > terms.interest) this.#wanted.delete(key)
    const leases = [...this.#wanted.values()].map(({ account, limit }) => ({ account, limit, size: sizeOf(limit) }))
    if (leases.length === 0) return undefined
    return {
      order: { leases, deadline: now + terms.life, plenty: terms.plenty },
      take: (given) => {
        // What ran on the old ones was told to the server before it was asked for new ones.
        this.#holds.clear()
        for (const [i, { account, size }] of leases.entries()) {
          const key = accountKey(account)
          if (given[i] === 1) this.#leases.set(key, { size, until: asked + terms.life - terms.margin, tokens: 0, nano: 0 })
          else this.#leases.delete(key)
        }
      },
    }
  }

  #fits({ account, limit, hold }: Claim): boolean {
    const lease = this.#leases.get(accountKey(account))
    if (!lease || performance.now() >= lease.until) return false
    if (limit.tokens !== undefined && lease.tokens + hold.tokens > lease.size.tokens) return false
    return limit.nano === undefined || lease.nano + hold.nano <= lease.size.nano
  }

  #use(key: string, { tokens, nano }: Amount, sign: 1 | -1): void {
    const lease = this.#leases.get(key)
    if (!lease) return
    lease.tokens += sign * tokens
    lease.nano += sign * nano
  }
}

function sizeOf({ tokens, nano }: Limit): Amount {
  return { tokens: Math.floor((tokens ?? 0) * terms.share), nano: Math.floor((nano ?? 0) * terms.share) }
}
