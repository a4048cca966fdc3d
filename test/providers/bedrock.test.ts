import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { bedrock } from '#providers/bedrock.ts'
import { FrameScanner, writeFrame } from '#providers/scan/event-stream.ts'
import { callOf, countOf, feed, notice, replyOf, shapeFor, tokens } from './replies.ts'

const host = 'https://bedrock-runtime.us-east-1.amazonaws.com'
const model = 'us.anthropic.claude-opus-4-5-20251101-v1%3A0'
const json = replyOf('application/json')
const stream = replyOf('application/vnd.amazon.eventstream')
const converse = shapeFor(bedrock, `POST ${host}/model/${model}/converse-stream`)
const invoke = shapeFor(bedrock, `POST ${host}/model/${model}/invoke-with-response-stream`)
const event = (type: string, document: object) =>
  writeFrame(
    { ':event-type': type, ':content-type': 'application/json', ':message-type': 'event' },
    Buffer.from(JSON.stringify(document)),
  )
const chunk = (document: object) => event('chunk', { bytes: Buffer.from(JSON.stringify(document)).toString('base64') })

describe('Bedrock’s endpoints', () => {
  it.each([
    [`POST ${host}/model/${model}/converse`, 'metered'],
    [`POST ${host}/model/${model}/invoke`, 'metered'],
    [`POST ${host}/model/${model}/count-tokens`, 'free'],
    [`POST ${host}/async-invoke`, 'unmetered'],
    [`POST ${host}/guardrail/g/version/1/apply`, 'unmetered'],
    [`GET ${host}/async-invoke`, 'free'],
    ['POST https://bedrock-runtime-fips.us-gov-west-1.amazonaws.com/model/m/converse', 'metered'],
  ])('%s is %s', (line, kind) => {
    expect(bedrock.owns(callOf(line).host)).toBe(true)
    expect(bedrock.classify(callOf(line)).kind).toBe(kind)
  })

  it('are on its runtime’s hosts and no others', () => {
    for (const name of ['bedrock.us-east-1.amazonaws.com', 's3.amazonaws.com', 'bedrock-runtime.evil.test'])
      expect(bedrock.owns(name)).toBe(false)
  })

  it.each([
    [model, 'us.anthropic.claude-opus-4-5-20251101-v1:0'],
    ['arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Feu.m', 'eu.m'],
    ['%zz', '%zz'],
  ])('have the model in the path: %s', (path, id) => {
    const call = callOf(`POST ${host}/model/${path}/converse`)
    expect(converse.read({ 'inferenceConfig.maxTokens': 9 }, call)).toMatchObject({ model: id, mostOutput: 9, stream: false })
  })
})

describe('Converse', () => {
  const usage = { inputTokens: 4, outputTokens: 2, totalTokens: 16, cacheReadInputTokens: 7, cacheWriteInputTokens: 3 }

  it('counts one document and the metadata of a stream', () => {
    expect(countOf(converse, json, JSON.stringify({ stopReason: 'end_turn', usage })).usage?.tokens).toEqual(tokens(4, 7, 3, 2))
    const frames = Buffer.concat([
      event('contentBlockDelta', { delta: { text: 'hello' } }),
      event('messageStop', { stopReason: 'end_turn' }),
      event('metadata', { usage, metrics: { latencyMs: 1 } }),
    ])
    expect(countOf(converse, stream, frames)).toMatchObject({ final: true, lost: false, usage: { tokens: tokens(4, 7, 3, 2) } })
  })

  it('does not count the cache twice where the total says that it is in the input', () => {
    const within = { inputTokens: 14, outputTokens: 2, totalTokens: 16, cacheReadInputTokens: 7, cacheWriteInputTokens: 3 }
    expect(countOf(converse, json, JSON.stringify({ usage: within })).usage?.tokens).toEqual(tokens(4, 7, 3, 2))
  })

  it('that ends with an exception has failed', () => {
    const failed = writeFrame({ ':message-type': 'exception', ':exception-type': 'throttlingException' }, Buffer.from('{}'))
    expect(
      countOf(converse, stream, Buffer.concat([event('contentBlockDelta', { delta: { text: 'x' } }), failed])),
    ).toMatchObject({ failed: true, usage: undefined })
  })
})

