import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Visit } from './upstream.ts'

/** What the next replies say they used, and how they come. */
export interface LlmPlan {
  readonly input: number
  readonly output: number
  readonly cacheRead: number
  /** Pieces of text in a stream. */
  readonly pieces: number
  /** Each piece. */
  readonly text: string
  /** Awaited before each piece, with its number. */
  readonly pace: (piece: number) => Promise<unknown> | undefined
  /** Headers of the reply besides its own. */
  readonly headers: Readonly<Record<string, string>>
  /** Instead of a reply. */
  readonly status: number
}

export interface LlmRequest {
  readonly path: string
  readonly headers: IncomingMessage['headers']
  readonly body: Record<string, unknown>
  /** Milliseconds since the epoch when the reply was broken off from the other side. */
  abortedAt: number | undefined
  /** Pieces that were written. */
  pieces: number
}

const plain: LlmPlan = {
  input: 100,
  output: 10,
  cacheRead: 0,
  pieces: 3,
  text: 'word ',
  pace: () => undefined,
  headers: {},
  status: 200,
}

/**
 * Stands for the APIs of Anthropic, OpenAI and Google: their paths, their documents and their events, as far as their SDKs read
 * them. A handler for `startUpstream`.
 */
export class Llm {
  plan: LlmPlan = plain
  readonly requests: LlmRequest[] = []

  with(some: Partial<LlmPlan>): void {
    this.plan = { ...plain, ...some }
  }

  readonly handle = ({ request, response }: Visit): boolean => {
    void this.#answer(request, response)
    return true
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const url = new URL(request.url ?? '/', 'https://llm.test')
    const body = JSON.parse(Buffer.concat(chunks).toString('utf8') || '{}') as Record<string, unknown>
    const seen: LlmRequest = { path: url.pathname, headers: request.headers, body, abortedAt: undefined, pieces: 0 }
    this.requests.push(seen)
    response.on('close', () => {
      if (!response.writableFinished) seen.abortedAt = Date.now()
    })
    const { plan } = this
    if (plan.status !== 200) {
      response.writeHead(plan.status, { 'content-type': 'application/json', ...plan.headers })
      response.end(JSON.stringify({ type: 'error', error: { type: 'api_error', message: 'planned' } }))
      return
    }
    const speech = speeches.find(({ path }) => path.test(url.pathname))
    if (!speech) {
      response.writeHead(404).end()
      return
    }
    if (!speech.streams(url, body)) {
      await plan.pace(0)
      response.writeHead(200, { 'content-type': 'application/json', ...plan.headers })
      response.end(JSON.stringify(speech.document(plan, body)))
      return
    }
    response.writeHead(200, { 'content-type': 'text/event-stream', ...plan.headers })
    response.write(speech.begin(plan, body))
    for (let piece = 0; piece < plan.pieces && !response.destroyed; piece += 1) {
      await plan.pace(piece)
      seen.pieces += 1
      response.write(speech.piece(plan, body))
    }
    response.end(speech.end(plan, body))
  }
}

interface LlmSpeech {
  readonly path: RegExp
  readonly streams: (url: URL, body: Record<string, unknown>) => boolean
  readonly document: (plan: LlmPlan, body: Record<string, unknown>) => object
  readonly begin: (plan: LlmPlan, body: Record<string, unknown>) => string
  readonly piece: (plan: LlmPlan, body: Record<string, unknown>) => string
  readonly end: (plan: LlmPlan, body: Record<string, unknown>) => string
}

const event = (name: string, data: object): string => `event: ${name}\ndata: ${JSON.stringify({ type: name, ...data })}\n\n`
const data = (document: object): string => `data: ${JSON.stringify(document)}\n\n`

const anthropicUsage = ({ input, cacheRead, output }: LlmPlan) => ({
  input_tokens: input,
  cache_creation_input_tokens: 0,
  cache_read_input_tokens: cacheRead,
  output_tokens: output,
})

const anthropic: LlmSpeech = {
  path: /\/v1\/messages$/,
  streams: (_url, body) => body['stream'] === true,
  document: (plan, { model }) => ({
    id: 'msg_1',
    type: 'message',
    role: 'assistant',
    model,
    content: [{ type: 'text', text: plan.text.repeat(plan.pieces) }],
    stop_reason: 'end_turn',
    stop_sequence: null,
    usage: anthropicUsage(plan),
  }),
  begin: (plan, { model }) =>
    event('message_start', {
      message: {
        id: 'msg_1',
        type: 'message',
        role: 'assistant',
        model,
        content: [],
        stop_reason: null,
        stop_sequence: null,
        usage: { ...anthropicUsage(plan), output_tokens: 1 },
      },
    }) + event('content_block_start', { index: 0, content_block: { type: 'text', text: '' } }),
  piece: ({ text }) => event('content_block_delta', { index: 0, delta: { type: 'text_delta', text } }),
  end: ({ output }) =>
    event('content_block_stop', { index: 0 }) +
    event('message_delta', { delta: { stop_reason: 'end_turn', stop_sequence: null }, usage: { output_tokens: output } }) +
    event('message_stop', {}),
}

