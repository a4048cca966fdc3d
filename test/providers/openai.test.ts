import { describe, expect, it } from 'vitest'
import { openai } from '#providers/openai.ts'
import { callOf, countOf, named, notice, replyOf, shapeFor, tokens, unnamed } from './replies.ts'

const host = 'https://api.openai.com'
const json = replyOf('application/json')
const sse = replyOf('text/event-stream')
const chat = shapeFor(openai, `POST ${host}/v1/chat/completions`)
const completions = shapeFor(openai, `POST ${host}/v1/completions`)
const embeddings = shapeFor(openai, `POST ${host}/v1/embeddings`)
const responses = shapeFor(openai, `POST ${host}/v1/responses`)
const call = callOf(`POST ${host}/v1/chat/completions`)

describe('OpenAI’s endpoints', () => {
  it.each([
    ['POST /v1/chat/completions', 'metered'],
    ['POST /v1/completions', 'metered'],
    ['POST /v1/embeddings', 'metered'],
    ['POST /v1/responses', 'metered'],
    ['POST /v1/responses/compact', 'metered'],
    ['GET /v1/responses/resp_1', 'free'],
    ['GET /v1/responses/resp_1?stream=true&starting_after=3', 'free'],
    ['POST /v1/responses/resp_1/cancel', 'free'],
    ['GET /v1/models', 'free'],
    ['POST /v1/moderations', 'free'],
    ['POST /v1/batches', 'unmetered'],
    ['POST /v1/files', 'unmetered'],
    ['POST /v1/fine_tuning/jobs', 'unmetered'],
    ['POST /v1/assistants', 'unmetered'],
    ['POST /v1/threads/t/runs', 'unmetered'],
    ['POST /v1/images/generations', 'unmetered'],
    ['POST /v1/audio/speech', 'unmetered'],
    ['POST /v1/videos', 'unmetered'],
    ['POST /v1/vector_stores', 'unmetered'],
    ['POST /v2/chat/completions', 'unmetered'],
    ['UPGRADE /v1/responses', 'fallback'],
    ['UPGRADE /v1/realtime', 'unmetered'],
  ])('%s is %s', (line, kind) => {
    const [verb, path] = line.split(' ')
    expect(openai.classify(callOf(`${verb} ${host}${path}`)).kind).toBe(kind)
  })
})

describe('a chat', () => {
  it('asks for as much output as its answers may have together', () => {
    expect(chat.read({ model: 'm', max_completion_tokens: 10, max_tokens: 99, n: 3 }, call)).toMatchObject({ mostOutput: 297 })
    expect(chat.read({ model: 'm', max_tokens: 10, best_of: 4 }, call)).toMatchObject({ mostOutput: 40 })
    expect(chat.read({ model: 'm' }, call)).toMatchObject({ mostOutput: undefined, stream: false })
  })

  it.each([
    [
      'cached',
      { prompt_tokens: 10, completion_tokens: 3, total_tokens: 13, prompt_tokens_details: { cached_tokens: 4 } },
      tokens(6, 4, 0, 3),
    ],
    [
      'written',
      { prompt_tokens: 100, completion_tokens: 1, prompt_tokens_details: { cached_tokens: 30, cache_write_tokens: 20 } },
      tokens(50, 30, 20, 1),
    ],
    [
      'more cached than there is',
      { prompt_tokens: 5, completion_tokens: 1, prompt_tokens_details: { cached_tokens: 9 } },
      tokens(0, 5, 0, 1),
    ],
  ])('in one piece splits its prompt: %s', (_what, usage, expected) => {
    expect(countOf(chat, json, JSON.stringify({ id: 'c', model: 'm', usage }))).toMatchObject({
      final: true,
      usage: { model: 'm', tokens: expected },
    })
  })

  it('tells what was sound', () => {
    const details = { prompt_tokens_details: { audio_tokens: 7 }, completion_tokens_details: { audio_tokens: 2 } }
    const usage = { prompt_tokens: 10, completion_tokens: 3, ...details }
    expect(countOf(chat, json, JSON.stringify({ usage })).usage?.sound).toEqual({ input: 7, output: 2 })
  })

  it('streamed has its usage in the last chunk, which has no choices', () => {
    const text = { choices: [{ delta: { content: 'hello' } }], usage: null }
    const last = {
      choices: [],
      usage: { prompt_tokens: 10, completion_tokens: 3, completion_tokens_details: { reasoning_tokens: 2 } },
    }
    const found = countOf(chat, sse, `${unnamed(text, text, last)}data: [DONE]\n\n`)
    expect(found).toMatchObject({ final: true, usage: { tokens: tokens(10, 0, 0, 3), reasoning: 2 } })
    // Also when it breaks off after that chunk.
    expect(countOf(chat, sse, unnamed(text, last), false)).toMatchObject({ final: true })
    expect(countOf(chat, sse, unnamed(text, text), false)).toMatchObject({ final: false, usage: undefined })
  })

  it('with a running usage is counted once, by the last', () => {
    const chunk = (completion: number) => ({
      choices: [{ delta: { content: 'x' } }],
      usage: { prompt_tokens: 5, completion_tokens: completion },
    })
    expect(countOf(chat, sse, unnamed(chunk(1), chunk(4)))).toMatchObject({ final: true, usage: { tokens: tokens(5, 0, 0, 4) } })
    expect(countOf(chat, sse, unnamed(chunk(1), chunk(4)), false)).toMatchObject({ final: false })
  })

  it('of the legacy kind and of embeddings has its own shapes', () => {
    const legacy = { object: 'text_completion', usage: { prompt_tokens: 5, completion_tokens: 2, total_tokens: 7 } }
    expect(countOf(completions, json, JSON.stringify(legacy)).usage?.tokens).toEqual(tokens(5, 0, 0, 2))
    const list = { object: 'list', model: 'm', usage: { prompt_tokens: 8, total_tokens: 8 } }
    expect(countOf(embeddings, json, JSON.stringify(list)).usage?.tokens).toEqual(tokens(8, 0, 0, 0))
    expect(embeddings.read({ model: 'm' }, call).mostOutput).toBe(0)
    expect(countOf(chat, json, JSON.stringify(list)).usage).toBeUndefined()
  })
})

