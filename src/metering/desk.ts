import type { StopSignal } from '#base/async.ts'
import { LruMap } from '#base/async.ts'
import type { Clock } from '#base/clock.ts'
import type { TokenCounts } from '#base/usage.ts'
import { weighMost } from './charge.ts'
import { Calibration, forecast } from './estimate.ts'
import { Held } from './held.ts'
import type { BudgetEvent, BudgetRefusal, Standing } from './notice.ts'
import { exhaustedRefusal, standings } from './notice.ts'
import type { PriceList } from './price.ts'
import { contextWindow, priceOf } from './price.ts'
import type { Account, Amount, Blind, Budget, Claim, Ledger, Reserved } from './types.ts'
import { windowOf } from './window.ts'

/** A metered request before it is sent. */
export interface Order {
  /** The exchange's. */
  readonly id: string
  readonly agent: string
  readonly budgets: readonly Budget[]
  /** Its meter: prices are looked up under this name. */
  readonly provider: string
  readonly model: string | undefined
  readonly bodyBytes: number
  readonly mostOutput: number | undefined
  readonly hiddenInput: boolean
  readonly images?: number | undefined
  /** It holds sound, or asks for some. */
  readonly sound?: boolean | undefined
  /** How it asks to be served: prices follow it. */
  readonly tier?: string | undefined
  readonly stream: boolean
  readonly prices: PriceList
  /** What the rule says each request costs, in place of what is not reported. */
  readonly fixed: Amount | undefined
  /** Ends the running reply. */
  readonly cut: (refusal: BudgetRefusal) => void
}

export interface DeskOptions {
  readonly ledger: Ledger
  readonly clock: Clock
  /** Told once a window for each threshold of each account. */
  readonly news: (event: BudgetEvent) => void
  /** Told of each request that comes while the ledger cannot be asked. */
  readonly blind?: (budget: Budget, how: Blind | 'refused') => void
  /** Milliseconds a request waits for room behind others; default 30 s. */
  readonly patience?: number
}

/** Milliseconds between two signs of life of what runs. */
const heartbeat = 10_000
/** Milliseconds after which a hold without one becomes a charge. */
const lifetime = 60_000
/** Milliseconds after which who waits for room asks again, as another replica may have made some. */
const pause = 500

/**
 * Where a request is held to its budgets: holds before it is sent, charges after. Owns what runs now; the balances are the
 * ledger's.
 */
export class Desk {
  readonly ledger: Ledger
  readonly calibration = new Calibration()
  readonly #clock: Clock
  readonly #news: (event: BudgetEvent) => void
  readonly #blind: NonNullable<DeskOptions['blind']>
  readonly #patience: number
  readonly #held = new Set<Held>()
  readonly #waiting = new Set<() => void>()
  /** Charges the ledger could not take yet. */
  readonly #owed = new Map<string, () => Promise<void>>()
  /** Thresholds that are known to have been told. */
  readonly #told = new LruMap<string, true>(10_000)
  #beat: (() => void) | undefined

  constructor({ ledger, clock, news, blind = ignore, patience = 30_000 }: DeskOptions) {
    this.ledger = ledger
    this.#clock = clock
    this.#news = news
    this.#blind = blind
    this.#patience = patience
  }

  /** Holds what the request may cost with every budget of its agent, or with none. Throws `StoreError` and the signal's reason. */
  async admit(order: Order, signal: StopSignal): Promise<Held | BudgetRefusal> {
    // A ledger that cannot be opened is asked all the same: it may have something set aside.
    if (order.budgets.length > 0) await this.ledger.open().catch(ignore)
    const now = this.ledger.now()
    const foreseen = this.#foresee(order)
    // What is somewhere else may be short.
    const certain = order.hiddenInput ? this.#foresee({ ...order, hiddenInput: false }) : foreseen
    const money = order.budgets.find(({ nano }) => nano !== undefined)
    const price = money ? priceHold(order, foreseen, now) : (order.fixed?.nano ?? 0)
    if (money && price === undefined) return unpriced(order, money)
    const until = this.#clock.elapsed() + this.#patience
    for (;;) {
      signal.throwIfAborted()
      const claims = order.budgets.map((budget) => claimOf(budget, order, foreseen, certain, price ?? 0, this.ledger.now()))
      const reserved = await this.#reserve(order, claims)
      if (reserved.kind === 'held') {
        const held = new Held(this, order, {
          foreseen,
          certain,
          accounts: claims.map(({ account }) => account),
          holds: reserved.holds,
          tail: reserved.tail,
        })
        this.#enter(held)
        return held
      }
      if (reserved.kind === 'exhausted') return this.#exhausted(order, reserved.account, reserved.balance.spent, reserved.measure)
      if (this.#clock.elapsed() >= until) return busy(order, reserved.account)
      await this.#turn(signal)
    }
  }

  /** Takes a request off the desk, with how the ledger is to be told. Never rejects: what it cannot take now is told again. */
  async leave(held: Held, tell: () => Promise<void>): Promise<void> {
    this.#held.delete(held)
    try {
      await tell()
    } catch {
      this.#owed.set(held.order.id, tell)
    }
    this.wake()
    await this.review(held.order.budgets, held.accounts)
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

  /** Something was settled, here or elsewhere: who waits for room asks again. */
  wake(): void {
    for (const wake of this.#waiting) wake()
  }

  /** Running requests. */
  get running(): number {
    return this.#held.size
  }

  /** Charges the ledger owes us a place for. */
  get owed(): number {
    return this.#owed.size
  }

  close(): void {
    this.#beat?.()
    this.#beat = undefined
  }

  async #judge(standing: Standing): Promise<void> {
    const { budget, account, used, limit } = standing
    const shares = [...budget.warnAt, 1].filter((share) => used >= limit * share)
    for (const share of shares) {
      const mark = `${standing.measure} ${share}`
      const key = `${account.budget} ${account.holder} ${account.window} ${mark}`
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

  async #reserve({ id, budgets }: Order, claims: readonly Claim[]): Promise<Reserved> {
    if (claims.length === 0) return { kind: 'held', holds: [], tail: false }
    try {
      const reserved = await this.ledger.reserve(id, claims, this.ledger.now() + lifetime)
      if (reserved.kind === 'held' && reserved.blind) for (const budget of budgets) this.#blind(budget, reserved.blind)
      return reserved
    } catch (error) {
      const allowed = budgets.every(({ whenBlind }) => whenBlind === 'allow')
      for (const budget of budgets) this.#blind(budget, allowed ? 'allowed' : 'refused')
      if (!allowed) throw error
      return { kind: 'held', holds: claims.map(({ hold }) => hold), tail: false, blind: 'allowed' }
    }
  }

  #exhausted(order: Order, account: Account, spent: Amount, measure: Standing['measure']): BudgetRefusal {
    const budget = order.budgets.find(({ id }) => id === account.budget)
    const standing = budget && standings(budget, { account, spent }).find((each) => each.measure === measure)
    if (!budget || !standing) throw new Error('the ledger names an account that was not asked for')
    void this.review([budget], [account])
    return exhaustedRefusal(standing, order.agent)
  }

  #foresee(order: Order): TokenCounts {
    const { agent, model, provider } = order
    return forecast(
      { ...order, window: model === undefined ? undefined : contextWindow(model, provider) },
      this.calibration.ratio(agent, model ?? ''),
    )
  }

  #enter(held: Held): void {
    this.#held.add(held)
    this.#beat ??= this.#clock.later(heartbeat, () => void this.#tick())
  }

