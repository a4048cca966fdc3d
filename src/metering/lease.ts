import { minus, nothing, plus } from './amount.ts'
import type { Account, Amount, Balance, Claim } from './types.ts'

/**
 * How large a lease is. `ofLimit`: share of the limit; an account has two leases for a moment, while one takes the place of the other, so
 * this is half of what may be lost in a crash. `ofRest`: share of what is neither spent nor held, so that leases are in nobody's way at the
 * end. `holds`: a lease that carries fewer than so many requests is not worth its two writes.
 */
const terms = { ofLimit: 0.0025, ofRest: 0.01, holds: 4, unlimited: 64 } as const

/** Part of a lease's use that is on its way to the ledger. It keeps its id until the ledger has it, so that it is charged once. */
export interface LeasePart {
  readonly id: string
  readonly amount: Amount
  readonly requests: number
}

/**
 * Part of one account, taken from the ledger ahead of use. The ledger holds `size` for it: whatever becomes of this process, that much
 * counts as spent.
 */
export class Lease {
  readonly id: string
  readonly account: Account
  readonly #limit: Claim['limit']
  #size: Amount
  #used: Amount = nothing
  #requests = 0
  #held: Amount = nothing
  #holds = 0
  #parts = 0
  #part: LeasePart | undefined

  constructor(id: string, { account, limit }: Pick<Claim, 'account' | 'limit'>, size: Amount) {
    this.id = id
    this.account = account
    this.#limit = limit
    this.#size = size
  }

  /** True if it has room for the claim, under the same limit: an edit of the policy may have changed that. */
  covers({ hold, limit }: Claim): boolean {
    return (
      limit.tokens === this.#limit.tokens &&
      limit.nano === this.#limit.nano &&
      this.#used.tokens + this.#held.tokens + hold.tokens <= this.#size.tokens &&
      this.#used.nano + this.#held.nano + hold.nano <= this.#size.nano
    )
  }

  /** True once less than half of it is free: it is time for the next one. */
  get low(): boolean {
    return (
      (this.#used.tokens + this.#held.tokens) * 2 > this.#size.tokens || (this.#used.nano + this.#held.nano) * 2 > this.#size.nano
    )
  }

  hold(amount: Amount): void {
    this.#held = plus(this.#held, amount)
    this.#holds += 1
  }

  /** Makes a hold smaller. */
  shrink(before: Amount, after: Amount): void {
    this.#held = plus(minus(this.#held, before), after)
  }

  release(amount: Amount): void {
    this.#held = minus(this.#held, amount)
    this.#holds -= 1
  }

  /** True if it can pay this besides what it holds for others. */
  affords({ tokens, nano }: Amount): boolean {
    return (
      this.#used.tokens + this.#held.tokens + tokens <= this.#size.tokens &&
      this.#used.nano + this.#held.nano + nano <= this.#size.nano
    )
  }

  charge(amount: Amount): void {
    this.#used = plus(this.#used, amount)
    this.#requests += 1
  }

  /** Nothing runs on it. */
  get idle(): boolean {
    return this.#holds === 0
  }

  /** What was used and not yet reported; `undefined`: nothing. The same until `reported` is called. */
  part(): LeasePart | undefined {
    if (!this.#part && this.#requests > 0)
      this.#part = { id: `${this.id}.${(this.#parts += 1)}`, amount: this.#used, requests: this.#requests }
    return this.#part
  }

  /** The ledger has charged the part. */
  reported(part: LeasePart): void {
    this.#part = undefined
    this.#used = minus(this.#used, part.amount)
    this.#requests -= part.requests
    this.#size = minus(this.#size, part.amount)
  }

  /** Gives up what is free; the ledger goes on holding what this returns. */
  giveUp(): Amount {
    return (this.#size = plus(this.#used, this.#held))
  }

  get size(): Amount {
    return this.#size
  }

  /** The account as the ledger shows it, with what happens on this lease in place of its size. */
  show({ account, spent, held, requests }: Balance): Balance {
    return {
      account,
      spent: plus(spent, this.#used),
      held: atLeastZero(plus(minus(held, this.#size), this.#held)),
      requests: requests + this.#requests,
    }
  }
}

/** How much to lease on an account that stands like this; `undefined`: it is not worth it. */
export function leaseSize({ limit, hold }: Claim, { spent, held }: Balance): Amount | undefined {
  const size = {
    tokens: sizeIn(limit.tokens, hold.tokens, spent.tokens + held.tokens),
    nano: sizeIn(limit.nano, hold.nano, spent.nano + held.nano),
  }
  return carries(size, hold) ? size : undefined
}

/** False if no lease under this limit can carry such claims, whatever is left: the ledger need not be asked. */
export function mayLease({ limit, hold }: Claim): boolean {
  return carries({ tokens: sizeIn(limit.tokens, hold.tokens, 0), nano: sizeIn(limit.nano, hold.nano, 0) }, hold)
}

function carries(size: Amount, hold: Amount): boolean {
  return size.tokens >= terms.holds * hold.tokens && size.nano >= terms.holds * hold.nano
}

/** In one measure. Without a limit it only bounds what a crash may add. */
function sizeIn(limit: number | undefined, hold: number, gone: number): number {
  if (limit === undefined) return hold * terms.unlimited
  return Math.max(0, Math.floor(Math.min(limit * terms.ofLimit, (limit - gone) * terms.ofRest)))
}

function atLeastZero({ tokens, nano }: Amount): Amount {
  return { tokens: Math.max(0, tokens), nano: Math.max(0, nano) }
}
