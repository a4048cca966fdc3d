/**
 * Anthropic's Messages API. Source: platform.claude.com/docs/en/api/messages, and what Claude Code 2.1 sends. Bodies are never
 * changed: those of subscriptions carry an attestation of themselves.
 */
import type { Counted, TokenCounts, Usage } from '#base/usage.ts'
import { usageWith } from '#base/usage.ts'
import { count, countDocuments, member, nanoOf, saysError, text } from './count.ts'
import type { UsageCount } from './count.ts'
import { inBlocks, readElsewhere, wantsOf } from './elsewhere.ts'
import { boundedRetry, noRetry, spoken } from './speech.ts'
import type {
  Asked,
  Call,
  Classified,
  Counter,
  FieldPath,
  Fields,
  Notice,
  Provider,
  ReplyKind,
  Shape,
  Speech,
  SpokenReply,
} from './types.ts'

export const anthropic: Provider = {
  get speech() {
    return speech
  },
  id: 'anthropic',
  // 32 MB (docs.claude.com/en/api/overview, "Request size limits").
  mostBody: 32 << 20,
  owns: (host) => host === 'api.anthropic.com',
  classify({ method, path, upgrade }: Call): Classified {
    // Remote control and channels of Claude Code. The tokens of a session are those of its /v1/messages.
    if (path.startsWith('/v1/code/')) return { kind: 'free' }
    if (upgrade) return { kind: 'unmetered', reason: 'Anthropic has no WebSocket whose usage is known' }
    if (method !== 'POST') return { kind: 'free' }
    if (path === '/v1/messages') return { kind: 'metered', shape: messages }
    if (path === '/v1/messages/count_tokens' || path === '/v1/oauth/token') return { kind: 'free' }
    // What Claude Code says besides: profile, settings, bootstrap, telemetry.
    if (path.startsWith('/api/') || path === '/v1/mcp_servers') return { kind: 'free' }
    if (path === '/v1/messages/batches') return { kind: 'unmetered', reason: 'a batch reports its usage only when it is fetched' }
    return { kind: 'unmetered', reason: `Anthropic’s ${path} does not report what it costs` }
  },
}

/** Fields of a Messages request that `readMessages` reads. */
export const wantsOfMessages: readonly FieldPath[] = [
  ['model'],
  ['max_tokens'],
  ['stream'],
  ['speed'],
  ['service_tier'],
  ['inference_geo'],
  ...wantsOf(inBlocks),
]

/** A Messages request; Bedrock and Vertex send the same with the model in the path. */
export function readMessages(fields: Fields): Asked {
  return {
    model: text(fields['model']),
    mostOutput: count(fields['max_tokens']),
    stream: fields['stream'] === true,
    ...readElsewhere(fields, inBlocks),
    tier: tierOf(fields['speed'], fields['service_tier'], fields['inference_geo']),
    continues: undefined,
    refused: undefined,
  }
}

/** Counts a Messages reply, as one document or as events. */
export function countMessages({ contentType }: ReplyKind): Counter {
  return contentType === 'text/event-stream' ? countDocuments('sse', new EventTally()) : countDocuments('json', messageTally())
}

/** Source: docs.claude.com/en/api/errors. */
const errorTypes: Readonly<Record<number, string>> = { 403: 'permission_error', 413: 'request_too_large' }

const speech: Speech = {
  refusal({ kind, status, message, requestId }: Notice) {
    switch (kind) {
      case 'budget':
        // Claude Code shows a 402 after one request and stops; 429 it retries, 403 it takes for its login.
        return spoken(402, noRetry, errorBody('billing_error', message, requestId))
      case 'denied':
        return spoken(status ?? 403, noRetry, errorBody(errorTypes[status ?? 403] ?? 'invalid_request_error', message, requestId))
      case 'lasting':
        // A 403 it takes for its own login, a 503 it tries for three minutes.
        return spoken(400, noRetry, errorBody('invalid_request_error', message, requestId))
      case 'unavailable':
        return spoken(status ?? 503, boundedRetry, errorBody('api_error', message, requestId))
      default:
        return kind satisfies never
    }
  },
  cut({ message, requestId }: Notice, { contentType }: ReplyKind) {
    if (contentType !== 'text/event-stream') return undefined
    const body = errorBody('billing_error', message, requestId)
    return Buffer.from(`event: error\ndata: ${JSON.stringify(body)}\n\n`)
  },
}

