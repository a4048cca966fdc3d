import type { Counted, TokenCounts, Usage } from '#base/usage.ts'
import { lesser, nothing } from './amount.ts'
import type { Basis, Ending, Reckoned } from './charge.ts'
import { isReported, reckon, weigh } from './charge.ts'
import type { Admissions } from './admissions.ts'
import { usualReply } from './estimate.ts'
import { cuttable } from './forecast.ts'
import type { BudgetRefusal } from './notice.ts'
import { exhaustedRefusal, standings } from './notice.ts'
import type { MeteredRequest } from './metered-request.ts'
import { costOf, pricedName } from './price.ts'
import type { Account, Amount, Budget, Claim } from './types.ts'

/** What a metered request cost in the end. */
export interface Bill {
  /** `undefined`: nothing was reported, and what was held is charged. */
  readonly usage: Usage | undefined
  /** As the provider reported it, in full. */
  readonly exact: boolean
  /** What the charge goes by; `undefined`: the report of the provider, or the price of the rule. */
  readonly basis?: Basis | undefined
  /** Nano-dollars (1e-9 USD); `undefined`: not known. */
  readonly cost: number | undefined
  /** The name the model is priced under; `undefined`: nobody prices it. */
  readonly model: string | undefined
}

/** Growth in tokens, and as a share, after which a running reply is reckoned again. */
const step = { tokens: 64, share: 0.02 }
/** Of what a reply takes more once it has outgrown its hold: so many of its output's tokens again, and no fewer than this. */
const growth = { tokens: 512, share: 0.25 }
/** A hold shrinks where that frees so much of it: each time is a write. */
const worthwhile = 0.2

/** How far a running reply has come, without reading all of it. */
export interface Progress {
  /** Output that went by, in tokens, estimated. */
  readonly visible: number
  /** How often the provider has reported a usage. */
  readonly reports: number
  seen(): Counted
}

/** One request that is being served, with what is held for it. */
export class Reservation {
  readonly kind = 'held'
  readonly order: MeteredRequest
  readonly accounts: readonly Account[]
  /** Milliseconds for which it has waited for room; `undefined`: not at all. */
  readonly waited: number | undefined
  readonly #desk: Admissions
  readonly #foreseen: TokenCounts
  /** The same without what is somewhere else. */
  readonly #certain: TokenCounts
  /** Held is what was left, and not what was foreseen. */
  readonly #tail: boolean
  readonly #claims: readonly Claim[]
  #budgets: readonly Budget[]
  #holds: readonly Amount[]
  /** Ids of what was taken in addition. */
  readonly #extra: string[] = []
  #reports = 0
  #lookAt = 0
  #looking = false
  #shrunk = false
  #cut = false
  #progress: Progress | undefined

  constructor(
    desk: Admissions,
    order: MeteredRequest,
    held: {
      readonly budgets: readonly Budget[]
      readonly foreseen: TokenCounts
      readonly certain: TokenCounts
      readonly claims: readonly Claim[]
      readonly holds: readonly Amount[]
      readonly tail: boolean
      readonly waited: number | undefined
    },
  ) {
    this.#desk = desk
    this.order = order
    this.accounts = held.claims.map(({ account }) => account)
    this.waited = held.waited
    this.#foreseen = held.tail ? held.certain : held.foreseen
    this.#certain = held.certain
    this.#tail = held.tail
    this.#claims = held.claims
    this.#budgets = held.budgets
    this.#holds = held.holds
  }

  get budgets(): readonly Budget[] {
    return this.#budgets
  }

