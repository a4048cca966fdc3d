/** Amazon Bedrock's runtime: Converse and InvokeModel. Source: docs.aws.amazon.com/bedrock/latest/APIReference. */
import type { Usage } from '#base/usage.ts'
import { usageWith } from '#base/usage.ts'
import { EventTally, readMessages, wantsOfMessages } from './anthropic.ts'
import { count, countDocuments, hasOne, member, saysError, text, visibleTokens } from './count.ts'
import type { UsageCount } from './count.ts'
import { inConverse, readElsewhere, wantsOf } from './elsewhere.ts'
import { JsonFields } from './scan/json-fields.ts'
import { FrameScanner, writeFrame } from './scan/event-stream.ts'
import { boundedRetry, spoken } from './speech.ts'
import type { Call, Classified, Counted, Counter, FieldPath, Provider, ReplyKind, Shape, Speech, SpokenReply } from './types.ts'

export const bedrock: Provider = {
  get speech() {
    return speech
  },
  id: 'bedrock',
  // 25 MB (docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html).
  mostBody: 32 << 20,
  owns: (host) => /^bedrock-runtime(?:-fips)?\.[a-z0-9-]+\.(?:amazonaws\.com(?:\.cn)?|api\.aws)$/.test(host),
  classify({ method, path, upgrade }: Call): Classified {
    if (upgrade) return { kind: 'unmetered', reason: 'Bedrock has no WebSocket whose usage is known' }
    if (method !== 'POST') return { kind: 'free' }
    const verb = modelPath.exec(path)?.[2] ?? ''
    switch (verb) {
      case 'converse':
      case 'converse-stream':
        return { kind: 'metered', shape: converse }
      case 'invoke':
      case 'invoke-with-response-stream':
        return { kind: 'metered', shape: invoke }
      case 'count-tokens':
        return { kind: 'free' }
      default:
        // Guardrails cost by the text and say nothing of it; jobs run on their own.
        return { kind: 'unmetered', reason: `${path} does not report what it costs` }
    }
  },
}

const modelPath = /^\/model\/([^/]+)\/([a-z-]+)$/
const stream = 'application/vnd.amazon.eventstream'

/** AWS's SDKs ask again after 429 and 5xx: what will not get better is a 400 of its own kind. */
const speech: Speech = {
  refusal({ kind, status, message }) {
    switch (kind) {
      case 'budget':
        return awsError(400, 'ServiceQuotaExceededException', message)
      case 'denied':
        return awsError(status ?? 403, (status ?? 403) === 403 ? 'AccessDeniedException' : 'ValidationException', message)
      case 'lasting':
        return awsError(403, 'AccessDeniedException', message)
      case 'unavailable':
        return awsError(status ?? 503, 'ServiceUnavailableException', message, boundedRetry)
      default:
        return kind satisfies never
    }
  },
  cut({ message }, { contentType }) {
    if (contentType !== stream) return undefined
    const headers = {
      ':message-type': 'exception',
      ':exception-type': 'modelStreamErrorException',
      ':content-type': 'application/json',
    }
    return writeFrame(headers, Buffer.from(JSON.stringify({ message, originalStatusCode: 402 })))
  },
}

function awsError(status: number, type: string, message: string, headers: readonly string[] = []): SpokenReply {
  return spoken(status, ['x-amzn-errortype', type, ...headers], { message })
}

const converse: Shape = {
  name: 'bedrock/converse',
  wants: [['inferenceConfig', 'maxTokens'], ['serviceTier', 'type'], ...wantsOf(inConverse)],
  read: (fields, { path }) => ({
    model: modelOf(path),
    mostOutput: count(fields['inferenceConfig.maxTokens']),
    stream: path.endsWith('/converse-stream'),
    ...readElsewhere(fields, inConverse),
    tier: text(fields['serviceTier.type']),
    continues: undefined,
    refused: undefined,
  }),
  counter: ({ contentType }) =>
    contentType === stream ? countFrames(converseTally(), ({ payload }) => payload) : countDocuments('json', converseTally()),
  speech,
}

const invoke: Shape = {
  name: 'bedrock/invoke',
  wants: [...wantsOfMessages, ['max_gen_len'], ['textGenerationConfig', 'maxTokenCount'], ['inferenceConfig', 'max_new_tokens']],
  read: (fields, { path }) => ({
    ...readMessages(fields),
    model: modelOf(path),
    mostOutput:
      count(fields['max_tokens']) ??
      count(fields['max_gen_len']) ??
      count(fields['textGenerationConfig.maxTokenCount']) ??
      count(fields['inferenceConfig.max_new_tokens']),
    stream: path.endsWith('/invoke-with-response-stream'),
  }),
  counter: (reply) =>
    reply.contentType === stream
      ? countFrames(new EventTally(), ({ payload }) => chunkOf(payload))
      : countDocuments('json', invokeTally(reply)),
  speech,
}

/** An id, an inference profile, or an ARN that ends in one of them. */
function modelOf(path: string): string | undefined {
  const [, sent] = modelPath.exec(path) ?? []
  if (sent === undefined) return undefined
  try {
    const id = decodeURIComponent(sent)
    return id.startsWith('arn:') ? id.slice(id.lastIndexOf('/') + 1) : id
  } catch {
    return sent
  }
}

