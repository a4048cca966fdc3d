/** Budgets as the admin listener shows and takes them. */
import { fault, json, type HttpAnswer } from './http.ts'

/** One account: tokens are weighted, money is in US dollars, times are ISO 8601. `limit` null: none. */
export interface BudgetRow {
  readonly budget: string
  /** The agent; `*` when the crew shares it. */
  readonly holder: string
  readonly window: string
  readonly started: string
  readonly resets: string
  readonly requests: number
  readonly tokens: BudgetMeasure
  readonly usd: BudgetMeasure
}

export interface BudgetMeasure {
  readonly limit: number | null
  readonly used: number
  /** Held for requests that still run. */
  readonly reserved: number
}

/** What an operator wants to count as used from now on; what is left out stays. */
export interface BudgetChange {
  readonly budget: string
  /** `undefined`: the budget is shared by its crew. */
  readonly agent: string | undefined
  readonly tokens: number | undefined
  readonly usd: number | undefined
}

/** Spend under an old name, and the names it belongs under; what is left out stays. */
export interface SpendMove {
  readonly budget: string
  /** `undefined`: the budget was shared by its crew. */
  readonly agent: string | undefined
  readonly to: string | undefined
  readonly toAgent: string | undefined
}

export interface SpendSources {
  /** Folder of the policy in force, what was spent in the windows that run, under whatever name, and models without a price. */
  readonly spent: () => Promise<{
    readonly policies: string
    readonly spent: readonly object[]
    readonly unpriced: readonly object[]
  }>
  /** `undefined`: done; else which of the two accounts is not known. */
  readonly moveSpend: (move: SpendMove) => Promise<'from' | 'to' | undefined>
}

export interface BudgetSources {
  readonly budgets: () => Promise<readonly BudgetRow[]>
  /** `false`: nobody has this budget. */
  readonly setBudget: (change: BudgetChange) => Promise<boolean>
  readonly budgetClock: {
    /** Milliseconds. */
    ahead(): number
    putRight(): Promise<
      readonly { readonly account: { readonly budget: string; readonly holder: string; readonly window: number } }[]
    >
  }
}

/** `GET /v1/budgets`. */
export async function showBudgets({ budgets }: BudgetSources): Promise<HttpAnswer> {
  try {
    return json(200, await budgets())
  } catch {
    return fault(503, 'ledger_unavailable', 'the ledger of the budgets cannot be read')
  }
}

/** `POST /v1/budgets/set`: answers with the budgets as they are then. */
export async function changeBudget(body: Readonly<Record<string, unknown>>, sources: BudgetSources): Promise<HttpAnswer> {
  const { budget, agent, tokens, usd } = body
  const sound =
    typeof budget === 'string' &&
    (agent === undefined || typeof agent === 'string') &&
    [tokens, usd].every((each) => each === undefined || isAmount(each)) &&
    (tokens === undefined || Number.isInteger(tokens)) &&
    (tokens !== undefined || usd !== undefined)
  if (!sound) return fault(400, 'bad_body', 'name the budget, its agent, and what counts as used: tokens, usd or both')
  try {
    const known = await sources.setBudget({ budget, agent, tokens: tokens as number | undefined, usd: usd as number | undefined })
    if (known) return await showBudgets(sources)
  } catch {
    return fault(503, 'ledger_unavailable', 'the ledger of the budgets cannot be written')
  }
  const holder = agent === undefined ? 'shared by a crew' : `of agent ${JSON.stringify(agent)}`
  return fault(404, 'unknown_budget', `there is no budget ${JSON.stringify(budget)} ${holder}`)
}

/** `GET /v1/budgets/spent`. */
export async function showSpent({ spent }: SpendSources): Promise<HttpAnswer> {
  try {
    return json(200, await spent())
  } catch {
    return fault(503, 'ledger_unavailable', 'the ledger of the budgets cannot be read')
  }
}

/** `POST /v1/budgets/move`: answers with the budgets as they are then. */
export async function moveSpent(
  body: Readonly<Record<string, unknown>>,
  sources: SpendSources & BudgetSources,
): Promise<HttpAnswer> {
  const { budget, agent, to, to_agent: toAgent } = body
  const names = [agent, to, toAgent]
  if (
    typeof budget !== 'string' ||
    names.some((each) => each !== undefined && typeof each !== 'string') ||
    (to ?? toAgent) === undefined
  )
    return fault(400, 'bad_body', 'name the budget and its agent, and what they are called now: to, to_agent or both')
  try {
    const unknown = await sources.moveSpend({ budget, agent, to, toAgent } as SpendMove)
    if (unknown === undefined) return await showBudgets(sources)
    const [name, holder] = unknown === 'from' ? [budget, agent] : [to ?? budget, toAgent ?? agent]
    const of = `budget ${JSON.stringify(name)}${holder === undefined ? '' : ` of agent ${JSON.stringify(holder)}`}`
    return unknown === 'from'
      ? fault(404, 'unknown_budget', `nothing is spent of ${of} in the window that runs`)
      : fault(404, 'unknown_budget', `the policy in force has no ${of}`)
  } catch {
    return fault(503, 'ledger_unavailable', 'the ledger of the budgets cannot be written')
  }
}

/** `POST /v1/budgets/clock`: the time of budgets becomes that of this machine, and windows that have not begun are empty again. */
export async function putClockRight({ budgetClock }: BudgetSources): Promise<HttpAnswer> {
  try {
    const before = budgetClock.ahead()
    const early = await budgetClock.putRight()
    const emptied = early.map(({ account: { budget, holder, window } }) => ({
      budget,
      holder,
      began: new Date(window).toISOString(),
    }))
    return json(200, { before: before / 1000, ahead: budgetClock.ahead() / 1000, emptied })
  } catch {
    return fault(503, 'ledger_unavailable', 'the ledger of the budgets cannot be written')
  }
}

function isAmount(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 && value <= 1e12
}
