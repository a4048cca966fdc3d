import { SingleFlight } from '#base/async.ts'
import type { Clock } from '#base/clock.ts'
import { budgetRecord } from '#contracts/own-records.ts'
import type { Audit, Ids } from '#contracts/audit-record.ts'
import type { Snapshot } from '#contracts/snapshot.ts'
import { readBook } from '#metering/statement.ts'
import type { BookLine } from '#metering/statement.ts'
import { nanoDollars } from '#metering/compile.ts'
import { accountOf, sameAccount } from '#metering/account.ts'
import { Admissions } from '#metering/admissions.ts'
import type { BudgetEvent } from '#metering/notice.ts'
import { moveSpend, spentNow } from '#metering/spent.ts'
import type { Account, Amount, Blind, Ledger } from '#metering/types.ts'
import { localTime } from '#metering/window.ts'
import { alertOf, summaryOf } from './budget-alert.ts'
import type { Log } from './log.ts'
import { Webhook } from './webhook.ts'

/** A budget as its gauges show it: tokens are weighted, money is in US dollars. */
export interface BudgetGauge {
  /** `*`: shared by a crew. */
  readonly agent: string
  readonly budget: string
  readonly window: string
  readonly limit: Measured
  readonly used: Measured
  readonly reserved: Measured
  /** Milliseconds since the epoch. */
  readonly resetsAt: number
}

interface Measured {
  readonly tokens: number | undefined
  readonly usd: number | undefined
}

/** Spend under an old name, and the account of the policy that it belongs to. What is left out stays as it was. */
interface SpendMove {
  readonly budget: string
  /** `undefined`: the budget was shared by its crew. */
  readonly agent: string | undefined
  readonly to: string | undefined
  readonly toAgent: string | undefined
}

export interface BudgetPorts {
  readonly ledger: Ledger
  readonly clock: Clock
  readonly ids: Ids
  readonly audit: Audit
  readonly log: Log
  readonly snapshot: () => Snapshot | undefined
  /** Where thresholds are told besides log and audit. */
  readonly webhook: string | undefined
  /** Told, by budget, of each request that comes while the ledger cannot be asked. */
  readonly blind: (budget: string, how: Blind | 'refused') => void
}

/**
 * The desk, and what operators see and change of it: the balances of all accounts of the policy in force, and the news of a
 * threshold that was passed.
 */
export class Budgets {
  readonly desk: Admissions
  readonly #ports: BudgetPorts
  readonly #webhook: Webhook | undefined
  // Ten gauges are scraped at once and want the same book.
  readonly #reads = new SingleFlight<'book', readonly BookLine[]>()

  constructor(ports: BudgetPorts) {
    this.#ports = ports
    this.desk = new Admissions({
      ledger: ports.ledger,
      clock: ports.clock,
      news: (event) => this.tell(event),
      blind: ({ id }, how) => ports.blind(id, how),
    })
    this.#webhook =
      ports.webhook === undefined
        ? undefined
        : new Webhook(ports.webhook, (detail) => ports.log.warn({ event: 'webhook', detail }, 'a budget alert was not delivered'))
  }

  async close(): Promise<void> {
    await this.desk.close()
    await this.#webhook?.close()
    await this.#ports.ledger.close()
  }

  /** Empty where the ledger cannot be read: a scrape shows no budget rather than a wrong one. */
  async gauges(): Promise<readonly BudgetGauge[]> {
    const lines = await this.#book().catch(() => [])
    return lines.map(({ budget, holder, spent, held, resetsAt }) => ({
      agent: holder,
      budget: budget.id,
      window: budget.window,
      limit: { tokens: budget.tokens, usd: budget.nano === undefined ? undefined : budget.nano / 1e9 },
      used: measured(spent),
      reserved: measured(held),
      resetsAt,
    }))
  }

