/** Usage as OpenAI and those who follow it write it, in both of its spellings. */
import type { Usage } from '#base/usage.ts'
import { usageWith } from '#base/usage.ts'
import { count, member, nanoOf, splitPrompt, text } from '../count.ts'

/** What stands beside the usage in a document. */
export interface Beside {
  readonly model: unknown
  readonly id: unknown
  readonly tier: unknown
  /** Kinds of what the response is made of. */
  readonly items?: unknown
}

/** Calls of tools that OpenAI makes and bills one by one. */
const billedCalls: ReadonlySet<unknown> = new Set(['web_search_call', 'file_search_call'])

/**
 * The prompt holds its cached part, the completion its reasoning. `undefined`: no usage, or one without its two counts; embeddings
 * have a prompt alone.
 */
export function readUsage(
  usage: unknown,
  { model, id, tier, items }: Beside,
  options: { readonly outputless?: boolean } = {},
): Usage | undefined {
  const prompt = count(member(usage, 'prompt_tokens') ?? member(usage, 'input_tokens'))
  const output =
    count(member(usage, 'completion_tokens') ?? member(usage, 'output_tokens')) ?? (options.outputless ? 0 : undefined)
  if (prompt === undefined || output === undefined) return undefined
  const read = member(usage, 'prompt_tokens_details') ?? member(usage, 'input_tokens_details')
  const written = member(usage, 'completion_tokens_details') ?? member(usage, 'output_tokens_details')
  const [heard = 0, spoken = 0] = [read, written].map((details) => count(member(details, 'audio_tokens')))
  return usageWith({
    model: text(model),
    tokens: splitPrompt(
      prompt,
      count(member(read, 'cached_tokens')) ?? 0,
      count(member(read, 'cache_write_tokens')) ?? 0,
      output,
    ),
    reasoning: count(member(written, 'reasoning_tokens')) ?? 0,
    sound: heard + spoken > 0 ? { input: heard, output: spoken } : undefined,
    tier: text(tier),
    searches: Array.isArray(items) ? items.filter((each) => billedCalls.has(each)).length : 0,
    responseId: text(id),
    reportedCost: nanoOf(member(usage, 'cost')),
  })
}