describe('a response', () => {
  const usage = {
    input_tokens: 100,
    input_tokens_details: { cached_tokens: 40 },
    output_tokens: 9,
    output_tokens_details: { reasoning_tokens: 4 },
    total_tokens: 109,
  }

  it('has its usage in one piece, or in the event that ends it', () => {
    const expected = { final: true, usage: { tokens: tokens(60, 40, 0, 9), reasoning: 4, responseId: 'resp_1' } }
    expect(countOf(responses, json, JSON.stringify({ id: 'resp_1', status: 'completed', usage }))).toMatchObject(expected)
    const delta = { type: 'response.output_text.delta', delta: 'hello' }
    const began = { type: 'response.created', response: { id: 'resp_1', usage: null } }
    for (const type of ['response.completed', 'response.incomplete', 'response.failed'])
      expect(
        countOf(responses, sse, named(began, delta, { type, response: { id: 'resp_1', usage } } as { type: string })),
      ).toMatchObject(expected)
  })

  it('that searched is billed for each search', () => {
    const output = [{ type: 'reasoning' }, { type: 'web_search_call' }, { type: 'file_search_call' }, { type: 'message' }]
    const body = { id: 'resp_1', output, usage }
    expect(countOf(responses, json, JSON.stringify(body)).usage?.searches).toBe(2)
    const ended = { type: 'response.completed', response: body }
    expect(countOf(responses, sse, named(ended)).usage?.searches).toBe(2)
  })

  it('that failed without a usage is told to have failed', () => {
    const failed = { type: 'response.failed', response: { usage: null } }
    expect(countOf(responses, sse, named(failed))).toMatchObject({ failed: true, usage: undefined })
    expect(countOf(responses, json, '{"status":"failed","usage":null}')).toMatchObject({ failed: true })
  })

  it.each([
    [{ previous_response_id: 'resp_0' }, { hiddenInput: true, continues: 'resp_0' }],
    [{ conversation: 'conv_1' }, { hiddenInput: true }],
    [{ 'prompt.id': 'pmpt_1' }, { hiddenInput: true }],
    [{ conversation: null }, { hiddenInput: false }],
    [{ 'input.*.type': ['message', 'item_reference'] }, { hiddenInput: true }],
    [{ 'input.*.content.*.type': ['input_text', 'input_file'] }, { hiddenInput: true }],
    [{ 'input.*.content.*.type': ['input_image', 'input_image'] }, { hiddenInput: false, images: 2 }],
    [{ service_tier: 'priority' }, { tier: 'priority' }],
    [{ background: true }, { refused: 'a response made in the background reports its usage only when it is fetched' }],
    [
      { max_output_tokens: 7, stream: true },
      { mostOutput: 7, stream: true, refused: undefined },
    ],
  ])('asked for with %j is %j', (fields, asked) => {
    expect(responses.read({ model: 'm', ...fields }, call)).toMatchObject(asked)
  })
})

describe('what OpenAI’s clients are told', () => {
  it('is a 402 in OpenAI’s shape', () => {
    const reply = chat.speech.refusal(notice, call, () => undefined)
    expect(reply.status).toBe(402)
    expect(reply.body).toMatchObject({
      error: { message: 'used up', type: 'budget_exceeded', code: 'budget_exceeded' },
    })
    expect(responses.speech.refusal(notice, call, () => undefined).status).toBe(402)
  })

  it('is what makes Codex stop, when it says that it is Codex', () => {
    const reply = responses.speech.refusal(notice, call, (name) => (name === 'originator' ? 'codex_cli_rs' : undefined))
    expect(reply.status).toBe(429)
    expect(reply.body).toMatchObject({ error: { type: 'usage_limit_reached' } })
  })

  it('in a running stream is an error of that stream', () => {
    expect(Buffer.from(chat.speech.cut(notice, sse) ?? '').toString()).toMatch(/^data: \{"error":\{"message":"used up"/)
    expect(Buffer.from(responses.speech.cut(notice, sse) ?? '').toString()).toContain('"code":"insufficient_quota"')
    expect(chat.speech.cut(notice, json)).toBeUndefined()
  })
})
