/** Google's Gemini API, and the Code Assist API that Gemini CLI uses with a Google login. Source: ai.google.dev/api. */
import type { Counted, Sound, Usage } from '#base/usage.ts'
import { usageWith } from '#base/usage.ts'
import { count, countDocuments, member, saysError, text } from './count.ts'
import type { UsageCount } from './count.ts'
import { inParts, readElsewhere, wantsOf } from './elsewhere.ts'
import { classifyOpenai } from './openai.ts'
import { boundedRetry, spoken } from './speech.ts'
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

const codeAssist = 'cloudcode-pa.googleapis.com'

export const gemini: Provider = {
  get speech() {
    return speech
  },
  id: 'gemini',
  // 100 MB inline (ai.google.dev/gemini-api/docs/file-input-methods), and what stands around them.
  mostBody: 128 << 20,
  owns: (host) => host === 'generativelanguage.googleapis.com' || host === codeAssist,
  classify(call: Call): Classified {
    const { host, method, path, upgrade } = call
    if (upgrade) return { kind: 'unmetered', reason: 'the Live API is not metered' }
    if (path.startsWith('/v1beta/openai/')) return classifyOpenai(call, '/v1beta/openai')
    if (method !== 'POST') return { kind: 'free' }
    if (host === codeAssist) return classifyAssist(path)
    const verb = /^\/v1(?:beta|alpha)?\/(?:models|tunedModels)\/[^/:]+:(\w+)$/.exec(path)?.[1] ?? ''
    return classifyVerb(verb, path, geminiShape)
  },
}

/** What the verb of a model's path costs; Vertex has the same verbs. */
export function classifyVerb(verb: string, path: string, shape: Shape): Classified {
  switch (verb) {
    case 'generateContent':
    case 'streamGenerateContent':
    case 'embedContent':
      return { kind: 'metered', shape }
    case 'countTokens':
      return { kind: 'free' }
    default:
      return { kind: 'unmetered', reason: `${path} does not report what it costs` }
  }
}

function classifyAssist(path: string): Classified {
  switch (path) {
    case '/v1internal:generateContent':
    case '/v1internal:streamGenerateContent':
      return { kind: 'metered', shape: assistShape }
    // Setting the account up, settings, telemetry.
    case '/v1internal:countTokens':
    case '/v1internal:loadCodeAssist':
    case '/v1internal:onboardUser':
    case '/v1internal:listExperiments':
    case '/v1internal:retrieveUserQuota':
    case '/v1internal:recordCodeAssistMetrics':
    case '/v1internal:fetchAdminControls':
      return { kind: 'free' }
    default:
      return { kind: 'unmetered', reason: `${path} does not report what it costs` }
  }
}

/** Source: google/rpc/code.proto; what is left out is INVALID_ARGUMENT, or UNAVAILABLE from 500 on. */
const googleStatus: Readonly<Record<number, string>> = {
  403: 'PERMISSION_DENIED',
  408: 'DEADLINE_EXCEEDED',
  500: 'INTERNAL',
  504: 'DEADLINE_EXCEEDED',
}

const speech: Speech = {
  refusal(notice) {
    switch (notice.kind) {
      case 'budget':
        // Without a delay past five minutes, Gemini CLI asks ten times.
        return spoken(429, [], errorBody(429, 'RESOURCE_EXHAUSTED', notice, '30000s'))
      case 'denied':
        return spoken(notice.status ?? 403, [], statusBody(notice.status ?? 403, 'INVALID_ARGUMENT', notice))
      case 'lasting':
        return spoken(400, [], errorBody(400, 'FAILED_PRECONDITION', notice))
      case 'unavailable':
        return spoken(notice.status ?? 503, boundedRetry, statusBody(notice.status ?? 503, 'UNAVAILABLE', notice))
      default:
        return notice.kind satisfies never
    }
  },
  cut(notice, { contentType }) {
    if (contentType !== 'text/event-stream') return undefined
    return Buffer.from(`data: ${JSON.stringify(errorBody(429, 'RESOURCE_EXHAUSTED', notice, '30000s'))}\r\n\r\n`)
  },
}

export { speech as geminiSpeech }

/** `usual`: what a status is called that has no name of its own. */
function statusBody(status: number, usual: string, notice: Notice): SpokenReply['body'] {
  return errorBody(status, googleStatus[status] ?? usual, notice)
}

