import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { anthropic } from '#providers/anthropic.ts'
import { callOf, countOf, feed, named, notice, replyOf, shapeFor, tokens } from './replies.ts'

const host = 'https://api.anthropic.com'
const messages = shapeFor(anthropic, `POST ${host}/v1/messages?beta=true`)
const json = replyOf('application/json')
const sse = replyOf('text/event-stream')

describe('Anthropic’s endpoints', () => {
  it.each([
    ['POST', '/v1/messages', 'metered'],
    ['POST', '/v1/messages/count_tokens', 'free'],
    ['POST', '/v1/oauth/token', 'free'],
    ['POST', '/api/event_logging/v2/batch', 'free'],
    ['GET', '/api/oauth/profile', 'free'],
    ['GET', '/v1/models', 'free'],
    ['GET', '/v1/messages/batches/b/results', 'free'],
    ['POST', '/v1/messages/batches', 'unmetered'],
    ['POST', '/v1/code/sessions', 'free'],
    ['POST', '/v1/code/sessions/s/worker/heartbeat', 'free'],
    ['UPGRADE', '/v1/code/sessions/s/events', 'free'],
    ['POST', '/v1/codes', 'unmetered'],
    ['POST', '/v1/complete', 'unmetered'],
    ['POST', '/v1/sessions', 'unmetered'],
    ['POST', '/v1/agents', 'unmetered'],
    ['POST', '/v1/messages/', 'unmetered'],
    ['POST', '/v1/anything', 'unmetered'],
    ['UPGRADE', '/v1/messages', 'unmetered'],
  ])('%s %s is %s', (verb, path, kind) => {
    expect(anthropic.classify(callOf(`${verb} ${host}${path}`)).kind).toBe(kind)
  })
})

describe('a Messages request', () => {
  it('says its model, its most output and whether it streams', () => {
    expect(messages.read({ model: 'm', max_tokens: 128_000, stream: true }, callOf(`POST ${host}/v1/messages`))).toMatchObject({
      model: 'm',
      mostOutput: 128_000,
      stream: true,
    })
    expect(messages.read({ model: 7, max_tokens: 'many', stream: 'yes' }, callOf(`POST ${host}/v1/messages`))).toMatchObject({
      model: undefined,
      mostOutput: undefined,
      stream: false,
    })
  })

  it('is never changed', () => {
    expect(messages.amend).toBeUndefined()
  })
})

const usage = { input_tokens: 12, cache_creation_input_tokens: 100, cache_read_input_tokens: 900, output_tokens: 7 }
const start = (more: object = {}) => ({
  type: 'message_start',
  message: { id: 'msg_1', model: 'm', usage: { input_tokens: 12, cache_read_input_tokens: 900, output_tokens: 1, ...more } },
})
const text = (words: string) => ({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: words } })
const delta = (more: object = {}) => ({
  type: 'message_delta',
  delta: { stop_reason: 'end_turn' },
  usage: { output_tokens: 7, ...more },
})
const stop = { type: 'message_stop' }

describe('a Messages reply in one piece', () => {
  it('has its usage, and which part of the cache is kept for an hour', () => {
    const body = {
      id: 'msg_1',
      type: 'message',
      model: 'm',
      usage: { ...usage, cache_creation: { ephemeral_5m_input_tokens: 60, ephemeral_1h_input_tokens: 40 } },
    }
    expect(countOf(messages, json, JSON.stringify(body))).toMatchObject({
      final: true,
      usage: { model: 'm', responseId: 'msg_1', tokens: tokens(12, 900, 100, 7), cacheWriteHour: 40 },
    })
  })

  it('counts compactions, which stand apart, and advisors at their own model', () => {
    const iterations = [
      { type: 'compaction', input_tokens: 500, output_tokens: 50 },
      { type: 'message', input_tokens: 10, output_tokens: 2 },
      { type: 'advisor_message', model: 'wise', input_tokens: 5, output_tokens: 6 },
    ]
    const found = countOf(messages, json, JSON.stringify({ usage: { input_tokens: 10, output_tokens: 2, iterations } }))
    expect(found.usage).toMatchObject({ tokens: tokens(510, 0, 0, 52), others: [{ model: 'wise', tokens: tokens(5, 0, 0, 6) }] })
  })

  it('tells thoughts, searches, tier and speed', () => {
    const more = {
      output_tokens_details: { thinking_tokens: 3 },
      server_tool_use: { web_search_requests: 2 },
      service_tier: 'priority',
    }
    expect(countOf(messages, json, JSON.stringify({ usage: { ...usage, ...more } })).usage).toMatchObject({
      reasoning: 3,
      searches: 2,
      tier: 'priority',
    })
    expect(countOf(messages, json, JSON.stringify({ usage: { ...usage, ...more, speed: 'fast' } })).usage?.tier).toBe('fast')
    // What the beginning says of the speed holds, though the end tells of the tier alone.
    const start = {
      type: 'message_start',
      message: { usage: { ...usage, service_tier: 'standard', speed: 'fast', inference_geo: 'us' } },
    }
    const end = { type: 'message_delta', usage: { output_tokens: 9, service_tier: 'standard' } }
    expect(countOf(messages, sse, named(start, end)).usage?.tier).toBe('fast+regional')
  })

  it.each([
    ['nothing', '{}'],
    ['null', '{"usage":null}'],
    ['no output', '{"usage":{"input_tokens":1}}'],
    ['negatives', '{"usage":{"input_tokens":-1,"output_tokens":2}}'],
    ['fractions', '{"usage":{"input_tokens":1.5,"output_tokens":2}}'],
    ['text', '{"usage":{"input_tokens":"1","output_tokens":2}}'],
    ['no JSON', 'upstream connect error'],
  ])('that reports %s has no usage: never zero', (_what, body) => {
    expect(countOf(messages, json, body)).toMatchObject({ usage: undefined, final: false })
  })
})

