import type { Account, Amount, Balance, Claim, Ledger, Lesson, Reserved } from '#metering/types.ts'
import type { LedgerOrder } from '#store/sqlite/ledger.ts'

/** Carries an order to the one ledger. Throws what that throws. */
export type Carry = (order: LedgerOrder) => Promise<{ readonly now: number; readonly result: unknown }>

/** The ledger as a thread sees it that has it not: every question goes over, so that there is one truth. */
export class RemoteLedger implements Ledger {
  readonly #carry: Carry
  readonly #wall: () => number
  readonly #elapsed: () => number
  #opened: Promise<void> | undefined
  /** What the ledger said last of the time, and when on our monotonic clock. */
  #heard: { readonly now: number; readonly elapsed: number } | undefined

  /** `wall`: this machine’s clock, which may be set back and forth, so that it counts only until the ledger has been heard. */
  constructor(carry: Carry, wall: () => number, elapsed: () => number = () => performance.now()) {
    this.#carry = carry
    this.#wall = wall
    this.#elapsed = elapsed
  }

  now(): number {
    const heard = this.#heard
    return heard ? Math.floor(heard.now + this.#elapsed() - heard.elapsed) : this.#wall()
  }

  /** Once it was, it is not asked again: `perform` opens what has to be opened anew. */
  open(): Promise<void> {
    this.#opened ??= this.#ask<void>({ kind: 'open' }).catch((error: unknown) => {
      this.#opened = undefined
      throw error
    })
    return this.#opened
  }

  reserve(id: string, claims: readonly Claim[], deadline: number): Promise<Reserved> {
    return this.#ask({ kind: 'reserve', id, claims, deadline })
  }

  extend(ids: readonly string[], deadline: number): Promise<void> {
    return this.#ask({ kind: 'extend', ids, deadline })
  }

  shrink(id: string, holds: readonly Amount[]): Promise<void> {
    return this.#ask({ kind: 'shrink', id, holds })
  }

  settle(id: string, accounts: readonly Account[], amounts: readonly Amount[], requests = 1): Promise<void> {
    return this.#ask({ kind: 'settle', id, accounts, amounts, requests })
  }

  release(id: string): Promise<void> {
    return this.#ask({ kind: 'release', id })
  }

  balances(accounts: readonly Account[]): Promise<readonly Balance[]> {
    return this.#ask({ kind: 'balances', accounts })
  }

  set(account: Account, spent: Amount): Promise<void> {
    return this.#ask({ kind: 'set', account, spent })
  }

  mark(account: Account, mark: string): Promise<boolean> {
    return this.#ask({ kind: 'mark', account, mark })
  }

  accounts(since: number): Promise<readonly Balance[]> {
    return this.#ask({ kind: 'accounts', since })
  }

  learn(lessons: readonly Lesson[]): Promise<void> {
    return this.#ask({ kind: 'learn', lessons })
  }

  lessons(): Promise<readonly Lesson[]> {
    return this.#ask({ kind: 'lessons' })
  }

  /** It is not ours to close. */
  async close(): Promise<void> {}

  async #ask<Result>(order: LedgerOrder): Promise<Result> {
    const { now, result } = await this.#carry(order)
    this.#heard = { now, elapsed: this.#elapsed() }
    return result as Result
  }
}

/** Does what was carried over, where the ledger is. Throws what it throws. */
export async function perform(ledger: Ledger, order: LedgerOrder): Promise<{ readonly now: number; readonly result: unknown }> {
  const result = await apply(ledger, order)
  return { now: ledger.now(), result }
}

function apply(ledger: Ledger, order: LedgerOrder): Promise<unknown> {
  switch (order.kind) {
    case 'open':
      return ledger.open()
    case 'reserve':
      // One that cannot be opened is asked all the same: it may have something set aside.
      return ledger
        .open()
        .catch(() => {})
        .then(() => ledger.reserve(order.id, order.claims, order.deadline))
    case 'extend':
      return ledger.extend(order.ids, order.deadline)
    case 'settle':
      return ledger.settle(order.id, order.accounts, order.amounts, order.requests)
    case 'shrink':
      return ledger.shrink(order.id, order.holds)
    case 'release':
      return ledger.release(order.id)
    case 'balances':
      return ledger.balances(order.accounts)
    case 'set':
      return ledger.set(order.account, order.spent)
    case 'mark':
      return ledger.mark(order.account, order.mark)
    case 'accounts':
      return ledger.accounts(order.since)
    case 'learn':
      return ledger.learn(order.lessons)
    case 'lessons':
      return ledger.lessons()
    case 'close':
      return Promise.resolve()
    default:
      return order satisfies never
  }
}