export { speech as anthropicSpeech }

/** Limits of a Claude subscription, by the words in its headers. */
const subscriptionLimits = ['5h', '7d', '7d_opus', '7d_sonnet', '7d_oi', 'overage'] as const

/** `anthropic-ratelimit-unified-5h-utilization: 0.42`, on every reply to a subscription. */
function readLimits({ header }: ReplyKind): Readonly<Record<string, number>> {
  const limits: Record<string, number> = {}
  for (const limit of subscriptionLimits) {
    const share = Number(header(`anthropic-ratelimit-unified-${limit}-utilization`) ?? Number.NaN)
    if (share >= 0 && share <= 100) limits[limit] = share
  }
  return limits
}

const messages: Shape = {
  name: 'anthropic/messages',
  wants: wantsOfMessages,
  read: readMessages,
  counter: countMessages,
  limits: readLimits,
  speech,
}

function errorBody(type: string, message: string, requestId: string): SpokenReply['body'] {
  return { type: 'error', error: { type, message }, request_id: requestId }
}

const inDocument: readonly FieldPath[] = [['type'], ['id'], ['model'], ['usage'], ['error']]
const nowhere: readonly FieldPath[] = []

function messageTally(): UsageCount {
  let seen: Reported = {}
  let failed = false
  return {
    wants: inDocument,
    reports: ['usage'],
    visible: nowhere,
    take(fields) {
      failed = fields['type'] === 'error' || saysError(fields, ['error'])
      seen = merge({ model: text(fields['model']), id: text(fields['id']) }, fields['usage'])
    },
    sum() {
      const usage = usageOf(seen)
      return { usage, final: usage !== undefined, failed }
    },
  }
}

const inEvents: readonly FieldPath[] = [
  ['type'],
  ['message', 'id'],
  ['message', 'model'],
  ['message', 'usage'],
  ['usage'],
  ['amazon-bedrock-invocationMetrics'],
]
const inEventReports = ['message.usage', 'usage', 'amazon-bedrock-invocationMetrics']
const visible: readonly FieldPath[] = [
  ['delta', 'text'],
  ['delta', 'thinking'],
  ['delta', 'partial_json'],
]

/** The events of a stream: counters are cumulative and may be repeated, so the last one set counts, and none is ever added. */
export class EventTally implements UsageCount {
  readonly wants = inEvents
  readonly reports = inEventReports
  readonly visible = visible
  #last: Reported = {}
  #most: Reported = {}
  #metrics: unknown
  /** `message_delta` has told the output; what `message_start` says of it is a placeholder. */
  #told = false
  #failed = false

  take(fields: Fields): void {
    const type = fields['type']
    if (type === 'error') this.#failed = true
    const head = { model: text(fields['message.model']), id: text(fields['message.id']) }
    for (const usage of [fields['message.usage'], fields['usage']]) {
      if (typeof usage !== 'object' || usage === null) continue
      this.#last = merge({ ...this.#last, ...defined(head) }, usage)
      this.#most = mostOf(this.#most, this.#last)
      if (type === 'message_delta') this.#told = true
    }
    this.#metrics ??= fields['amazon-bedrock-invocationMetrics']
  }

