import { SingleFlight } from '#base/async.ts'
import type { Clock } from '#base/clock.ts'
import { budgetRecord } from '#journey/incident.ts'
import type { Audit, Ids } from '#journey/ports.ts'
import type { Snapshot } from '#journey/types.ts'
import { readBook } from '#metering/book.ts'
import type { BookLine } from '#metering/book.ts'
import { nanoDollars } from '#metering/compile.ts'
import { accountOf, Desk } from '#metering/desk.ts'
import type { BudgetEvent } from '#metering/notice.ts'
import type { Amount, Blind, Ledger } from '#metering/types.ts'
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
  readonly desk: Desk
  readonly #ports: BudgetPorts
  readonly #webhook: Webhook | undefined
  // Ten gauges are scraped at once and want the same book.
  readonly #reads = new SingleFlight<'book', readonly BookLine[]>()

  constructor(ports: BudgetPorts) {
    this.#ports = ports
    this.desk = new Desk({
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
    const snapshot = this.#ports.snapshot()
    const { ledger } = this.desk
    await ledger.open()
    const budget = snapshot?.budgets.get(change.budget)
    const holders = [...(snapshot?.policy.agents.values() ?? [])].filter(({ budgets }) => budgets.includes(change.budget))
    const holder = budget?.per === 'crew' ? holders[0]?.id : holders.find(({ id }) => id === change.agent)?.id
    if (!budget || holder === undefined || (budget.per === 'crew' && change.agent !== undefined)) return false
    const account = accountOf(budget, holder, ledger.now())
    const [balance] = await ledger.balances([account])
    await ledger.set(account, {
      tokens: change.tokens ?? balance?.spent.tokens ?? 0,
      nano: change.usd === undefined ? (balance?.spent.nano ?? 0) : nanoDollars(change.usd),
    })
    return true
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
