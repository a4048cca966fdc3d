/** Chat completions, legacy completions and embeddings. */
import type { Counted, Usage } from '#base/usage.ts'
import { count, countDocuments, member, saysError, text } from '../count.ts'
import type { UsageCount } from '../count.ts'
import type { Asked, FieldPath, Fields, ReplyKind, Shape } from '../types.ts'
import { inChat, readElsewhere, wantsOf } from '../elsewhere.ts'
import { askForUsage } from './amend.ts'
import { chatSpeech } from './speech.ts'
import { readUsage } from './usage.ts'

export interface ChatOptions {
  /** Ask streams for their usage, where the request does not: some servers refuse fields they do not know. */
  readonly amend: boolean
}

const wants: readonly FieldPath[] = [
  ['model'],
  ['stream'],
  ['stream_options'],
  ['max_tokens'],
  ['max_completion_tokens'],
  ['n'],
  ['best_of'],
  ['service_tier'],
  ...wantsOf(inChat),
]

/** `POST …/chat/completions`. */
export function chatShape({ amend }: ChatOptions): Shape {
  return shapeOf('openai/chat', amend)
}

/** `POST …/completions`, the legacy form. */
export function completionsShape({ amend }: ChatOptions): Shape {
  return shapeOf('openai/completions', amend)
}

/** `POST …/embeddings`. */
export const embeddingsShape: Shape = {
  name: 'openai/embeddings',
  wants: [['model']],
  read: (fields) => ({ ...readChat(fields), mostOutput: 0, stream: false }),
  counter: (reply) => counter(reply, { outputless: true }),
  speech: chatSpeech,
}

function shapeOf(name: string, amend: boolean): Shape {
  return {
    name,
    wants,
    read: readChat,
    counter: (reply) => counter(reply, { outputless: false }),
    ...(amend && { amend: askForUsage }),
    speech: chatSpeech,
  }
}

function readChat(fields: Fields): Asked {
  // A server may know one of them and not the other.
  const limits = [fields['max_completion_tokens'], fields['max_tokens']].flatMap((each) => count(each) ?? [])
  const answers = Math.max(count(fields['n']) ?? 1, count(fields['best_of']) ?? 1, 1)
  return {
    model: text(fields['model']),
    mostOutput: limits.length === 0 ? undefined : Math.max(...limits) * answers,
    stream: fields['stream'] === true,
    hasOptions: fields['stream_options'] !== undefined,
    usageAsked: member(fields['stream_options'], 'include_usage') === true,
    ...readElsewhere(fields, inChat),
    tier: text(fields['service_tier']),
    continues: undefined,
    refused: undefined,
  }
}

function counter({ contentType }: ReplyKind, options: { readonly outputless: boolean }) {
  return countDocuments(contentType === 'text/event-stream' ? 'sse' : 'json', new ChatTally(options))
}

const reported: readonly FieldPath[] = [
  ['id'],
  ['model'],
  ['service_tier'],
  ['usage'],
  ['error'],
  // OpenRouter says of each answer that its provider failed.
  ['choices', '*', 'error'],
]
const usages = ['usage']
const errors = ['error', 'choices.*.error']
const visible: readonly FieldPath[] = [
  ['choices', '*', 'text'],
  ['choices', '*', 'delta', 'content'],
  ['choices', '*', 'delta', 'refusal'],
  ['choices', '*', 'delta', 'reasoning'],
  ['choices', '*', 'delta', 'reasoning_content'],
  ['choices', '*', 'delta', 'tool_calls'],
]

/** The last usage counts: some servers report a running one with every chunk. */
class ChatTally implements UsageCount {
  readonly wants = reported
  readonly reports = usages
  readonly visible = visible
  readonly #outputless: boolean
  #usage: Usage | undefined
  /** Nothing came after the usage that it could not hold. */
  #last = false
  #failed = false

  constructor({ outputless }: { readonly outputless: boolean }) {
    this.#outputless = outputless
  }

  take(fields: Fields, visible: number): void {
    if (saysError(fields, errors)) this.#failed = true
    const beside = { model: fields['model'], id: fields['id'], tier: fields['service_tier'] }
    const usage = readUsage(fields['usage'], beside, { outputless: this.#outputless })
    if (usage) this.#last = visible === 0
    else if (visible > 0) this.#last = false
    this.#usage = usage ?? this.#usage
  }

  sum(complete: boolean): Pick<Counted, 'usage' | 'final' | 'failed'> {
    return { usage: this.#usage, final: this.#usage !== undefined && (complete || this.#last), failed: this.#failed }
  }
}