const chatUsage = ({ input, cacheRead, output }: LlmPlan) => ({
  prompt_tokens: input + cacheRead,
  completion_tokens: output,
  total_tokens: input + cacheRead + output,
  prompt_tokens_details: { cached_tokens: cacheRead },
})

const chunk = (model: unknown, choices: readonly object[], usage: object | null) =>
  data({ id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model, choices, usage })

const chat: LlmSpeech = {
  path: /\/chat\/completions$/,
  streams: (_url, body) => body['stream'] === true,
  document: (plan, { model }) => ({
    id: 'chatcmpl-1',
    object: 'chat.completion',
    created: 1,
    model,
    choices: [{ index: 0, message: { role: 'assistant', content: plan.text.repeat(plan.pieces) }, finish_reason: 'stop' }],
    usage: chatUsage(plan),
  }),
  begin: (_plan, { model }) => chunk(model, [{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null }], null),
  piece: ({ text }, { model }) => chunk(model, [{ index: 0, delta: { content: text }, finish_reason: null }], null),
  end: (plan, { model, stream_options: options }) =>
    chunk(model, [{ index: 0, delta: {}, finish_reason: 'stop' }], null) +
    ((options as { include_usage?: boolean } | undefined)?.include_usage ? chunk(model, [], chatUsage(plan)) : '') +
    'data: [DONE]\n\n',
}

const responseOf = (plan: LlmPlan, model: unknown, status: string) => ({
  id: 'resp_1',
  object: 'response',
  created_at: 1,
  status,
  model,
  output:
    status === 'completed'
      ? [
          {
            type: 'message',
            id: 'item_1',
            status,
            role: 'assistant',
            content: [{ type: 'output_text', text: plan.text.repeat(plan.pieces), annotations: [] }],
          },
        ]
      : [],
  usage:
    status === 'completed'
      ? {
          input_tokens: plan.input + plan.cacheRead,
          input_tokens_details: { cached_tokens: plan.cacheRead },
          output_tokens: plan.output,
          output_tokens_details: { reasoning_tokens: 0 },
          total_tokens: plan.input + plan.cacheRead + plan.output,
        }
      : null,
})

const responses: LlmSpeech = {
  path: /\/responses$/,
  streams: (_url, body) => body['stream'] === true,
  document: (plan, { model }) => responseOf(plan, model, 'completed'),
  begin: (plan, { model }) => event('response.created', { response: responseOf(plan, model, 'in_progress') }),
  piece: ({ text }) => event('response.output_text.delta', { item_id: 'item_1', output_index: 0, content_index: 0, delta: text }),
  end: (plan, { model }) => event('response.completed', { response: responseOf(plan, model, 'completed') }),
}

const contentOf = (text: string, usage: object) => ({
  candidates: [
    { content: { role: 'model', parts: [{ text }] }, index: 0, ...('candidatesTokenCount' in usage && { finishReason: 'STOP' }) },
  ],
  usageMetadata: usage,
  modelVersion: 'gemini-2.5-pro',
  responseId: 'gem_1',
})

const geminiUsage = ({ input, cacheRead, output }: LlmPlan) => ({
  promptTokenCount: input + cacheRead,
  cachedContentTokenCount: cacheRead,
  candidatesTokenCount: output,
  totalTokenCount: input + cacheRead + output,
})

const gemini: LlmSpeech = {
  path: /:(?:generateContent|streamGenerateContent)$/,
  streams: (url) => url.pathname.endsWith(':streamGenerateContent'),
  document: (plan) => contentOf(plan.text.repeat(plan.pieces), geminiUsage(plan)),
  begin: () => '',
  piece: (plan) => `data: ${JSON.stringify(contentOf(plan.text, { promptTokenCount: plan.input + plan.cacheRead }))}\r\n\r\n`,
  end: (plan) => `data: ${JSON.stringify(contentOf('', geminiUsage(plan)))}\r\n\r\n`,
}

const speeches: readonly LlmSpeech[] = [anthropic, chat, responses, gemini]
