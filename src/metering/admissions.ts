import { LruMap } from '#base/async.ts'
import type { StopSignal } from '#base/async.ts'
import type { Clock } from '#base/clock.ts'
import { keyOf, sameAccount } from './account.ts'
import { runPrefix } from './compile.ts'
import { claimsOf, foresee } from './forecast.ts'
import { Habits } from './habits.ts'
import { Reservation } from './reservation.ts'
import { LeasedLedger } from './leased-ledger.ts'
import { busyRefusal, exhaustedRefusal, refusalOf, standings, unpricedRefusal } from './notice.ts'
import type { BudgetEvent, BudgetRefusal, BudgetStatus } from './notice.ts'
import type { MeteredRequest } from './metered-request.ts'
import { Queue } from './queue.ts'
import type { Account, Amount, Blind, Budget, Claim, Exhausted, Ledger, Reserved } from './types.ts'

export { accountOf } from './account.ts'
export type { MeteredRequest } from './metered-request.ts'

export interface AdmissionsOptions {
  readonly ledger: Ledger
  readonly clock: Clock
  /** Told once a window for each threshold of each account. */
  readonly news: (event: BudgetEvent) => void
  /** Told of each request that comes while the ledger cannot be asked. */
  readonly blind?: (budget: Budget, how: Blind | 'refused') => void
  /** Milliseconds a request waits for room behind others; default 30 s. */
  readonly patience?: number
}

/**
 * Milliseconds. `beat`: between two reports of what leases were used for, and two looks whether another replica has made room; `life`:
 * after which a hold without a sign of life becomes a charge; `sign`: between two signs of life.
 */
const times = { beat: 1_000, room: 500, sign: 10_000, life: 60_000 } as const

/**
 * Where a request is held to its budgets: holds before it is sent, charges after. Owns what runs and what waits here; the balances are
 * the ledger's.
 */
export class Admissions {
  readonly ledger: LeasedLedger
  readonly habits = new Habits()
  readonly #clock: Clock
  readonly #news: (event: BudgetEvent) => void
  readonly #blind: NonNullable<AdmissionsOptions['blind']>
  readonly #patience: number
  readonly #held = new Set<Reservation>()
  readonly #queue = new Queue()
  /** Charges the ledger could not take yet. */
  readonly #owed = new Map<string, () => Promise<void>>()
  /** Thresholds that are known to have been told. */
  readonly #told = new LruMap<string, true>(10_000)
  /** Accounts that were charged on a lease since they were last looked at. */
  readonly #charged = new Map<string, { readonly budget: Budget; readonly account: Account }>()
  /** The budgets of the policy in force, once it has changed. */
  #budgets: ReadonlyMap<string, Budget> | undefined
  #opened = false
  #opening: Promise<void> | undefined
  #stopBeat: (() => void) | undefined
  #stopLooking: (() => void) | undefined
  #signedAt = 0

  constructor({ ledger, clock, news, blind = ignore, patience = 30_000 }: AdmissionsOptions) {
    this.ledger = new LeasedLedger(ledger, clock)
    this.#clock = clock
    this.#news = news
    this.#blind = blind
    this.#patience = patience
  }