  /** For the admin listener. Throws `StoreError`. */
  async rows() {
    const lines = await this.#book()
    return lines.map(({ budget, holder, startedAt, resetsAt, spent, held, requests }) => ({
      budget: budget.id,
      holder,
      window: budget.window,
      started: localTime(budget.timezone, startedAt),
      resets: localTime(budget.timezone, resetsAt),
      requests,
      tokens: { limit: budget.tokens ?? null, used: spent.tokens, reserved: held.tokens },
      usd: {
        limit: budget.nano === undefined ? null : budget.nano / 1e9,
        used: spent.nano / 1e9,
        reserved: held.nano / 1e9,
      },
    }))
  }

  /** Sets what counts as used in the window that runs now. `false`: nobody has this budget. Throws `StoreError`. */
  async set(change: {
    readonly budget: string
    readonly agent: string | undefined
    readonly tokens: number | undefined
    readonly usd: number | undefined
  }): Promise<boolean> {
    const { ledger } = this.desk
    await ledger.open()
    const account = this.#account(change.budget, change.agent)
    if (!account || (account.holder === '*' && change.agent !== undefined)) return false
    const [balance] = await ledger.balances([account])
    await ledger.set(account, {
      tokens: change.tokens ?? balance?.spent.tokens ?? 0,
      nano: change.usd === undefined ? (balance?.spent.nano ?? 0) : nanoDollars(change.usd),
    })
    return true
  }

  /** What was spent in the windows that run, also on accounts that the policy does not have any more. Throws `StoreError`. */
  async spent() {
    const { ledger } = this.desk
    await ledger.open()
    const found = await spentNow(ledger, this.#ports.snapshot()?.budgets ?? new Map())
    return found.map(({ account, spent, requests }) => ({
      budget: account.budget,
      holder: account.holder,
      started: new Date(account.window).toISOString(),
      requests,
      tokens: spent.tokens,
      usd: spent.nano / 1e9,
    }))
  }

  /**
   * Moves what was spent under old names to an account of the policy. `undefined`: done; else what is not known: the account it comes from,
   * or the one it goes to. Throws `StoreError`.
   */
  async move({ budget, agent, to, toAgent }: SpendMove): Promise<'from' | 'to' | undefined> {
    const { ledger } = this.desk
    await ledger.open()
    const snapshot = this.#ports.snapshot()
    const target = this.#account(to ?? budget, toAgent ?? agent)
    if (!target) return 'to'
    const spent = await spentNow(ledger, snapshot?.budgets ?? new Map())
    const source = spent.find(({ account }) => account.budget === budget && account.holder === (agent ?? '*'))
    if (!source) return 'from'
    if (!sameAccount(source.account, target)) await moveSpend(ledger, source.account, target)
    return undefined
  }

  /** The account of a budget of the policy in its present window; `agent` is left out where a crew shares it. */
  #account(name: string, agent: string | undefined): Account | undefined {
    const snapshot = this.#ports.snapshot()
    const budget = snapshot?.budgets.get(name)
    const holders = [...(snapshot?.policy.agents.values() ?? [])].filter(({ budgets }) => budgets.includes(name))
    const holder = budget?.per === 'crew' ? holders[0]?.id : holders.find(({ id }) => id === agent)?.id
    return budget && holder !== undefined ? accountOf(budget, holder, this.desk.ledger.now()) : undefined
  }

  #book(): Promise<readonly BookLine[]> {
    return this.#reads.run('book', async () => {
      const { ledger } = this.desk
      const { policy, budgets } = this.#ports.snapshot() ?? {}
      if (!policy || !budgets || budgets.size === 0) return []
      await ledger.open()
      return readBook(policy.agents.values(), budgets, ledger)
    })
  }

  /** Tells of a threshold that was passed, at this desk or at another thread's. */
  tell(event: BudgetEvent): void {
    const { audit, clock, ids, log } = this.#ports
    const { kind, budget, account, measure, share } = event
    const summary = summaryOf(event)
    const fields = { event: `budget_${kind}`, budget: budget.id, agent: account.holder, measure, share }
    log[kind === 'exhausted' ? 'error' : 'warn'](fields, summary)
    audit.write(budgetRecord(ids.next(), clock.now(), event, summary))
    this.#webhook?.send(alertOf(event, clock.now()))
  }
}

function measured({ tokens, nano }: Amount): Measured {
  return { tokens, usd: nano / 1e9 }
}