function errorBody(
  code: number,
  status: string,
  { code: ours, message, requestId }: Notice,
  retryDelay?: string,
): SpokenReply['body'] {
  const request = { '@type': 'type.googleapis.com/google.rpc.RequestInfo', requestId }
  // Google's `code` is the status.
  const info = { '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason: ours, domain: 'iron-proxy' }
  const retry = retryDelay === undefined ? [] : [{ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay }]
  return { error: { code, status, message, details: [...retry, request, info] } }
}

/** Google's servers take both spellings of a name. */
const configs = ['generationConfig', 'generation_config'] as const
const limitNames = ['maxOutputTokens', 'max_output_tokens'] as const
const answerNames = ['candidateCount', 'candidate_count'] as const

/** `POST …/models/MODEL:generateContent` and its like. */
export const geminiShape: Shape = {
  name: 'gemini/content',
  wants: [...limitsOf(), ...wantsOf(inParts())],
  read: (fields, call) => ({ ...readContent(fields, '', modelOf(call.path), call), ...readElsewhere(fields, inParts()) }),
  counter: (reply) => countContent(reply, ''),
  speech,
}

/** The same, one level down. */
const assistShape: Shape = {
  name: 'gemini/code-assist',
  wants: [['model'], ...limitsOf('request'), ...wantsOf(inParts('request'))],
  read: (fields, call) => ({
    ...readContent(fields, 'request.', text(fields['model']), call),
    ...readElsewhere(fields, inParts('request')),
  }),
  counter: (reply) => countContent(reply, 'response.'),
  speech,
}

function limitsOf(...below: readonly string[]): readonly FieldPath[] {
  return configs.flatMap((config) => [...limitNames, ...answerNames].map((name) => [...below, config, name]))
}

function readContent(fields: Fields, below: string, model: string | undefined, { path }: Call): Asked {
  const most = (names: readonly string[]): number | undefined => {
    const found = configs.flatMap((config) => names.flatMap((name) => count(fields[`${below}${config}.${name}`]) ?? []))
    return found.length === 0 ? undefined : Math.max(...found)
  }
  const limit = most(limitNames)
  const answers = Math.max(most(answerNames) ?? 1, 1)
  return {
    model,
    mostOutput: path.endsWith(':embedContent') ? 0 : limit === undefined ? undefined : limit * answers,
    stream: path.endsWith(':streamGenerateContent'),
    hiddenInput: false,
    continues: undefined,
    refused: undefined,
  }
}

function modelOf(path: string): string | undefined {
  return /\/models\/([^/:]+):\w+$/.exec(path)?.[1]
}

function countContent({ contentType }: ReplyKind, below: string): Counter {
  if (contentType === 'text/event-stream') return countDocuments('sse', contentTally(below))
  return new ContentCounter(below)
}

/** A stream is events with `alt=sse`, and else one array that is written piece by piece: its first byte tells it from a document. */
class ContentCounter implements Counter {
  readonly #below: string
  #inner: Counter | undefined

  constructor(below: string) {
    this.#below = below
  }

  get visible(): number {
    return this.#inner?.visible ?? 0
  }

  get reports(): number {
    return this.#inner?.reports ?? 0
  }

  feed(chunk: Uint8Array): void {
    const at = chunk.findIndex((byte) => byte > 0x20)
    if (!this.#inner && at < 0) return
    this.#inner ??= this.#count(chunk[at] === 0x5b ? 'array' : 'json')
    this.#inner.feed(chunk)
  }

  seen(): Counted {
    return (this.#inner ?? this.#count('json')).seen()
  }

  end(complete: boolean): Counted {
    return (this.#inner ?? this.#count('json')).end(complete)
  }

  #count(framing: 'array' | 'json'): Counter {
    return countDocuments(framing, contentTally(this.#below))
  }
}

/** Usage is cumulative: the last one counts. */
function contentTally(below: string): UsageCount {
  const path = (...keys: string[]): FieldPath => [...(below === '' ? [] : [below.slice(0, -1)]), ...keys]
  let usage: Usage | undefined
  let ended = false
  let failed = false
  return {
    wants: [path('usageMetadata'), path('modelVersion'), path('responseId'), path('candidates', '*', 'finishReason'), ['error']],
    reports: [`${below}usageMetadata`],
    visible: [path('candidates', '*', 'content', 'parts', '*', 'text')],
    take(fields) {
      if (saysError(fields, ['error'])) failed = true
      const beside = { model: text(fields[`${below}modelVersion`]), id: text(fields[`${below}responseId`]) }
      usage = readMetadata(fields[`${below}usageMetadata`], beside) ?? usage
      if (fields[`${below}candidates.*.finishReason`] !== undefined) ended = true
    },
    sum: (complete) => ({ usage, final: usage !== undefined && (complete || ended), failed }),
  }
}

function readMetadata(
  metadata: unknown,
  { model, id }: { model: string | undefined; id: string | undefined },
): Usage | undefined {
  const prompt = count(member(metadata, 'promptTokenCount'))
  if (prompt === undefined) return undefined
  const tools = count(member(metadata, 'toolUsePromptTokenCount')) ?? 0
  const cached = Math.min(count(member(metadata, 'cachedContentTokenCount')) ?? 0, prompt)
  const thoughts = count(member(metadata, 'thoughtsTokenCount')) ?? 0
  const candidates = count(member(metadata, 'candidatesTokenCount')) ?? count(member(metadata, 'responseTokenCount')) ?? 0
  return usageWith({
    model,
    tokens: { input: prompt - cached + tools, cache_read: cached, cache_write: 0, output: candidates + thoughts },
    reasoning: thoughts,
    sound: soundOf(metadata),
    tier: text(member(metadata, 'serviceTier')),
    responseId: id,
  })
}

/** Each count is told by the kind of what was counted, too. */
function soundOf(metadata: unknown): Sound | undefined {
  const [input = 0, output = 0] = ['promptTokensDetails', 'candidatesTokensDetails'].map((key) => {
    const details = member(metadata, key)
    const heard = Array.isArray(details) ? details.filter((each) => member(each, 'modality') === 'AUDIO') : []
    return heard.reduce<number>((sum, each) => sum + (count(member(each, 'tokenCount')) ?? 0), 0)
  })
  return input + output > 0 ? { input, output } : undefined
}
