/** What a request would cost, and whom: the meter of its rule, and the budgets of its agent with how full they are. */
import { classify } from '#journey/meter.ts'
import type { Snapshot } from '#contracts/snapshot.ts'
import type { Agent, Ask, Rule } from '#policy/types.ts'

/** How the meter of a rule takes a request; `refused` is a code of the table. */
export interface ExplainedMeter {
  /** The provider; `auto` where the host is nobody's. */
  readonly provider: string
  readonly kind: 'metered' | 'free' | 'priced' | 'refused'
  readonly code?: 'unmetered' | 'upgrade_refused'
  readonly reason?: string
}

/** One account that the request is held to. Tokens are weighted, money is in US dollars; `null`: no limit. */
export interface ExplainedBudget {
  readonly id: string
  /** The agent; `*` when the crew shares it. */
  readonly holder: string
  readonly window: string
  readonly timezone: string
  readonly atLimit: 'refuse' | 'cut'
  readonly limit: { readonly tokens: number | null; readonly usd: number | null }
  /** As a running proxy tells it; `undefined`: none was asked. */
  readonly standing?: BudgetForecast | undefined
}

/** How full an account is: used, and held for requests that still run. */
export interface BudgetForecast {
  readonly used: Measures
  readonly reserved: Measures
  /** ISO 8601. */
  readonly resets: string
}

interface Measures {
  readonly tokens: number
  readonly usd: number
}

/** `undefined`: the rule has no meter. What the body may forbid is not known here. */
export function explainMeter(rule: Rule | undefined, ask: Ask): ExplainedMeter | undefined {
  const classified = rule && classify(rule, { ...ask, upgrade: false })
  if (!rule || !classified) return undefined
  const { provider } = classified
  switch (classified.kind) {
    case 'metered':
    case 'free':
      return { provider, kind: classified.kind }
    case 'fallback':
      return { provider, kind: 'refused', code: 'upgrade_refused', reason: 'this WebSocket cannot be metered' }
    case 'unmetered':
      if (rule.price) return { provider, kind: 'priced' }
      return { provider, kind: 'refused', code: 'unmetered', reason: classified.reason }
    default:
      return classified satisfies never
  }
}

/** Every budget that what this agent pays for must fit, in the order of the policy. */
export function explainBudgets({ budgets }: Snapshot, agent: Agent): readonly ExplainedBudget[] {
  return agent.budgets.flatMap((name) => {
    const budget = budgets.get(name)
    if (!budget) return []
    const { id, per, window, timezone, atLimit, tokens = null, nano } = budget
    const limit = { tokens, usd: nano === undefined ? null : nano / 1e9 }
    return [{ id, holder: per === 'crew' ? '*' : agent.id, window, timezone, atLimit, limit }]
  })
}

/** One line: `day (devbot): 1200 of 5000 tokens used, 300 held; …`. */
export function budgetText({ id, holder, window, timezone, atLimit, limit, standing }: ExplainedBudget): string {
  const measures = (['tokens', 'usd'] as const).flatMap((name) => {
    const most = limit[name] === null ? undefined : amountText(name, limit[name])
    if (!standing) return most === undefined ? [] : [`at most ${most}`]
    const { used, reserved } = standing
    if (most === undefined && used[name] === 0) return []
    const held = reserved[name] > 0 ? `, ${amountText(name, reserved[name])} held` : ''
    const of = most === undefined ? amountText(name, used[name]) : `${numberText(name, used[name])} of ${most}`
    return [`${of} used${held}`]
  })
  const when = standing ? `resets ${standing.resets}` : `each ${window} in ${timezone}`
  return `${id} (${holder}): ${[...measures, when, `at its limit: ${atLimit}`].join('; ')}`
}

function amountText(measure: 'tokens' | 'usd', value: number): string {
  return `${numberText(measure, value)}${measure === 'tokens' ? ' tokens' : ''}`
}

function numberText(measure: 'tokens' | 'usd', value: number): string {
  return measure === 'tokens' ? String(value) : `$${value.toFixed(2)}`
}
