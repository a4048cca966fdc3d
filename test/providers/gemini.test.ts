import { describe, expect, it } from 'vitest'
import { gemini } from '#providers/gemini.ts'
import { callOf, countOf, notice, replyOf, shapeFor, tokens } from './replies.ts'

const host = 'https://generativelanguage.googleapis.com'
const assist = 'https://cloudcode-pa.googleapis.com'
const json = replyOf('application/json')
const sse = replyOf('text/event-stream')
const content = shapeFor(gemini, `POST ${host}/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse`)

describe('Gemini’s endpoints', () => {
  it.each([
    [`POST ${host}/v1beta/models/gemini-2.5-pro:generateContent`, 'metered'],
    [`POST ${host}/v1alpha/models/m:streamGenerateContent`, 'metered'],
    [`POST ${host}/v1/models/m:embedContent`, 'metered'],
    [`POST ${host}/v1beta/models/m:countTokens`, 'free'],
    [`POST ${host}/v1beta/openai/chat/completions`, 'metered'],
    [`GET ${host}/v1beta/models`, 'free'],
    [`POST ${host}/v1beta/models/m:batchGenerateContent`, 'unmetered'],
    [`POST ${host}/v1beta/models/m:predictLongRunning`, 'unmetered'],
    [`POST ${host}/v1beta/interactions`, 'unmetered'],
    [`POST ${host}/v1beta/cachedContents`, 'unmetered'],
    [`UPGRADE ${host}/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent`, 'unmetered'],
    [`POST ${assist}/v1internal:generateContent`, 'metered'],
    [`POST ${assist}/v1internal:streamGenerateContent?alt=sse`, 'metered'],
    [`POST ${assist}/v1internal:loadCodeAssist`, 'free'],
    [`POST ${assist}/v1internal:onboardUser`, 'free'],
    [`POST ${assist}/v1internal:somethingNew`, 'unmetered'],
  ])('%s is %s', (line, kind) => {
    expect(gemini.owns(callOf(line).host)).toBe(true)
    expect(gemini.classify(callOf(line)).kind).toBe(kind)
  })
})

describe('a request', () => {
  it('has its model in the path, and its limit for each candidate', () => {
    const call = callOf(`POST ${host}/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse`)
    const fields = { 'generationConfig.maxOutputTokens': 100, 'generationConfig.candidateCount': 2 }
    expect(content.read(fields, call)).toMatchObject({
      model: 'gemini-2.5-pro',
      mostOutput: 200,
      stream: true,
      hiddenInput: false,
    })
    expect(content.read({ cachedContent: 'cachedContents/1' }, call).hiddenInput).toBe(true)
  })

  it('of Code Assist has everything one level down', () => {
    const shape = shapeFor(gemini, `POST ${assist}/v1internal:generateContent`)
    const call = callOf(`POST ${assist}/v1internal:generateContent`)
    expect(shape.read({ model: 'm', 'request.generationConfig.maxOutputTokens': 5 }, call)).toMatchObject({
      model: 'm',
      mostOutput: 5,
      stream: false,
    })
  })
})

const metadata = {
  promptTokenCount: 100,
  cachedContentTokenCount: 30,
  candidatesTokenCount: 2,
  thoughtsTokenCount: 5,
  totalTokenCount: 107,
}
const part = (text: string, usageMetadata: object, more: object = {}) => ({
  candidates: [{ content: { parts: [{ text }] }, ...more }],
  usageMetadata,
})

describe('a reply', () => {
  it('in one piece counts thoughts as output, and splits the cached part off', () => {
    expect(countOf(content, json, JSON.stringify({ modelVersion: 'g', ...part('x', metadata) }))).toMatchObject({
      final: true,
      usage: { model: 'g', tokens: tokens(70, 30, 0, 7), reasoning: 5 },
    })
  })

  it('in events takes the last of its cumulative counts', () => {
    const events = [part('a', { promptTokenCount: 100 }), part('b', metadata, { finishReason: 'STOP' })]
    const stream = events.map((event) => `data: ${JSON.stringify(event)}\r\n\r\n`).join('')
    expect(countOf(content, sse, stream)).toMatchObject({ final: true, usage: { tokens: tokens(70, 30, 0, 7) } })
    expect(countOf(content, sse, stream, false)).toMatchObject({ final: true })
    expect(countOf(content, sse, stream.slice(0, stream.indexOf('\r\n\r\n') + 4), false)).toMatchObject({
      final: false,
      usage: { tokens: tokens(100, 0, 0, 0) },
    })
  })

  it('as one array is counted by its elements', () => {
    const array = `[${JSON.stringify({ usageMetadata: { promptTokenCount: 9, totalTokenCount: 9 } })},\n${JSON.stringify(
      part(']}"', { promptTokenCount: 9, candidatesTokenCount: 3, totalTokenCount: 12 }),
    )}]`
    expect(countOf(content, json, array).usage?.tokens).toEqual(tokens(9, 0, 0, 3))
    expect(countOf(content, json, ` \n${array}`).usage?.tokens).toEqual(tokens(9, 0, 0, 3))
  })

  it('of Code Assist stands below `response`', () => {
    const shape = shapeFor(gemini, `POST ${assist}/v1internal:streamGenerateContent?alt=sse`)
    const event = { response: part('x', { promptTokenCount: 9, candidatesTokenCount: 3, totalTokenCount: 12 }) }
    expect(countOf(shape, sse, `data: ${JSON.stringify(event)}\r\n\r\n`).usage?.tokens).toEqual(tokens(9, 0, 0, 3))
  })

  it('that reports nothing has no usage', () => {
    expect(countOf(content, json, '{"candidates":[]}')).toMatchObject({ usage: undefined })
  })
})

describe('what Google’s clients are told', () => {
  it('is what makes them stop: a delay past their patience', () => {
    const reply = content.speech.refusal(notice, callOf(`POST ${host}/x`), () => undefined)
    expect(reply.status).toBe(429)
    const { error } = reply.body as { error: { status: string; message: string; details: readonly object[] } }
    expect(error).toMatchObject({ status: 'RESOURCE_EXHAUSTED', message: 'used up' })
    expect(error.details).toContainEqual({ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '30000s' })
  })

  it('in a running stream is an event with an error', () => {
    expect(Buffer.from(content.speech.cut(notice, sse) ?? '').toString()).toMatch(/^data: \{"error":\{"code":429/)
    expect(content.speech.cut(notice, json)).toBeUndefined()
  })
})
