/** How budgets were spent while the process runs: one sample a minute, for burn rates and plots. */
import type { BudgetRow } from '#admin/budgets.ts'
import type { Point } from './plot.ts'

/** Samples that are kept: a day. */
const most = 1_440
const minute = 60_000
/** Burn is what was spent in the last ten minutes. */
const burnWindow = 10 * minute

export interface Burn {
  /** Tokens or US dollars an hour. */
  readonly hourly: number
  /** When it ends at that rate, in milliseconds since the epoch; `undefined`: not before the window does. */
  readonly endsAt: number | undefined
}

export class Spend {
  #samples: { readonly at: number; readonly rows: readonly BudgetRow[] }[] = []
  #timer: NodeJS.Timeout | undefined

  /** Takes a sample a minute until `stop`. A ledger that cannot be read leaves a gap. */
  start(read: () => Promise<readonly BudgetRow[]>, now: () => number): void {
    const take = () =>
      read()
        .then((rows) => this.add(now(), rows))
        .catch(() => {})
    this.#timer = setInterval(() => void take(), minute).unref()
    void take()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  add(at: number, rows: readonly BudgetRow[]): void {
    this.#samples.push({ at, rows })
    if (this.#samples.length > most) this.#samples.shift()
  }

  /** What was used in the window that runs, sample by sample, and now. */
  points(row: BudgetRow, measure: 'tokens' | 'usd', now: number): readonly Point[] {
    const earlier = this.#samples.flatMap(({ at, rows }) => {
      const same = rows.find(
        ({ budget, holder, started }) => budget === row.budget && holder === row.holder && started === row.started,
      )
      return same && at < now ? [{ at, value: same[measure].used }] : []
    })
    return [...earlier, { at: now, value: row[measure].used }]
  }

  burn(row: BudgetRow, measure: 'tokens' | 'usd', now: number): Burn | undefined {
    const points = this.points(row, measure, now)
    const from = points.find(({ at }) => at >= now - burnWindow)
    if (!from || now - from.at < minute / 2) return undefined
    const { limit, used } = row[measure]
    const hourly = ((used - from.value) / (now - from.at)) * 3_600_000
    const endsAt = limit === null || hourly <= 0 ? undefined : now + (Math.max(0, limit - used) / hourly) * 3_600_000
    return { hourly, endsAt: endsAt !== undefined && endsAt < Date.parse(row.resets) ? endsAt : undefined }
  }
}