describe('InvokeModel', () => {
  it('counts Claude’s own events in their frames', () => {
    const frames = Buffer.concat([
      chunk({ type: 'message_start', message: { model: 'm', usage: { input_tokens: 12, output_tokens: 1 } } }),
      chunk({ type: 'content_block_delta', delta: { text: 'hello' } }),
      chunk({ type: 'message_delta', usage: { output_tokens: 7 } }),
    ])
    expect(countOf(invoke, stream, frames)).toMatchObject({ final: true, usage: { tokens: tokens(12, 0, 0, 7) } })
  })

  it('takes Bedrock’s own count where the model reports none', () => {
    const metrics = { inputTokenCount: 4, outputTokenCount: 2, cacheReadInputTokenCount: 7, cacheWriteInputTokenCount: 3 }
    const frames = Buffer.concat([
      chunk({ outputText: 'x' }),
      chunk({ type: 'message_stop', 'amazon-bedrock-invocationMetrics': metrics }),
    ])
    expect(countOf(invoke, stream, frames)).toMatchObject({ final: true, usage: { tokens: tokens(4, 7, 3, 2) } })
  })

  it('in one piece has Claude’s usage, or two headers', () => {
    expect(countOf(invoke, json, '{"usage":{"input_tokens":3,"output_tokens":4}}').usage?.tokens).toEqual(tokens(3, 0, 0, 4))
    const headers = { 'x-amzn-bedrock-input-token-count': '5', 'x-amzn-bedrock-output-token-count': '6' }
    expect(countOf(invoke, replyOf('application/json', headers), '{"results":[]}').usage?.tokens).toEqual(tokens(5, 0, 0, 6))
    expect(countOf(invoke, json, '{"results":[]}').usage).toBeUndefined()
  })
})

describe('frames', () => {
  it('are the bytes of AWS’s published example', () => {
    // smithy's test vector `all_headers` would need every type; its `payload_no_headers` is this.
    const frame = writeFrame({}, Buffer.from("{'foo':'bar'}"))
    expect(frame.toString('hex')).toBe('0000001d00000000fd528c5a7b27666f6f273a27626172277dc365 3936'.replace(' ', ''))
  })

  it.each([
    ['a wrong checksum', (bytes: Buffer) => bytes.writeUInt8((bytes.at(-1) ?? 0) ^ 1, bytes.length - 1)],
    ['a wrong prelude', (bytes: Buffer) => bytes.writeUInt8((bytes[8] ?? 0) ^ 1, 8)],
    ['a length of gigabytes', (bytes: Buffer) => bytes.writeUInt32BE(0xffffffff, 0)],
  ])('with %s are lost', (_what, spoil) => {
    const bytes = Buffer.from(event('metadata', { usage: { inputTokens: 1, outputTokens: 1 } }))
    spoil(bytes)
    expect(countOf(converse, stream, bytes)).toMatchObject({ lost: true, usage: undefined })
  })

  it('say whether one has just ended', () => {
    const scanner = new FrameScanner(() => {})
    const bytes = event('metadata', {})
    expect(scanner.between).toBe(true)
    scanner.push(bytes.subarray(0, 5))
    expect(scanner.between).toBe(false)
    scanner.push(bytes.subarray(5))
    expect(scanner.between).toBe(true)
  })

  it('of any bytes never throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        feed(converse, stream, [bytes])
      }),
    )
  })
})

describe('what Bedrock’s clients are told', () => {
  it('is an error of AWS that its SDKs do not try again', () => {
    const reply = converse.speech.refusal(notice, callOf(`POST ${host}/x`), () => undefined)
    expect(reply).toMatchObject({ status: 400, body: { message: 'used up' } })
    expect(reply.headers).toContain('ServiceQuotaExceededException')
  })

  it('in a running stream is an exception frame', () => {
    const seen: unknown[] = []
    new FrameScanner((frame) => seen.push([frame.headers.get(':exception-type'), Buffer.from(frame.payload).toString()])).push(
      converse.speech.cut(notice, stream) ?? Buffer.alloc(0),
    )
    expect(seen).toEqual([['modelStreamErrorException', '{"message":"used up","originalStatusCode":402}']])
    expect(converse.speech.cut(notice, json)).toBeUndefined()
  })
})
