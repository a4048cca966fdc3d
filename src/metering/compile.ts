import { tokenClasses } from '#base/usage.ts'
import type { TokenClass } from '#base/usage.ts'
import type { ModelPrice } from './price.ts'
import type { Budget, CalendarWindow } from './types.ts'

/** A budget as the policy writes it; money in US dollars. */
export interface BudgetText {
  readonly per: Budget['per']
  readonly window: CalendarWindow
  readonly timezone: string
  readonly tokens?: number | undefined
  readonly usd?: number | undefined
  readonly warnAt: readonly number[]
  readonly atLimit: Budget['atLimit']
  readonly whenBlind: Budget['whenBlind']
  readonly weights: Readonly<Partial<Record<TokenClass, number | undefined>>>
}

/** Makes the frozen Budget of what was validated: dollars become nano-dollars, weights that are left out are 1. */
export function compileBudget(id: string, text: BudgetText): Budget {
  const { per, window, timezone, tokens, usd, warnAt, atLimit, whenBlind, weights } = text
  return Object.freeze({
    id,
    per,
    window,
    timezone,
    tokens,
    nano: usd === undefined ? undefined : nanoDollars(usd),
    warnAt: warnAt.toSorted((one, other) => one - other),
    atLimit,
    whenBlind,
    weights: Object.freeze(
      Object.fromEntries(tokenClasses.map((each) => [each, weights[each] ?? 1])) as Record<TokenClass, number>,
    ),
  })
}

/** A price as the policy writes it: `like`, or both `input` and `output`. */
export interface PriceText {
  readonly like?: string | undefined
  readonly input?: number | undefined
  readonly output?: number | undefined
  readonly cache_read?: number | undefined
  readonly cache_write?: number | undefined
}

export function compilePrice({ like, input = 0, output = 0, cache_read, cache_write }: PriceText): ModelPrice {
  return like === undefined ? { input, output, cache_read, cache_write } : { like }
}

/** The budget of one run of an agent, from its beginning to its end, in milliseconds since the epoch. */
export function runBudget(
  run: string,
  { tokens, usd }: Pick<BudgetText, 'tokens' | 'usd'>,
  span: { readonly start: number; readonly end: number },
): Budget {
  const text = {
    per: 'agent',
    window: 'day',
    timezone: 'UTC',
    tokens,
    usd,
    warnAt: [],
    atLimit: 'cut',
    whenBlind: 'refuse',
    weights: {},
  } as const
  return Object.freeze({ ...compileBudget(`${runPrefix}${run}`, text), window: 'run', span })
}

/** What the id of a run's budget begins with, which no id of a policy has. */
export const runPrefix = 'run:'

/** Whole nano-dollars (1e-9 USD). */
export function nanoDollars(usd: number): number {
  return Math.round(usd * 1e9)
}
