/** Usage as a budget counts it. */
import type { Counted, TokenCounts, Usage } from '#base/usage.ts'
import { noTokens, usageWith } from '#base/usage.ts'
import type { Budget } from './types.ts'

/** All tokens of a reply, those of other models in it too, by their weights. Rounded up: a part of one counts as one. */
export function weigh({ tokens, others }: Pick<Usage, 'tokens' | 'others'>, budget: Pick<Budget, 'weights'>): number {
  return others.reduce((sum, other) => sum + weighTokens(other.tokens, budget), weighTokens(tokens, budget))
}

function weighTokens(tokens: TokenCounts, { weights }: Pick<Budget, 'weights'>): number {
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
  /** The upstream ended it properly; else someone broke it off. */
  readonly complete: boolean
  readonly stream: boolean
}

/** What is charged: the usage, and whether it is as reported. `undefined`: only the hold is left to go by. */
export interface Reckoned {
  readonly usage: Usage
  readonly exact: boolean
}

/**
 * What a reply used. Reported in full: that. Broken off: its prompt as reported, or as forecast when it streamed, and the output
 * reported or seen, whichever is more, and one at least; thoughts that were never shown are not in it. Otherwise nobody knows.
 */
export function reckon({ counted, complete, stream }: Ending, foreseen: TokenCounts): Reckoned | undefined {
  const { usage, final, visibleOutput, failed, lost } = counted
  if (usage && final && !lost) return { usage, exact: true }
  if (lost || (complete && !failed)) return undefined
  if (!usage && !stream) return undefined
  const output = Math.max(usage?.tokens.output ?? 0, visibleOutput, 1)
  const tokens = { ...(usage?.tokens ?? { ...noTokens, input: foreseen.input }), output }
  return { usage: { ...(usage ?? usageWith({})), tokens }, exact: false }
}
