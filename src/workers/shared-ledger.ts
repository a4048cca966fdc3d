import { lesser } from '#metering/amount.ts'
import type { Account, Amount, Reserved } from '#metering/types.ts'
import type { LedgerOrder } from '#store/sqlite/ledger.ts'
import type { MainSide } from './protocol.ts'

/** A worker, of which this much is used. */
export interface LedgerUser {
  /** What it is told when there may be room in a budget. */
  room(): void
}

interface Hold {
  readonly accounts: readonly Account[]
  readonly amounts: readonly Amount[]
}

/** Carries the orders of all workers to the one ledger, and sees to what follows from them for the others. */
export class SharedLedger {
  readonly #carry: MainSide['ledger']
  /** What each holds and has not settled. */
  readonly #holds = new Map<LedgerUser, Map<string, Hold>>()
  /** Those with a request that waits for room. */
  readonly #waiting = new Set<LedgerUser>()

  constructor(carry: MainSide['ledger']) {
    this.#carry = carry
  }

  /** Throws what the ledger throws. */
  async order(by: LedgerUser, order: LedgerOrder): ReturnType<MainSide['ledger']> {
    const done = await this.#carry(order)
    if (order.kind === 'reserve') this.#reserved(by, order, done.result as Reserved)
    if (order.kind === 'shrink') this.#shrunk(by, order)
    if (order.kind === 'settle' || order.kind === 'release') this.#holds.get(by)?.delete(order.id)
    if (order.kind === 'shrink' || order.kind === 'settle' || order.kind === 'release') this.#makeRoom()
    return done
  }

  /**
   * A worker has ended, and nobody will say what its requests have cost: they are charged what was held for them, at once and
   * not only when the holds grow old.
   */
  lost(customer: LedgerUser): void {
    const holds = this.#holds.get(customer) ?? new Map<string, Hold>()
    this.#holds.delete(customer)
    this.#waiting.delete(customer)
    for (const [id, hold] of holds) {
      // What the ledger cannot take now it charges by itself once it can: the hold has a deadline.
      this.order(customer, { kind: 'settle', id, ...hold }).catch(() => {})
    }
  }

  #reserved(by: LedgerUser, { id, claims }: Extract<LedgerOrder, { readonly kind: 'reserve' }>, reserved: Reserved): void {
    if (reserved.kind === 'busy') this.#waiting.add(by)
    if (reserved.kind !== 'held') return
    const holds = this.#holds.get(by) ?? new Map<string, Hold>()
    this.#holds.set(by, holds.set(id, { accounts: claims.map(({ account }) => account), amounts: reserved.holds }))
  }

  #shrunk(by: LedgerUser, { id, holds }: Extract<LedgerOrder, { readonly kind: 'shrink' }>): void {
    const hold = this.#holds.get(by)?.get(id)
    if (hold) this.#holds.get(by)?.set(id, { ...hold, amounts: hold.amounts.map((each, i) => lesser(each, holds[i] ?? each)) })
  }

  /** In the next turn: who is told `busy` in this one must know it before it is told of room. */
  #makeRoom(): void {
    if (this.#waiting.size > 0) setImmediate(() => this.#tellRoom())
  }

  #tellRoom(): void {
    for (const customer of this.#waiting) customer.room()
    this.#waiting.clear()
  }
}