  sum(complete: boolean): Pick<Counted, 'usage' | 'final' | 'failed'> {
    const reported = usageOf(complete || this.#told ? this.#last : this.#most)
    const usage = reported ?? metricsUsage(this.#metrics)
    return { usage, final: usage !== undefined && (this.#told || this.#metrics !== undefined), failed: this.#failed }
  }
}

/** What an API has said so far; `undefined` where it has said nothing. */
interface Reported {
  readonly model?: string | undefined
  readonly id?: string | undefined
  readonly input?: number | undefined
  readonly cacheRead?: number | undefined
  readonly cacheWrite?: number | undefined
  readonly cacheWriteHour?: number | undefined
  readonly output?: number | undefined
  readonly reasoning?: number | undefined
  readonly searches?: number | undefined
  readonly geo?: string | undefined
  readonly speed?: string | undefined
  readonly tier?: string | undefined
  readonly cost?: number | undefined
  readonly iterations?: unknown
}

/** Every field that the usage sets takes the place of what was known; null and absent ones change nothing. */
function merge(known: Reported, usage: unknown): Reported {
  const written = member(usage, 'cache_creation')
  const short = count(member(written, 'ephemeral_5m_input_tokens'))
  const hour = count(member(written, 'ephemeral_1h_input_tokens'))
  return {
    ...known,
    ...defined({
      input: count(member(usage, 'input_tokens')),
      cacheRead: count(member(usage, 'cache_read_input_tokens')),
      cacheWrite: count(member(usage, 'cache_creation_input_tokens')) ?? sumOf(short, hour),
      cacheWriteHour: hour,
      output: count(member(usage, 'output_tokens')),
      reasoning: count(member(member(usage, 'output_tokens_details'), 'thinking_tokens')),
      searches: count(member(member(usage, 'server_tool_use'), 'web_search_requests')),
      geo: text(member(usage, 'inference_geo')),
      speed: text(member(usage, 'speed')),
      tier: text(member(usage, 'service_tier')),
      cost: nanoOf(member(usage, 'cost')),
      iterations: member(usage, 'iterations') ?? undefined,
    }),
  }
}

/** What is served fast costs more than any tier; what may not leave a country costs more than what may. */
function tierOf(speed: unknown, tier: unknown, geo: unknown): string | undefined {
  const served = text(speed) === undefined || speed === 'standard' ? text(tier) : text(speed)
  if (text(geo) === undefined || geo === 'global' || geo === 'not_available') return served
  return served === undefined ? 'regional' : `${served}+regional`
}

function sumOf(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined && other === undefined ? undefined : (one ?? 0) + (other ?? 0)
}

function mostOf(one: Reported, other: Reported): Reported {
  const most = (a: number | undefined, b: number | undefined) =>
    a === undefined && b === undefined ? undefined : Math.max(a ?? 0, b ?? 0)
  return {
    ...other,
    ...defined({
      input: most(one.input, other.input),
      cacheRead: most(one.cacheRead, other.cacheRead),
      cacheWrite: most(one.cacheWrite, other.cacheWrite),
      output: most(one.output, other.output),
    }),
  }
}

function usageOf(reported: Reported): Usage | undefined {
  const { input, output } = reported
  if (input === undefined || output === undefined) return undefined
  const own: TokenCounts = {
    input,
    cache_read: reported.cacheRead ?? 0,
    cache_write: reported.cacheWrite ?? 0,
    output,
  }
  const iterations = Array.isArray(reported.iterations) ? (reported.iterations as unknown[]) : []
  // Compactions are billed and are not in the numbers above; the work of advisors is billed at their own prices.
  const compacted = iterations.filter((each) => member(each, 'type') === 'compaction').map(tokensOf)
  const advised = iterations.filter((each) => member(each, 'type') === 'advisor_message')
  return usageWith({
    model: reported.model,
    tokens: compacted.reduce(add, own),
    reasoning: reported.reasoning ?? 0,
    cacheWriteHour: compacted.length > 0 ? undefined : reported.cacheWriteHour,
    tier: tierOf(reported.speed, reported.tier, reported.geo),
    reportedCost: reported.cost,
    searches: reported.searches ?? 0,
    responseId: reported.id,
    others: advised.map((each) => ({ model: text(member(each, 'model')), tokens: tokensOf(each) })),
  })
}

function tokensOf(usage: unknown): TokenCounts {
  return {
    input: count(member(usage, 'input_tokens')) ?? 0,
    cache_read: count(member(usage, 'cache_read_input_tokens')) ?? 0,
    cache_write: count(member(usage, 'cache_creation_input_tokens')) ?? 0,
    output: count(member(usage, 'output_tokens')) ?? 0,
  }
}

function add(one: TokenCounts, other: TokenCounts): TokenCounts {
  return {
    input: one.input + other.input,
    cache_read: one.cache_read + other.cache_read,
    cache_write: one.cache_write + other.cache_write,
    output: one.output + other.output,
  }
}

/** Bedrock's own count in the last event of a stream, for models that report none themselves. */
function metricsUsage(metrics: unknown): Usage | undefined {
  const input = count(member(metrics, 'inputTokenCount'))
  const output = count(member(metrics, 'outputTokenCount'))
  if (input === undefined || output === undefined) return undefined
  return usageWith({
    tokens: {
      input,
      cache_read: count(member(metrics, 'cacheReadInputTokenCount')) ?? 0,
      cache_write: count(member(metrics, 'cacheWriteInputTokenCount')) ?? 0,
      output,
    },
  })
}

function defined<Values extends object>(values: Values): Partial<Values> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Partial<Values>
}