describe('a Messages stream', () => {
  it('sets what its events repeat, and never adds', () => {
    const found = countOf(messages, sse, named(start(), { type: 'ping' }, text('hello'), delta(), stop))
    expect(found).toMatchObject({ final: true, usage: { model: 'm', tokens: tokens(12, 900, 0, 7) } })
  })

  it('takes input and cache from the last event that sets them, and no null', () => {
    const last = delta({ input_tokens: 20, cache_read_input_tokens: null, cache_creation_input_tokens: 4 })
    expect(countOf(messages, sse, named(start(), last, stop)).usage?.tokens).toEqual(tokens(20, 900, 4, 7))
  })

  it('counts without event names, with CRLF, comments and unknown events', () => {
    const events = [start(), { type: 'new_thing', usage_hint: 1 }, delta()].map(
      (event) => `: hi\r\ndata: ${JSON.stringify(event)}\r\n\r\n`,
    )
    expect(countOf(messages, sse, events.join('')).usage?.tokens).toEqual(tokens(12, 900, 0, 7))
  })

  it('that breaks off knows its prompt, and what was seen of its output', () => {
    const found = countOf(messages, sse, named(start(), text('x'.repeat(70))), false)
    expect(found).toMatchObject({ final: false, usage: { tokens: tokens(12, 900, 0, 1) } })
    expect(found.visibleOutput).toBeGreaterThanOrEqual(20)
  })

  it('that is cut in the middle of the last event is not final', () => {
    const whole = named(start(), delta(), stop)
    expect(countOf(messages, sse, whole.slice(0, whole.indexOf('message_delta') + 20), false)).toMatchObject({ final: false })
  })

  it('that says it failed is told so', () => {
    const failed = { type: 'error', error: { type: 'overloaded_error', message: 'x' } }
    expect(countOf(messages, sse, named(start(), failed))).toMatchObject({ failed: true, final: false })
  })

  it('with a line of eight megabytes is counted', () => {
    const chunks = [
      named(start()),
      'event: x\ndata: {"type":"content_block_delta","delta":{"partial_json":"',
      ...Array.from({ length: 8 }, () => 'a\\"'.repeat(350_000)),
      '"}}\n\n',
      named(delta(), stop),
    ]
    expect(
      feed(
        messages,
        sse,
        chunks.map((chunk) => Buffer.from(chunk)),
      ),
    ).toMatchObject({ final: true, lost: false, usage: { tokens: tokens(12, 900, 0, 7) } })
  })

  it('of any events and any split never throws, and is never negative', () => {
    const value = fc.oneof(fc.integer(), fc.double(), fc.constant(null), fc.string())
    const event = fc.record({
      type: fc.constantFrom('message_start', 'message_delta', 'content_block_delta', 'error', 'other'),
      message: fc.record({
        usage: fc.dictionary(fc.constantFrom('input_tokens', 'output_tokens', 'cache_read_input_tokens'), value),
      }),
      usage: fc.dictionary(fc.constantFrom('input_tokens', 'output_tokens', 'iterations'), value),
    })
    fc.assert(
      fc.property(fc.array(event, { maxLength: 4 }), fc.boolean(), (events, complete) => {
        countOf(messages, sse, named(...events), complete)
      }),
      { numRuns: 40 },
    )
  })
})

describe('the limits of a subscription', () => {
  it('are read from the head of any reply, as far as they are known and shares', () => {
    const headers = {
      'anthropic-ratelimit-unified-5h-utilization': '0.42',
      'anthropic-ratelimit-unified-7d-utilization': '1.02',
      'anthropic-ratelimit-unified-7d_opus-utilization': 'much',
      'anthropic-ratelimit-unified-overage-utilization': '-1',
      'anthropic-ratelimit-unified-status': 'allowed_warning',
    }
    expect(messages.limits?.(replyOf('application/json', headers, 429))).toEqual({ '5h': 0.42, '7d': 1.02 })
    expect(messages.limits?.(json)).toEqual({})
  })
})

describe('what Anthropic’s clients are told', () => {
  const call = callOf(`POST ${host}/v1/messages`)
  const none = () => undefined

  it.each([
    ['budget', 402, 'billing_error'],
    ['denied', 403, 'permission_error'],
    ['unavailable', 503, 'api_error'],
  ] as const)('of %s is a %d %s', (kind, status, type) => {
    const reply = messages.speech.refusal({ ...notice, kind }, call, none)
    expect(reply.status).toBe(status)
    expect(reply.body).toEqual({ type: 'error', error: { type, message: 'used up' }, request_id: 'req-1' })
    expect(reply.headers.includes('x-should-retry')).toBe(kind !== 'unavailable')
    expect(reply.headers.includes('retry-after')).toBe(kind === 'unavailable')
  })

  it('in a running stream is an error event, and in one document nothing', () => {
    expect(Buffer.from(messages.speech.cut(notice, sse) ?? '').toString()).toBe(
      'event: error\ndata: {"type":"error","error":{"type":"billing_error","message":"used up"},"request_id":"req-1"}\n\n',
    )
    expect(messages.speech.cut(notice, json)).toBeUndefined()
  })
})
