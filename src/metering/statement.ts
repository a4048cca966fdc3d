import { accountOf } from './admissions.ts'
import type { Account, Amount, Balance, Budget, Ledger } from './types.ts'
import { windowOf } from './window.ts'

/** One account as operators see it. Tokens are weighted; money is in nano-dollars (1e-9 USD), times in milliseconds since the epoch. */
export interface BookLine {
  readonly budget: Budget
  /** The agent; `*` when the crew shares it. */
  readonly holder: string
  readonly startedAt: number
  readonly resetsAt: number
  readonly spent: Amount
  /** Held for requests that still run. */
  readonly held: Amount
  readonly requests: number
}

/** Who is held to what. */
export interface Holder {
  readonly id: string
  readonly budgets: readonly string[]
}

/** Every account of the window that runs now, in the order of agents and their budgets. Throws `StoreError`. */
export async function readBook(
  agents: Iterable<Holder>,
  budgets: ReadonlyMap<string, Budget>,
  ledger: Ledger,
): Promise<readonly BookLine[]> {
  const accounts = accountsOf(agents, budgets, ledger.now())
  const balances = await ledger.balances(accounts.map(({ account }) => account))
  return accounts.map(({ account, budget }, i) => lineOf(budget, account, balances[i]))
}

/** The accounts that are running now; one shared by a crew is there once. */
function accountsOf(
  agents: Iterable<Holder>,
  budgets: ReadonlyMap<string, Budget>,
  now: number,
): readonly { readonly budget: Budget; readonly account: Account }[] {
  const found = new Map<string, { readonly budget: Budget; readonly account: Account }>()
  for (const { id, budgets: named } of agents) {
    for (const budget of named.flatMap((name) => budgets.get(name) ?? [])) {
      const account = accountOf(budget, id, now)
      const key = `${account.budget} ${account.holder}`
      if (!found.has(key)) found.set(key, { budget, account })
    }
  }
  return [...found.values()]
}

function lineOf(budget: Budget, account: Account, balance: Balance | undefined): BookLine {
  const { spent = nothing, held = nothing, requests = 0 } = balance ?? {}
  return {
    budget,
    holder: account.holder,
    startedAt: account.window,
    resetsAt: windowOf(budget, account.window).end,
    spent,
    held,
    requests,
  }
}

const nothing: Amount = { tokens: 0, nano: 0 }
