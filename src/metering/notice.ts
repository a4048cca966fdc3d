/** What an agent and an operator are told about a budget. */
import type { Account, Amount, Balance, Budget, Claim, Exhausted } from './types.ts'
import { localTime, windowOf } from './window.ts'

export type Measure = 'tokens' | 'usd'

/** A budget as it stands, for a person to read. */
export interface BudgetStatus {
  readonly budget: Budget
  readonly account: Account
  readonly measure: Measure
  /** Tokens, or nano-dollars. */
  readonly used: number
  readonly limit: number
  /** Milliseconds since the epoch. */
  readonly resetsAt: number
}

/** Something that is told once a window. */
export interface BudgetEvent extends BudgetStatus {
  readonly kind: 'warning' | 'exhausted'
  /** Share of the limit that was passed: 1 when exhausted. */
  readonly share: number
}

/** Why a request is not paid for. */
export interface BudgetRefusal {
  readonly kind: 'refused'
  readonly code: 'budget_exhausted' | 'budget_insufficient' | 'budget_busy' | 'model_unpriced'
  /** The budget that refuses. */
  readonly budget: string
  /** For the agent to read. */
  readonly reason: string
  /** Milliseconds since the epoch when the budget that is used up starts anew. */
  readonly resetsAt: number | undefined
  /** Milliseconds for which the request has waited for room; left out: not at all. */
  readonly waited?: number
}

/** Each limit of a budget as its account stands. */
export function standings(budget: Budget, { account, spent }: Pick<Balance, 'account' | 'spent'>): readonly BudgetStatus[] {
  const resetsAt = windowOf(budget, account.window).end
  return measures.flatMap((measure) => {
    const limit = limitOf(budget, measure)
    return limit === undefined ? [] : [{ budget, account, measure, used: amountIn(spent, measure), limit, resetsAt }]
  })
}

const measures: readonly Measure[] = ['tokens', 'usd']

/** The limit in tokens, or in nano-dollars; `undefined`: none. */
function limitOf({ tokens, nano }: Pick<Budget, 'tokens' | 'nano'>, measure: Measure): number | undefined {
  return measure === 'tokens' ? tokens : nano
}

function amountIn({ tokens, nano }: Amount, measure: Measure): number {
  return measure === 'tokens' ? tokens : nano
}

/** `Daily token budget "crew" is used up: agent devbot, 5000000 of 5000000 tokens; resets 2026-11-22T00:00:00Z.` */
function exhaustedText(standing: BudgetStatus, agent: string): string {
  const { budget, measure, limit, resetsAt } = standing
  const name = `${adverbs[budget.window]} ${measure === 'tokens' ? 'token' : 'money'} budget "${budget.id}"`
  if (limit === 0) return `${name} of agent ${agent} is 0, which blocks everything. Retrying will not help.`
  const holder = budget.per === 'crew' ? `shared by its crew (you are ${agent})` : `agent ${agent}`
  if (budget.window === 'run') return `${name} is used up: ${usedText(standing)}. Retrying will not help.`
  return `${name} is used up: ${holder}, ${usedText(standing)}; resets ${localTime(budget.timezone, resetsAt)}. Retrying before that will not help.`
}

const adverbs: Readonly<Record<Budget['window'], string>> = {
  hour: 'Hourly',
  day: 'Daily',
  week: 'Weekly',
  month: 'Monthly',
  run: 'The run’s',
}

/** `5000000 of 5000000 tokens`, `40.00 of 40.00 dollars`. */
export function usedText({ measure, used, limit }: Pick<BudgetStatus, 'measure' | 'used' | 'limit'>): string {
  if (measure === 'tokens') return `${used} of ${limit} tokens`
  return `${dollars(used)} of ${dollars(limit)} dollars`
}

function dollars(nano: number): string {
  return (nano / 1e9).toFixed(2)
}

/** The refusal of an agent whose budget is used up. `asked`: what the request would have held, in tokens or nano-dollars. */
export function exhaustedRefusal(standing: BudgetStatus, agent: string, asked?: number): BudgetRefusal {
  return {
    kind: 'refused',
    code: 'budget_exhausted',
    budget: standing.budget.id,
    reason: `${exhaustedText(standing, agent)}${asked === undefined ? '' : askedText(standing, asked)}`,
    resetsAt: standing.resetsAt,
  }
}

