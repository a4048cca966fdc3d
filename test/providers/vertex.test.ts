import { describe, expect, it } from 'vitest'
import { vertex } from '#providers/vertex.ts'
import { callOf, countOf, named, replyOf, shapeFor, tokens } from './replies.ts'

const host = 'https://us-east5-aiplatform.googleapis.com'
const base = `${host}/v1/projects/p/locations/us-east5/publishers`

describe('Vertex’s endpoints', () => {
  it.each([
    [`POST ${base}/google/models/gemini-2.5-pro:generateContent`, 'metered', 'gemini/content'],
    [`POST ${base}/google/models/gemini-2.5-pro:streamGenerateContent?alt=sse`, 'metered', 'gemini/content'],
    [`POST ${base}/anthropic/models/claude-opus-4-5@20251101:rawPredict`, 'metered', 'vertex/anthropic'],
    [`POST ${base}/anthropic/models/claude-opus-4-5:streamRawPredict`, 'metered', 'vertex/anthropic'],
    [`POST ${base}/anthropic/models/count-tokens:rawPredict`, 'free', ''],
    [`POST ${host}/v1beta1/projects/p/locations/l/endpoints/openapi/chat/completions`, 'metered', 'openai/chat'],
    ['POST https://aiplatform.googleapis.com/v1/publishers/google/models/m:countTokens', 'free', ''],
    [`POST ${base}/mistral/models/m:rawPredict`, 'unmetered', ''],
    [`POST ${base}/google/models/m:predictLongRunning`, 'unmetered', ''],
    [`POST ${host}/v1/projects/p/locations/l/batchPredictionJobs`, 'unmetered', ''],
    [`GET ${host}/v1/projects/p/locations/l/models`, 'free', ''],
  ])('%s is %s %s', (line, kind, name) => {
    expect(vertex.owns(callOf(line).host)).toBe(true)
    const classified = vertex.classify(callOf(line))
    expect(classified.kind).toBe(kind)
    if (classified.kind === 'metered') expect(classified.shape.name).toBe(name)
  })

  it('are not on hosts that only end alike', () => {
    for (const name of ['evil-aiplatform.googleapis.com.test', 'storage.googleapis.com', 'x.y-aiplatform.googleapis.com'])
      expect(vertex.owns(name)).toBe(false)
  })
})

it('Claude on Vertex has its model in the path and its usage in its own events', () => {
  const line = `POST ${base}/anthropic/models/claude-opus-4-5@20251101:streamRawPredict`
  const shape = shapeFor(vertex, line)
  expect(shape.read({ max_tokens: 5 }, callOf(line))).toMatchObject({
    model: 'claude-opus-4-5@20251101',
    mostOutput: 5,
    stream: true,
  })
  const events = named(
    { type: 'message_start', message: { usage: { input_tokens: 3, output_tokens: 1 } } } as { type: string },
    { type: 'message_delta', usage: { output_tokens: 4 } } as { type: string },
  )
  expect(countOf(shape, replyOf('text/event-stream'), events).usage?.tokens).toEqual(tokens(3, 0, 0, 4))
})
