/** Spend in windows that run now, whatever the policy says of its budget today. */
import { accountOf, sameAccount } from './account.ts'
import type { Account, Balance, Budget, CalendarWindow, Ledger } from './types.ts'
import { windowAt } from './window.ts'

const windows: readonly CalendarWindow[] = ['hour', 'day', 'week', 'month']

/** Milliseconds: the longest window, a month of 31 days, and an hour that its clocks may be set back. */
const longest = 31 * 86_400_000 + 3_600_000

/**
 * Every account with spend in a window that runs now. Of a budget that the policy does not have any more nobody knows the window: it counts
 * as running if a window of any kind began at the same moment, in UTC or in the time zone of a budget. Throws `StoreError`.
 */
export async function spentNow(ledger: Ledger, budgets: ReadonlyMap<string, Budget>): Promise<readonly Balance[]> {
  const now = ledger.now()
  const zones = new Set(['UTC', ...[...budgets.values()].map(({ timezone }) => timezone)])
  const starts = new Set([...zones].flatMap((zone) => windows.map((window) => windowAt(window, zone, now).start)))
  const balances = await ledger.accounts(now - longest)
  return balances.filter(({ account }) => {
    const budget = budgets.get(account.budget)
    return budget ? sameAccount(account, accountOf(budget, account.holder, now)) : starts.has(account.window)
  })
}

/**
 * Moves what was spent on one account to another, in money and in tokens. Adds first: a process that dies between the two has counted it
 * twice, and never not at all. Throws `StoreError`.
 */
export async function moveSpend(ledger: Ledger, from: Account, to: Account): Promise<void> {
  const [source, target] = await ledger.balances([from, to])
  if (!source || !target) return
  await ledger.set(to, {
    tokens: target.spent.tokens + source.spent.tokens,
    nano: target.spent.nano + source.spent.nano,
  })
  await ledger.set(from, { tokens: 0, nano: 0 })
}
