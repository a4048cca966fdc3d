import type { Counted, TokenCounts, Usage } from '#base/usage.ts'
import type { Ending, Reckoned } from './charge.ts'
import { promptOf, reckon, weigh } from './charge.ts'
import type { Desk, Order } from './desk.ts'
import type { BudgetRefusal } from './notice.ts'
import { exhaustedRefusal, standings } from './notice.ts'
import { costOf, pricedName } from './price.ts'
import type { Account, Amount } from './types.ts'

/** What a metered request cost in the end. */
export interface Bill {
  /** `undefined`: nothing was reported, and what was held is charged. */
  readonly usage: Usage | undefined
  /** As the provider reported it, in full. */
  readonly exact: boolean
  /** Nano-dollars (1e-9 USD); `undefined`: not known. */
  readonly cost: number | undefined
  /** The name the model is priced under; `undefined`: nobody prices it. */
  readonly model: string | undefined
}

/** Growth in tokens, and as a share, after which a running reply is reckoned again. */
const step = { tokens: 64, share: 0.02 }

/** One request that is being served, with what is held for it. */
export class Held {
  readonly kind = 'held'
  readonly order: Order
  readonly accounts: readonly Account[]
  readonly #desk: Desk
  readonly #foreseen: TokenCounts
  /** The same without what is somewhere else. */
  readonly #certain: TokenCounts
  /** Held is what was left, and not what was foreseen. */
  readonly #tail: boolean
  readonly #holds: readonly Amount[]
  readonly #cuttable: boolean
  #lookAt = 0
  #looking = false
  #cut = false

  constructor(
    desk: Desk,
    order: Order,
    held: {
      readonly foreseen: TokenCounts
      readonly certain: TokenCounts
      readonly accounts: readonly Account[]
      readonly holds: readonly Amount[]
      readonly tail: boolean
    },
  ) {
    this.#desk = desk
    this.order = order
    this.accounts = held.accounts
    this.#foreseen = held.tail ? held.certain : held.foreseen
    this.#certain = held.certain
    this.#tail = held.tail
    this.#holds = held.holds
    this.#cuttable = !order.fixed && order.budgets.some(({ atLimit }) => atLimit === 'cut')
  }

  /** Whether anybody would end the reply that runs. */
  get watches(): boolean {
    return this.#cuttable && !this.#cut
  }

  /** Looks at what came by so far; a reply that has outgrown its hold is ended once its budget has nothing else left. Never throws. */
  watch(counted: Counted): void {
    if (!this.watches || this.#looking) return
    const grown = Math.max(counted.usage?.tokens.output ?? 0, counted.visibleOutput)
    if (grown < this.#lookAt) return
    this.#lookAt = grown + Math.max(step.tokens, grown * step.share)
    // What may not even be there is no reason to end a reply.
    const amounts = this.#amounts(reckon({ counted, complete: false, stream: true }, this.#certain))
    const outgrown = amounts.some(({ tokens, nano }, i) => {
      const hold = this.#holds[i]
      return hold !== undefined && (tokens > hold.tokens || nano > hold.nano)
    })
    if (outgrown) void this.#look(amounts)
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
    const reckoned = reckon(ending, this.#foreseen)
    if (reckoned?.exact && !hiddenInput && !images)
      this.#desk.calibration.learn(agent, model ?? '', bodyBytes, promptOf(reckoned.usage.tokens))
    const amounts = this.#charges(ending, reckoned)
    await this.#desk.leave(this, async () => {
      if (this.accounts.length > 0) await this.#desk.ledger.settle(id, this.accounts, amounts)
    })
    const named = reckoned?.usage.model ?? model
    const { provider, prices } = this.order
    return {
      usage: reckoned?.usage,
      exact: reckoned?.exact ?? false,
      cost: fixed?.nano ?? (reckoned && this.#cost(reckoned.usage)),
      model: named === undefined ? undefined : pricedName(named, provider, prices),
    }
  }

  /** Nothing was spent. Never rejects. */
  async release(): Promise<void> {
    await this.#desk.leave(this, async () => {
      if (this.accounts.length > 0) await this.#desk.ledger.release(this.order.id)
    })
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
    const { budgets, fixed } = this.order
    if (fixed || !reckoned) return this.#holds
    const { usage } = reckoned
    const cost = budgets.some(({ nano }) => nano !== undefined) ? this.#cost(usage) : 0
    // Of a reply whose model turns out to have no price, the hold is charged.
    return budgets.map((budget, i) => ({ tokens: weigh(usage, budget), nano: cost ?? this.#holds[i]?.nano ?? 0 }))
  }

  #cost(usage: Usage): number | undefined {
    const { model, provider, prices } = this.order
    const now = this.#desk.ledger.now()
    const named = usage.model === undefined ? undefined : costOf(usage, usage.model, provider, prices, now)
    return named ?? (model === undefined ? usage.reportedCost : costOf(usage, model, provider, prices, now))
  }

  async #look(amounts: readonly Amount[]): Promise<void> {
    this.#looking = true
    try {
      const balances = await this.#desk.ledger.balances(this.accounts)
      for (const [i, { account, spent, held }] of balances.entries()) {
        const budget = this.order.budgets[i]
        const [hold, grown] = [this.#holds[i], amounts[i]]
        if (budget?.atLimit !== 'cut' || !hold || !grown) continue
        const used = {
          tokens: spent.tokens + held.tokens - hold.tokens + grown.tokens,
          nano: spent.nano + held.nano - hold.nano + grown.nano,
        }
        const over = standings(budget, { account, spent: used }).find((each) => each.used > each.limit)
        if (over) this.cut(exhaustedRefusal(over, this.order.agent))
      }
    } catch {
      // Blind for a moment: the next look may see again, and the hold is charged in any case.
    } finally {
      this.#looking = false
    }
  }
}