  /** Holds what the request may cost with every budget of its agent, or with none. Throws `StoreError` and the signal's reason. */
  async admit(order: MeteredRequest, signal: StopSignal): Promise<Reservation | BudgetRefusal> {
    if (order.budgets.length > 0 && !this.#opened) await (this.#opening ??= this.#open())
    signal.throwIfAborted()
    const tried = this.#try(order)
    const found = tried instanceof Promise ? await tried : tried
    return typeof found === 'string' ? this.#wait(order, found, signal) : found
  }

  /** Takes a request off the desk and charges it to its leases, at once. `false`: the ledger has to be told, and `leave` tells it. */
  charge(held: Reservation, amounts: readonly Amount[]): boolean {
    const { order, accounts } = held
    if (accounts.length > 0 && !this.ledger.charge(order.id, amounts)) return false
    this.#held.delete(held)
    this.wake()
    this.#review(held)
    return true
  }

  /** Takes a request off the desk, with how the ledger is to be told. Never rejects: what it cannot take now is told again. */
  async leave(held: Reservation, tell: () => Promise<void>): Promise<void> {
    this.#held.delete(held)
    const leased = this.ledger.leases(held.order.id)
    try {
      await tell()
    } catch {
      this.#owed.set(held.order.id, tell)
    }
    this.wake()
    if (!leased) return this.review(held.budgets, held.accounts)
    this.#review(held)
  }

  /** Tells thresholds that were passed, and ends what still runs on an account that is used up. Never rejects. */
  async review(budgets: readonly Budget[], accounts: readonly Account[]): Promise<void> {
    if (accounts.length === 0) return
    try {
      const balances = await this.ledger.balances(accounts)
      for (const [index, balance] of balances.entries()) {
        const budget = budgets[index]
        if (!budget) continue
        for (const standing of standings(budget, balance)) await this.#judge(standing)
      }
    } catch {
      // A ledger that cannot be read refuses the next request, which is told then.
    }
  }

  /** Another policy is in force: what runs and what waits is held to its limits from now on. */
  revise(budgets: ReadonlyMap<string, Budget>): void {
    this.#budgets = budgets
    for (const held of this.#held) held.revise(this.#inForce(held.budgets))
    this.wake()
  }

  /** There may be room: who waits for it asks again. */
  wake(): void {
    if (this.#queue.size > 0) this.#queue.serve()
  }

  /** Running requests. */
  get running(): number {
    return this.#held.size
  }

  /** Requests that wait for room, by budget. */
  get waiting(): Readonly<Record<string, number>> {
    const waiting: Record<string, number> = {}
    for (const [key, count] of this.#queue.lengths()) {
      const [name = ''] = key.split('\n', 1)
      // Each run has a budget of its own, and may live for a minute.
      const budget = name.startsWith(runPrefix) ? 'run' : name
      waiting[budget] = (waiting[budget] ?? 0) + count
    }
    return waiting
  }

  /** Charges the ledger owes us a place for. */
  get owed(): number {
    return this.#owed.size
  }

  /** Reports and gives back what is leased, and keeps what was learned. Never rejects. */
  async close(): Promise<void> {
    this.#stopBeat?.()
    this.#stopLooking?.()
    this.#stopBeat = undefined
    this.#stopLooking = undefined
    await this.#keepLessons()
    await this.ledger.giveBackAll()
  }

  /** Takes more for a reply that has outgrown its hold. `false`: there is no room. Throws `StoreError`. */
  async more(id: string, claims: readonly Claim[]): Promise<boolean> {
    const reserved = this.ledger.hold(id, claims) ?? (await this.ledger.ask(id, claims, this.ledger.now() + times.life))
    return reserved.kind === 'held' && !reserved.tail
  }

  /** A ledger that cannot be opened is asked all the same: it may have something set aside. */
  async #open(): Promise<void> {
    try {
      await this.ledger.open()
      this.habits.recall(await this.ledger.lessons())
      this.#opened = true
    } catch {
      // The next request tries again.
    }
    this.#opening = undefined
  }

  /** Asks for room once: the key of the account that has none, or what became of it. Throws `StoreError`. */
  #try(
    order: MeteredRequest,
    waited?: number,
  ): Reservation | BudgetRefusal | string | Promise<Reservation | BudgetRefusal | string> {
    const budgets = this.#inForce(order.budgets)
    const foreseen = foresee(order, this.habits)
    const claims = claimsOf(order, budgets, foreseen, this.habits, this.ledger.now())
    if (!claims) {
      const money = budgets.find(({ nano }) => nano !== undefined)
      return unpricedRefusal(money?.id ?? '', order.model, order.provider)
    }
    if (waited === undefined && this.#queue.size > 0) {
      const behind = this.#queue.busy(claims.map(({ account }) => keyOf(account)))
      if (behind !== undefined) return behind
    }
    const enter = (reserved: Reserved): Reservation | BudgetRefusal | string => {
      if (reserved.kind === 'busy') return keyOf(reserved.account)
      if (reserved.kind === 'exhausted') return this.#exhausted(order, budgets, claims, reserved)
      const { most, certain } = foreseen
      const { holds, tail } = reserved
      const held = new Reservation(this, order, { budgets, foreseen: most, certain, claims, holds, tail, waited })
      this.#held.add(held)
      this.#beatLater()
      return held
    }
    // Most requests run on a lease, and wait for nothing.
    const reserved = this.#reserveNow(order, claims)
    return reserved ? enter(reserved) : this.#ask(order, budgets, claims).then(enter)
  }

  #reserveNow({ id }: MeteredRequest, claims: readonly Claim[]): Reserved | undefined {
    return claims.length === 0 ? { kind: 'held', holds: [], tail: false } : this.ledger.hold(id, claims)
  }

