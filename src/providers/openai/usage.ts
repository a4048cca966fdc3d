/** Usage as OpenAI and those who follow it write it, in both of its spellings. */
import type { Usage } from '#base/usage.ts'
import { usageWith } from '#base/usage.ts'
import { count, member, splitPrompt, text } from '../count.ts'

/** What stands beside the usage in a document. */
export interface Beside {
  readonly model: unknown
  readonly id: unknown
  readonly tier: unknown
}

/**
 * The prompt holds its cached part, the completion its reasoning. `undefined`: no usage, or one without its two counts; embeddings
 * have a prompt alone.
 */
export function readUsage(
  usage: unknown,
  { model, id, tier }: Beside,
  options: { readonly outputless?: boolean } = {},
): Usage | undefined {
  const prompt = count(member(usage, 'prompt_tokens') ?? member(usage, 'input_tokens'))
  const output =
    count(member(usage, 'completion_tokens') ?? member(usage, 'output_tokens')) ?? (options.outputless ? 0 : undefined)
  if (prompt === undefined || output === undefined) return undefined
  const read = member(usage, 'prompt_tokens_details') ?? member(usage, 'input_tokens_details')
  const written = member(usage, 'completion_tokens_details') ?? member(usage, 'output_tokens_details')
  const cost = member(usage, 'cost')
  return usageWith({
    model: text(model),
    tokens: splitPrompt(
      prompt,
      count(member(read, 'cached_tokens')) ?? 0,
      count(member(read, 'cache_write_tokens')) ?? 0,
      output,
    ),
    reasoning: count(member(written, 'reasoning_tokens')) ?? 0,
    tier: text(tier),
    responseId: text(id),
    reportedCost:
      typeof cost === 'number' && cost >= 0 && Number.isFinite(cost) ? Math.max(0, Math.ceil(cost * 1e9 - 1e-3)) : undefined,
  })
}