  async #tick(): Promise<void> {
    for (const [id, tell] of this.#owed) await tell().then(() => this.#owed.delete(id), ignore)
    const running = [...this.#held].filter(({ accounts }) => accounts.length > 0)
    await this.ledger
      .extend(
        running.map(({ order }) => order.id),
        this.ledger.now() + lifetime,
      )
      .catch(ignore)
    const seen = new Set<string>()
    for (const { order, accounts } of running) {
      const key = accounts.map(({ budget, holder }) => `${budget} ${holder}`).join('\n')
      if (!seen.has(key)) await this.review(order.budgets, accounts)
      seen.add(key)
    }
    const more = this.#held.size > 0 || this.#owed.size > 0
    this.#beat = more && this.#beat ? this.#clock.later(heartbeat, () => void this.#tick()) : undefined
  }

  /** Until something was settled, for half a second at most. Throws the signal's reason. */
  async #turn(signal: StopSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#waiting.add(resolve)
    const undo = this.#clock.later(pause, resolve)
    signal.addEventListener('abort', () => resolve(), { once: true })
    await promise
    undo()
    this.#waiting.delete(resolve)
    signal.throwIfAborted()
  }
}

function ignore(): void {}

/** The most it can cost in nano-dollars; `undefined`: nobody says what this model costs. */
function priceHold(
  { model, provider, prices, fixed, tier, sound }: Order,
  foreseen: TokenCounts,
  at: number,
): number | undefined {
  if (fixed) return fixed.nano
  if (model === undefined) return undefined
  const as = (tokens: TokenCounts, served: string | undefined) =>
    priceOf(
      { model, tokens, cacheWriteHour: undefined, searches: 0, sound: sound ? tokens : undefined, tier: served },
      provider,
      prices,
      at,
    )
  const read = as(foreseen, undefined)
  if (read === undefined) return undefined
  // Written to a cache, a prompt costs up to twice as much.
  const written = { ...foreseen, input: 0, cache_write: foreseen.input }
  const most = Math.max(read, as(written, undefined) ?? 0)
  // What asks for a cheaper tier may not get it.
  return tier === undefined ? most : Math.max(most, as(foreseen, tier) ?? 0, as(written, tier) ?? 0)
}

function claimOf(
  budget: Budget,
  { agent, fixed }: Order,
  foreseen: TokenCounts,
  certain: TokenCounts,
  nano: number,
  now: number,
): Claim {
  return {
    account: accountOf(budget, agent, now),
    limit: { tokens: budget.tokens, nano: budget.nano },
    hold: fixed ?? { tokens: weighMost(foreseen, budget), nano },
    // A prompt that does not fit is not sent: its cost is certain, only the output is a guess.
    least: fixed ?? { tokens: weighMost({ ...certain, output: 1 }, budget), nano: 1 },
    whenBlind: budget.whenBlind,
  }
}

/** The account of an agent with a budget in the window of `now`. */
export function accountOf(budget: Budget, agent: string, now: number): Account {
  return {
    budget: budget.id,
    holder: budget.per === 'crew' ? '*' : agent,
    window: windowOf(budget, now).start,
  }
}

function sameAccount(one: Account, other: Account): boolean {
  return one.budget === other.budget && one.holder === other.holder && one.window === other.window
}

function busy(order: Order, { budget }: Account): BudgetRefusal {
  const reason = `what is left of budget "${budget}" is held for other requests of ${order.agent} that still run`
  return { kind: 'refused', code: 'budget_busy', budget, reason, resetsAt: undefined }
}

function unpriced({ model, provider }: Order, { id }: Budget): BudgetRefusal {
  const named = model === undefined ? 'a request that names no model' : `the model ${JSON.stringify(model.slice(0, 100))}`
  const reason = `budget "${id}" limits money, and the price of ${named} is not known; ask the operator to add it under \`prices\` (meter ${provider})`
  return { kind: 'refused', code: 'model_unpriced', budget: id, reason, resetsAt: undefined }
}
