/** How a token counts and is priced. The same words in policy, metrics and audit; disjoint, so their sum is every token. */
export const tokenClasses = ['input', 'cache_read', 'cache_write', 'output'] as const
export type TokenClass = (typeof tokenClasses)[number]

/** Whole numbers, never negative. */
export type TokenCounts = Readonly<Record<TokenClass, number>>

/** Tokens of sound, heard and spoken. */
export interface Sound {
  readonly input: number
  readonly output: number
}

/** What one reply cost, as its provider reports it, in one shape for all providers. */
export interface Usage {
  /** As the reply names it, which may differ from the one asked for. */
  readonly model: string | undefined
  readonly tokens: TokenCounts
  /** Part of `output` that was thought and not shown; information only. */
  readonly reasoning: number
  /** Part of `cache_write` that is kept for an hour and costs more; `undefined`: the reply does not say. */
  readonly cacheWriteHour: number | undefined
  /** The provider's words for how it was served (`standard`, `priority`, `batch`, `flex`, `fast`), with `+` between; prices follow them. */
  readonly tier: string | undefined
  /** Parts of `input` and `output` that were sound, which costs more. */
  readonly sound?: Sound | undefined
  /** Server-side web searches, which are billed one by one. */
  readonly searches: number
  /** What the provider says it cost, in nano-dollars (1e-9 USD). */
  readonly reportedCost: number | undefined
  /** The provider's id of the reply, the same when it is fetched again. */
  readonly responseId: string | undefined
  /** Work of other models inside the same reply (an advisor), each priced on its own; their tokens are not in `tokens`. */
  readonly others: readonly { readonly model: string | undefined; readonly tokens: TokenCounts }[]
}

/**
 * What a provider bills of a reply in one piece whose client has left. `stops`: the provider ends its work, and bills the prompt and what it
 * has done; `goes_on`: it ends the reply, and bills it whole.
 */
export type AfterAbort = 'stops' | 'goes_on'

/** What is known of a reply's usage while it streams, and after. */
export interface Counted {
  /** As reported; `undefined`: nothing was reported (yet). */
  readonly usage: Usage | undefined
  /** The reported usage is whole: nothing more is to come. */
  readonly final: boolean
  /** Visible output in tokens, estimated from the bytes that came by, rounded up. */
  readonly visibleOutput: number
  /** The provider said in the reply that it failed: what it did until then counts. */
  readonly failed: boolean
  /** A cap of ours was met (line too long, too deep): what was counted cannot be trusted. */
  readonly lost: boolean
}

export const noTokens: TokenCounts = Object.freeze({ input: 0, cache_read: 0, cache_write: 0, output: 0 })

/** A usage with nothing in it but what is given. */
export function usageWith(parts: Partial<Usage>): Usage {
  return {
    model: undefined,
    tokens: noTokens,
    reasoning: 0,
    cacheWriteHour: undefined,
    tier: undefined,
    searches: 0,
    reportedCost: undefined,
    responseId: undefined,
    others: [],
    ...parts,
  }
}