type DocumentOf = (frame: { readonly payload: Uint8Array }) => Uint8Array | undefined

function countFrames(tally: UsageCount, documentOf: DocumentOf): Counter {
  return new FrameCounter(tally, documentOf)
}

/** A tally over the documents in frames. */
class FrameCounter implements Counter {
  reports = 0
  readonly #tally: UsageCount
  readonly #scanner: JsonFields
  readonly #frames: FrameScanner
  /** Bytes of text that the agent saw. */
  #text = 0
  #failed = false

  constructor(tally: UsageCount, documentOf: DocumentOf) {
    this.#tally = tally
    this.#scanner = new JsonFields(tally.wants, { measure: tally.visible })
    this.#frames = new FrameScanner((frame) => {
      const isEvent = frame.headers.get(':message-type') === 'event'
      const document = isEvent ? documentOf(frame) : undefined
      if (!isEvent) this.#failed = true
      if (document) this.#take(document)
    })
  }

  get visible(): number {
    return visibleTokens(this.#text)
  }

  feed(chunk: Uint8Array): void {
    this.#frames.push(chunk)
  }

  seen(): Counted {
    return this.end(false)
  }

  between(): boolean {
    return this.#frames.between
  }

  end(complete: boolean): Counted {
    const { usage, final, failed } = this.#tally.sum(complete)
    const lost = this.#frames.lost || this.#scanner.lost
    return { usage, final, failed: this.#failed || failed, visibleOutput: this.visible, lost }
  }

  #take(document: Uint8Array): void {
    const scanner = this.#scanner
    scanner.push(document)
    const fields = scanner.end()
    this.#text += scanner.measured
    if (hasOne(fields, this.#tally.reports)) this.reports += 1
    this.#tally.take(fields, scanner.measured)
    scanner.reset()
  }
}

/** The model's own event, in base64. */
function chunkOf(payload: Uint8Array): Uint8Array | undefined {
  try {
    const { bytes } = JSON.parse(Buffer.from(payload).toString('utf8')) as { bytes?: unknown }
    return typeof bytes === 'string' ? Buffer.from(bytes, 'base64') : undefined
  } catch {
    return undefined
  }
}

/** How AWS's services name an exception in a document, under any status (smithy.io, AWS JSON protocols). */
const failures: readonly FieldPath[] = [['__type'], ['Output', '__type']]
const failureNames = ['__type', 'Output.__type']

function converseTally(): UsageCount {
  let usage: Usage | undefined
  let failed = false
  return {
    wants: [['usage'], ['serviceTier', 'type'], ...failures],
    reports: ['usage'],
    visible: [
      ['delta', 'text'],
      ['delta', 'reasoningContent', 'text'],
      ['delta', 'toolUse', 'input'],
    ],
    take(fields) {
      const tier = text(fields['serviceTier.type'])
      usage = converseUsage(fields['usage'], tier) ?? usage
      failed ||= saysError(fields, failureNames)
    },
    sum: () => ({ usage, final: usage !== undefined, failed }),
  }
}

/** Cached tokens stand beside `inputTokens` with Claude; some models have them in it, which the total tells. */
function converseUsage(usage: unknown, tier: string | undefined): Usage | undefined {
  const input = count(member(usage, 'inputTokens'))
  const output = count(member(usage, 'outputTokens'))
  if (input === undefined || output === undefined) return undefined
  const cacheRead = count(member(usage, 'cacheReadInputTokens')) ?? 0
  const cacheWrite = count(member(usage, 'cacheWriteInputTokens')) ?? 0
  const total = count(member(usage, 'totalTokens'))
  const within = total !== undefined && total === input + output && input >= cacheRead + cacheWrite
  return usageWith({
    tier,
    tokens: { input: within ? input - cacheRead - cacheWrite : input, cache_read: cacheRead, cache_write: cacheWrite, output },
  })
}

/** Claude's document has its usage; for the others, Bedrock counts in two headers. */
function invokeTally({ header }: ReplyKind): UsageCount {
  const wants: readonly FieldPath[] = [['type'], ['usage'], ['model'], ['id'], ['error'], ...failures]
  let usage: Usage | undefined
  let failed = false
  return {
    wants,
    reports: ['usage'],
    visible: [],
    take(fields) {
      const own = new EventTally()
      own.take({ type: 'message_delta', usage: fields['usage'], 'message.model': fields['model'], 'message.id': fields['id'] })
      const input = count(Number(header('x-amzn-bedrock-input-token-count') ?? Number.NaN))
      const output = count(Number(header('x-amzn-bedrock-output-token-count') ?? Number.NaN))
      const told =
        input === undefined || output === undefined
          ? undefined
          : usageWith({ tokens: { input, cache_read: 0, cache_write: 0, output } })
      usage = own.sum(true).usage ?? told
      failed = fields['type'] === 'error' || saysError(fields, ['error', ...failureNames])
    },
    sum: () => ({ usage, final: usage !== undefined, failed }),
  }
}
