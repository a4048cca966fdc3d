/** Usage as a budget counts it. */
import type { AfterAbort, Counted, TokenCounts, Usage } from '#base/usage.ts'
import { usageWith } from '#base/usage.ts'
import type { Budget } from './types.ts'

/** All tokens of a reply, those of other models in it too, by their weights. */
export function weigh({ tokens, others }: Pick<Usage, 'tokens' | 'others'>, budget: Pick<Budget, 'weights'>): number {
  return others.reduce((sum, other) => sum + weighTokens(other.tokens, budget), weighTokens(tokens, budget))
}

/** Tokens by their weights. Rounded up: a part of one counts as one. */
export function weighTokens(tokens: TokenCounts, { weights }: Pick<Budget, 'weights'>): number {
  const sum =
    tokens.input * weights.input +
    tokens.cache_read * weights.cache_read +
    tokens.cache_write * weights.cache_write +
    tokens.output * weights.output
  return Math.ceil(sum - 1e-6)
}

/** The most a prompt and its reply can count: a token of the prompt may turn out to be of any of its three classes. */
export function weighMost(tokens: TokenCounts, { weights }: Pick<Budget, 'weights'>): number {
  const dearest = Math.max(weights.input, weights.cache_read, weights.cache_write)
  return Math.ceil(tokens.input * dearest + tokens.output * weights.output - 1e-6)
}

/** All tokens of a prompt, cached or not. */
export function promptOf({ input, cache_read, cache_write }: TokenCounts): number {
  return input + cache_read + cache_write
}

/** How a metered reply ended. */
export interface Ending {
  readonly counted: Counted
  /** The upstream ended it properly; else it was broken off. */
  readonly complete: boolean
  readonly stream: boolean
  /** What the provider bills of a reply in one piece whose agent has left; `undefined`: not known. */
  readonly afterAbort?: AfterAbort | undefined
}

/**
 * What a charge goes by. `seen`: the prompt, and the output that went by; `prompt`: the prompt alone, as the provider stopped;
 * `expected`: the prompt and what such replies use, as the provider goes on; `failed`: nothing, as the provider says that it failed;
 * `held`: nothing was reported, so all that was held is charged.
 */
export type Basis = 'seen' | 'prompt' | 'expected' | 'failed' | 'held'

/** What is charged: the usage, and whether it is as reported. `undefined`: only the hold is left to go by. */
export interface Reckoned {
  readonly usage: Usage
  readonly exact: boolean
  /** Left out: as reported. */
  readonly basis?: Basis
}

/** True if the provider has reported all that the reply used. */
export function isReported({ counted: { usage, final, lost } }: Pick<Ending, 'counted'>): boolean {
  return usage !== undefined && final && !lost
}

/**
 * What a reply used. Reported in full: that. A reply in one piece that says that it failed, and not what it used: nothing. Broken off:
 * its prompt as reported, or as forecast, and the output reported or seen, whichever is more, and one at least; thoughts that were never
 * shown are not in it. One that came in one piece and whose agent left: what the provider bills then. Otherwise only the hold is known.
 */
export function reckon({ counted, complete, stream, afterAbort }: Ending, foreseen: TokenCounts): Reckoned | undefined {
  const { usage, visibleOutput, failed, lost } = counted
  if (usage && isReported({ counted })) return { usage, exact: true }
  if (lost || (complete && !failed)) return undefined
  if (complete && !stream && !usage) return { usage: usageWith({}), exact: false, basis: 'failed' }
  if (!usage && !stream) {
    if (!afterAbort) return undefined
    const output = afterAbort === 'goes_on' ? foreseen.output : 1
    return {
      usage: usageWith({ tokens: { ...foreseen, output } }),
      exact: false,
      basis: afterAbort === 'goes_on' ? 'expected' : 'prompt',
    }
  }
  const output = Math.max(usage?.tokens.output ?? 0, visibleOutput, 1)
  const tokens = { ...(usage?.tokens ?? { ...foreseen, output: 0 }), output }
  return { usage: { ...(usage ?? usageWith({})), tokens }, exact: false, basis: 'seen' }
}