  async #ask({ id }: MeteredRequest, budgets: readonly Budget[], claims: readonly Claim[]): Promise<Reserved> {
    try {
      const reserved = await this.ledger.ask(id, claims, this.ledger.now() + times.life)
      if (reserved.kind === 'held' && reserved.blind) for (const budget of budgets) this.#blind(budget, reserved.blind)
      return reserved
    } catch (error) {
      const allowed = budgets.every(({ whenBlind }) => whenBlind === 'allow')
      for (const budget of budgets) this.#blind(budget, allowed ? 'allowed' : 'refused')
      if (!allowed) throw error
      return { kind: 'held', holds: claims.map(({ hold }) => hold), tail: false, blind: 'allowed' }
    }
  }

  /** Waits in line until there is room, the request is refused, its agent leaves, or its patience ends. */
  async #wait(order: MeteredRequest, account: string, signal: StopSignal): Promise<Reservation | BudgetRefusal> {
    const since = this.#clock.elapsed()
    const waited = () => this.#clock.elapsed() - since
    const { promise, resolve, reject } = Promise.withResolvers<Reservation | BudgetRefusal>()
    const waiter = {
      agent: order.agent,
      since,
      attempt: async (): Promise<string | undefined> => {
        const found = await Promise.try(() => this.#try(order, waited())).catch(reject)
        if (!found) return undefined
        if (typeof found === 'string') {
          blockedBy = found
          return found
        }
        if (done) await this.#giveUp(found)
        else resolve(found)
        return undefined
      },
    }
    let blockedBy = account
    let done = false
    const undo = this.#clock.later(this.#patience, () => void this.#busy(order, blockedBy).then(resolve))
    const leave = () => {
      try {
        signal.throwIfAborted()
      } catch (error) {
        reject(error)
      }
    }
    signal.addEventListener('abort', leave, { once: true })
    // It may have left while it asked.
    if (signal.aborted) leave()
    this.#queue.join(account, waiter)
    // Room may have been made while it asked.
    this.wake()
    this.#lookForRoom()
    try {
      const found = await promise
      return found.kind === 'refused' ? { ...found, waited: waited() } : found
    } finally {
      done = true
      undo()
      signal.removeEventListener('abort', leave)
      this.#queue.leave(waiter)
    }
  }

  /** The refusal of a request whose patience has ended. Never rejects. */
  async #busy(order: MeteredRequest, key: string): Promise<BudgetRefusal> {
    const [name = ''] = key.split('\n', 1)
    try {
      const budgets = this.#inForce(order.budgets)
      const foreseen = foresee(order, this.habits)
      const claims = claimsOf(order, budgets, foreseen, this.habits, this.ledger.now()) ?? []
      const at = claims.findIndex(({ account }) => keyOf(account) === key)
      const [budget, claim] = [budgets[at], claims[at]]
      const [balance] = budget && claim ? await this.ledger.balances([claim.account]) : []
      if (budget && claim && balance) return busyRefusal(name, order.agent, { budget, balance, asked: claim.hold })
    } catch {
      // Without its ledger, the refusal says no figures.
    }
    return busyRefusal(name, order.agent)
  }

  /** Room was found for a request that has left in the meantime. */
  async #giveUp(found: Reservation | BudgetRefusal): Promise<void> {
    if (found.kind === 'held') await found.release()
  }

  /** Another replica may make room, and tells nobody. */
  #lookForRoom(): void {
    this.#stopLooking ??= this.#clock.later(times.room, () => {
      this.#stopLooking = undefined
      this.wake()
      if (this.#queue.size > 0) this.#lookForRoom()
    })
  }

  /** The accounts of a request that ran on leases are looked at with the next beat. */
  #review({ accounts, budgets }: Reservation): void {
    for (let i = 0; i < accounts.length; i += 1) {
      const [account, budget] = [accounts[i], budgets[i]]
      if (account && budget) this.#charged.set(keyOf(account), { budget, account })
    }
  }

  async #judge(standing: BudgetStatus): Promise<void> {
    const { budget, account, used, limit } = standing
    const shares = [...budget.warnAt, 1].filter((share) => used >= limit * share)
    for (const share of shares) {
      const mark = `${standing.measure} ${share}`
      const key = `${keyOf(account)} ${mark}`
      if (this.#told.get(key)) continue
      const first = await this.ledger.mark(account, mark)
      this.#told.set(key, true)
      if (first) this.#news({ ...standing, kind: share === 1 ? 'exhausted' : 'warning', share })
    }
    if (used < limit || budget.atLimit !== 'cut') return
    for (const held of this.#held) {
      if (held.accounts.some((each) => sameAccount(each, account))) held.cut(exhaustedRefusal(standing, held.order.agent))
    }
  }

  #exhausted(order: MeteredRequest, budgets: readonly Budget[], claims: readonly Claim[], found: Exhausted): BudgetRefusal {
    const at = claims.findIndex((claim) => sameAccount(claim.account, found.account))
    const [budget, claim] = [budgets[at], claims[at]]
    if (!budget || !claim) throw new Error('the ledger names an account that was not asked for')
    const refusal = refusalOf(order, budget, claim, found)
    if (refusal.code === 'budget_exhausted') void this.review([budget], [found.account])
    return refusal
  }

  /** The budgets as the policy in force has them; one that it no longer has stays as it was. */
  #inForce(budgets: readonly Budget[]): readonly Budget[] {
    const now = this.#budgets
    return now ? budgets.map((budget) => now.get(budget.id) ?? budget) : budgets
  }

  #beatLater(): void {
    this.#stopBeat ??= this.#clock.later(times.beat, () => void this.#beat())
  }

  async #beat(): Promise<void> {
    for (const [id, tell] of this.#owed) await tell().then(() => this.#owed.delete(id), ignore)
    const leased = await this.ledger.beat()
    const charged = [...this.#charged.values()]
    this.#charged.clear()
    await this.review(
      charged.map(({ budget }) => budget),
      charged.map(({ account }) => account),
    )
    if (this.#clock.elapsed() - this.#signedAt >= times.sign) {
      this.#signedAt = this.#clock.elapsed()
      await this.#sign()
    }
    const more = this.#held.size > 0 || this.#owed.size > 0 || leased
    const stopped = this.#stopBeat === undefined
    this.#stopBeat = undefined
    if (more && !stopped) this.#beatLater()
    else await this.#keepLessons()
  }

  /** A sign of life of all that runs, and a look at its budgets. */
  async #sign(): Promise<void> {
    const running = [...this.#held].filter(({ accounts }) => accounts.length > 0)
    await this.ledger
      .extend(
        running.flatMap(({ ids }) => ids),
        this.ledger.now() + times.life,
      )
      .catch(ignore)
    await this.#keepLessons()
    const seen = new Set<string>()
    for (const { budgets, accounts } of running) {
      const key = accounts.map(keyOf).join('\n')
      if (!seen.has(key)) await this.review(budgets, accounts)
      seen.add(key)
    }
  }

  async #keepLessons(): Promise<void> {
    const lessons = this.habits.lessons()
    if (lessons.length > 0) await this.ledger.learn(lessons).catch(() => this.habits.keep(lessons))
  }
}

function ignore(): void {}