  /** What the ledger knows it by. */
  get ids(): readonly string[] {
    return [this.order.id, ...this.#extra]
  }

  /** True while it matters what the running reply has used. */
  get watches(): boolean {
    return !this.#cut && !this.order.fixed && this.accounts.length > 0
  }

  /** Looks at a reply as it streams: holds less once its prompt is known, more once it has outgrown its hold, and ends it where there is no more. Never throws. */
  follow(progress: Progress): void {
    this.#progress = progress
    if (this.#looking || (progress.visible < this.#lookAt && progress.reports === this.#reports)) return
    this.#reports = progress.reports
    this.watch(progress.seen())
  }

  /** The same with what has come by so far. */
  watch(counted: Counted): void {
    if (!this.watches || this.#looking) return
    const grown = Math.max(counted.usage?.tokens.output ?? 0, counted.visibleOutput)
    // Never end a reply on an estimate of input that we have not seen.
    const amounts = this.#amounts(reckon({ counted, complete: false, stream: true }, this.#certain))
    this.#lookAt = grown + Math.max(step.tokens, grown * step.share, this.#slack(amounts, grown))
    if (amounts.some((amount, i) => exceeds(amount, this.#holds[i]))) void this.#grow(amounts, grown)
    else if (counted.usage && !this.#shrunk) this.#shrink(counted.usage, grown)
  }

  /** Its budgets have changed: a stream that is over a lower limit is ended, now or once it has used what is left. */
  revise(budgets: readonly Budget[]): void {
    const lowered = budgets.map((budget, i) => cuttable(this.order, budget) && isLower(budget, this.#budgets[i]))
    this.#budgets = budgets
    if (this.#cut || !lowered.includes(true)) return
    const counted = this.#progress?.seen() ?? nothingSeen
    const amounts = this.#amounts(reckon({ counted, complete: false, stream: true }, this.#certain))
    // What it has used so far: all that comes from here on must find room under the new limit.
    this.#hold(this.#holds.map((hold, i) => (lowered[i] ? lesser(hold, amounts[i] ?? hold) : hold)))
    this.#lookAt = 0
    void this.#look(amounts)
  }

  /** Ends the running reply, once. */
  cut(refusal: BudgetRefusal): void {
    if (this.#cut) return
    this.#cut = true
    this.order.cut(refusal)
  }

  /** Charges what was used. Never rejects: what the ledger cannot take now is told again later. */
  async settle(ending: Ending): Promise<Bill> {
    const { agent, model, bodyBytes, hiddenInput, images, fixed, id } = this.order
    const reckoned = reckon(ending, isReported(ending) ? this.#foreseen : this.#likely())
    if (reckoned?.exact && !hiddenInput)
      this.#desk.habits.learn(
        { agent, model: model ?? '', bytes: bodyBytes, whole: !images },
        reckoned.usage.tokens,
        this.#desk.ledger.now(),
      )
    const amounts = this.#charges(ending, reckoned)
    // A request that took more while it ran has holds to give back.
    if (this.#extra.length > 0 || !this.#desk.charge(this, amounts))
      await this.#desk.leave(this, async () => {
        if (this.accounts.length > 0) await this.#desk.ledger.settle(id, this.accounts, amounts)
        for (const extra of this.#extra) await this.#desk.ledger.release(extra)
      })
    const named = reckoned?.usage.model ?? model
    const { provider, prices } = this.order
    return {
      usage: reckoned?.usage,
      exact: reckoned?.exact ?? false,
      basis: fixed ? undefined : reckoned ? reckoned.basis : 'held',
      cost: fixed?.nano ?? (reckoned && this.#cost(reckoned.usage)),
      model: named === undefined ? undefined : pricedName(named, provider, prices),
    }
  }

  /** Nothing was spent. Never rejects. */
  async release(): Promise<void> {
    await this.#desk.leave(this, async () => {
      if (this.accounts.length > 0) await this.#desk.ledger.release(this.order.id)
      for (const extra of this.#extra) await this.#desk.ledger.release(extra)
    })
  }

  /** What the request used, as far as nothing was reported: what such calls use, where that is known. */
  #likely(): TokenCounts {
    const { agent, model, bodyBytes, hiddenInput, images = 0, sound } = this.order
    const { habits, ledger } = this.#desk
    const known = habits.expect(agent, model ?? '', bodyBytes, this.#budgets[0] ?? unweighted, ledger.now())
    const alike = !hiddenInput && images === 0 && !sound
    const prompt = (alike && (known?.prompt ?? habits.usual(agent, model ?? '', bodyBytes))) || this.#foreseen
    return { ...prompt, output: Math.min(known?.output ?? usualReply, this.#foreseen.output) }
  }

  /** What each budget is charged: where nobody told how long a prompt was that is somewhere else, what was left at least. */
  #charges({ counted }: Ending, reckoned: Reckoned | undefined): readonly Amount[] {
    const amounts = this.#amounts(reckoned)
    if (!this.#tail || !this.order.hiddenInput || counted.usage) return amounts
    return amounts.map(({ tokens, nano }, i) => {
      const { tokens: mostTokens = 0, nano: mostNano = 0 } = this.#holds[i] ?? {}
      return { tokens: Math.max(tokens, mostTokens), nano: Math.max(nano, mostNano) }
    })
  }

  /** What a reply of this usage costs each budget; `undefined`: nobody knows. */
  #amounts(reckoned: Reckoned | undefined): readonly Amount[] {
    if (this.order.fixed || !reckoned) return this.#holds
    const { usage } = reckoned
    const cost = this.#budgets.some(({ nano }) => nano !== undefined) ? this.#cost(usage) : 0
    // Of a reply whose model turns out to have no price, the hold is charged.
    return this.#budgets.map((budget, i) => ({ tokens: weigh(usage, budget), nano: cost ?? this.#holds[i]?.nano ?? 0 }))
  }

  #cost(usage: Usage): number | undefined {
    const { model, provider, prices } = this.order
    const now = this.#desk.ledger.now()
    const named = usage.model === undefined ? undefined : costOf(usage, usage.model, provider, prices, now)
    return named ?? (model === undefined ? usage.reportedCost : costOf(usage, model, provider, prices, now))
  }

  /** Output tokens that may come, at the least, before a hold is outgrown: until then there is no need to look. */
  #slack(amounts: readonly Amount[], grown: number): number {
    const slacks = amounts.map(({ tokens, nano }, i) => {
      const hold = this.#holds[i] ?? nothing
      const inTokens = (hold.tokens - tokens) / Math.max(this.#budgets[i]?.weights.output ?? 1, 1)
      // A token costs no more than its share of what all has cost so far, the prompt included.
      return nano === 0 ? inTokens : Math.min(inTokens, (hold.nano / nano - 1) * grown)
    })
    return Math.floor(Math.min(...slacks))
  }

  /** The prompt is known now: less is held than before, if that is worth a write. */
  #shrink(usage: Usage, grown: number): void {
    this.#shrunk = true
    const { order } = this
    const most = order.mostOutput ?? this.#foreseen.output
    const expected = this.#desk.habits.expect(
      order.agent,
      order.model ?? '',
      order.bodyBytes,
      this.#budgets[0] ?? unweighted,
      this.#desk.ledger.now(),
    )
    const needs = this.#budgets.map((budget, i) => {
      const soon = cuttable(order, budget) && expected ? Math.min(most, Math.max(expected.output, grown + step.tokens)) : most
      const tokens = { ...usage.tokens, output: Math.max(soon, usage.tokens.output) }
      return this.#amounts({ usage: { ...usage, tokens }, exact: false })[i] ?? nothing
    })
    const frees = needs.some(
      (need, i) =>
        need.tokens < (this.#holds[i]?.tokens ?? 0) * (1 - worthwhile) ||
        need.nano < (this.#holds[i]?.nano ?? 0) * (1 - worthwhile),
    )
    if (!frees) return
    this.#hold(this.#holds.map((hold, i) => lesser(hold, needs[i] ?? hold)))
  }

  /** Holds less from now on. A ledger that does not hear of it holds too much, and never too little. */
  #hold(holds: readonly Amount[]): void {
    this.#holds = holds
    this.#desk.ledger.shrink(this.order.id, holds).then(() => this.#desk.wake(), ignore)
  }

  /** Takes more than was held: what has been used beyond it, and some of what may come. */
  async #grow(amounts: readonly Amount[], grown: number): Promise<void> {
    this.#looking = true
    const ahead = Math.max(growth.tokens, Math.ceil(grown * growth.share))
    try {
      if ((await this.#take(amounts, ahead)) || (await this.#take(amounts, 0))) return
      await this.#cutOver(amounts)
    } catch {
      // Blind for a moment: the next look may see again, and the hold is charged in any case.
    } finally {
      this.#looking = false
    }
  }

  async #take(amounts: readonly Amount[], ahead: number): Promise<boolean> {
    const wanted = amounts.map(({ tokens, nano }, i) => {
      const hold = this.#holds[i] ?? nothing
      const over = { tokens: tokens - hold.tokens, nano: nano - hold.nano }
      return {
        tokens: over.tokens > 0 ? over.tokens + ahead : 0,
        nano: over.nano > 0 ? over.nano + (ahead > 0 ? Math.ceil(nano * growth.share) : 0) : 0,
      }
    })
    const short = wanted.flatMap((hold, i) => {
      const [claim, budget] = [this.#claims[i], this.#budgets[i]]
      if (!claim || !budget || (hold.tokens === 0 && hold.nano === 0)) return []
      return [{ ...claim, limit: { tokens: budget.tokens, nano: budget.nano }, hold, least: hold }]
    })
    const id = `${this.order.id}+${this.#extra.length + 1}`
    if (!(await this.#desk.more(id, short))) return false
    this.#extra.push(id)
    this.#holds = this.#holds.map((hold, i) => ({
      tokens: hold.tokens + (wanted[i]?.tokens ?? 0),
      nano: hold.nano + (wanted[i]?.nano ?? 0),
    }))
    return true
  }

  async #look(amounts: readonly Amount[]): Promise<void> {
    this.#looking = true
    try {
      await this.#cutOver(amounts)
    } catch {
      // Blind for a moment: the next look may see again.
    } finally {
      this.#looking = false
    }
  }

  /** Ends the reply where a budget that ends replies has less than it has used. Throws `StoreError`. */
  async #cutOver(amounts: readonly Amount[]): Promise<void> {
    const balances = await this.#desk.ledger.balances(this.accounts)
    for (const [i, { account, spent, held }] of balances.entries()) {
      const budget = this.#budgets[i]
      const [hold, grown] = [this.#holds[i], amounts[i]]
      if (budget?.atLimit !== 'cut' || !hold || !grown) continue
      const used = {
        tokens: spent.tokens + held.tokens - hold.tokens + grown.tokens,
        nano: spent.nano + held.nano - hold.nano + grown.nano,
      }
      const over = standings(budget, { account, spent: used }).find((each) => each.used > each.limit)
      if (over) this.cut(exhaustedRefusal(over, this.order.agent))
    }
  }
}

function exceeds({ tokens, nano }: Amount, hold: Amount | undefined): boolean {
  return hold !== undefined && (tokens > hold.tokens || nano > hold.nano)
}

/** One of its limits is lower than before. */
function isLower(budget: Budget, before: Budget | undefined): boolean {
  return (budget.tokens ?? Infinity) < (before?.tokens ?? Infinity) || (budget.nano ?? Infinity) < (before?.nano ?? Infinity)
}

const nothingSeen: Counted = { usage: undefined, final: false, visibleOutput: 0, failed: false, lost: false }
const unweighted = { weights: Object.freeze({ input: 1, cache_read: 1, cache_write: 1, output: 1 }) }

function ignore(): void {}