/** The refusal of a request that needs more than is left: a smaller one may fit. `needs`: tokens, or nano-dollars. */
export function insufficientRefusal(standing: BudgetStatus, agent: string, needs: number): BudgetRefusal {
  const { budget, measure, used, limit, resetsAt } = standing
  const name = `${adverbs[budget.window]} ${measure === 'tokens' ? 'token' : 'money'} budget "${budget.id}"`
  const holder = budget.per === 'crew' ? `shared by its crew (you are ${agent})` : `agent ${agent}`
  const left = usedText({ measure, used: limit - used, limit })
  const about = measure === 'tokens' ? `${needs} tokens` : `${dollars(needs)} dollars`
  const reset = budget.window === 'run' ? '' : `; resets ${localTime(budget.timezone, resetsAt)}`
  return {
    kind: 'refused',
    code: 'budget_insufficient',
    budget: budget.id,
    reason: `${name}, ${holder}: this request does not fit what is left (${left}; this request needs about ${about})${reset}. A shorter one may.`,
    resetsAt,
  }
}

/** Why a claim that does not fit is refused. Throws where the ledger names a limit that its budget does not have. */
export function refusalOf(
  { agent, fixed }: { readonly agent: string; readonly fixed: Amount | undefined },
  budget: Budget,
  { hold, least }: Claim,
  { measure, balance }: Exhausted,
): BudgetRefusal {
  const standing = standings(budget, balance).find((each) => each.measure === measure)
  if (!standing) throw new Error('the ledger names a limit that the budget does not have')
  const asked = measure === 'tokens' ? hold.tokens : hold.nano
  // A fixed price is no guess: what does not fit now will not, however short it is.
  if (standing.used >= standing.limit || fixed) return exhaustedRefusal(standing, agent, asked)
  return insufficientRefusal(standing, agent, measure === 'tokens' ? least.tokens : hold.nano)
}

/** ` 0 tokens are left, and this request asks for about 400.` */
function askedText({ measure, used, limit }: Pick<BudgetStatus, 'measure' | 'used' | 'limit'>, asked: number): string {
  return ` ${amountText(measure, Math.max(0, limit - used))} are left; this request asks for about ${amountText(measure, asked)}.`
}

function amountText(measure: Measure, amount: number): string {
  return measure === 'tokens' ? `${amount} tokens` : `${dollars(amount)} dollars`
}

/** An account that is full of reservations, and what a request asks of it. */
export interface Crowd {
  readonly budget: Budget
  readonly balance: Balance
  readonly asked: Amount
}

/** The refusal of a request that waited too long behind others; `crowd` left out: nobody knows how full the account is. */
export function busyRefusal(budget: string, agent: string, crowd?: Crowd): BudgetRefusal {
  const figures = crowd ? crowdText(crowd) : ''
  const reason = `what is left of budget "${budget}" is held for other requests of ${agent} that still run${figures}`
  return { kind: 'refused', code: 'budget_busy', budget, reason, resetsAt: undefined }
}

/** `: 1000 of 5000 tokens used, 3900 held, 100 left; this request asks for about 400 tokens`, of the measure that is shortest. */
function crowdText({ budget, balance, asked }: Crowd): string {
  const [tightest] = standings(budget, balance)
    .map((standing) => {
      const held = amountIn(balance.held, standing.measure)
      const left = Math.max(0, standing.limit - standing.used - held)
      return { standing, held, left, wanted: amountIn(asked, standing.measure) }
    })
    .toSorted((one, other) => one.left / Math.max(one.wanted, 1) - other.left / Math.max(other.wanted, 1))
  if (!tightest) return ''
  const { standing, held, left, wanted } = tightest
  const { measure } = standing
  return `: ${usedText(standing)} used, ${amountText(measure, held)} held, ${amountText(measure, left)} left; this request asks for about ${amountText(measure, wanted)}`
}

/** The refusal of a request whose price is not known. `meter`: where its price is looked up. */
export function unpricedRefusal(budget: string, model: string | undefined, meter: string): BudgetRefusal {
  const named = model === undefined ? 'a request that names no model' : `the model ${JSON.stringify(model.slice(0, 100))}`
  const reason = `budget "${budget}" limits money, and the price of ${named} is not known; ask the operator to add it under \`prices\` (meter ${meter})`
  return { kind: 'refused', code: 'model_unpriced', budget, reason, resetsAt: undefined }
}
