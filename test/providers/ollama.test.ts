import { describe, expect, it } from 'vitest'
import { ollama } from '#providers/ollama.ts'
import { callOf, countOf, notice, replyOf, shapeFor, tokens } from './replies.ts'

const host = 'https://ollama.com'
const lines = replyOf('application/x-ndjson')
const generate = shapeFor(ollama, `POST ${host}/api/generate`)
const done = '{"model":"m","done":true,"prompt_eval_count":26,"eval_count":9}\n'

it.each([
  ['POST /api/chat', 'metered'],
  ['POST /api/generate', 'metered'],
  ['POST /api/embed', 'metered'],
  ['POST /v1/chat/completions', 'metered'],
  ['POST /api/pull', 'free'],
  ['GET /api/tags', 'free'],
  ['DELETE /api/delete', 'free'],
  ['POST /api/unheard-of', 'unmetered'],
  ['UPGRADE /api/chat', 'unmetered'],
])('%s is %s', (line, kind) => {
  const [verb, path] = line.split(' ')
  expect(ollama.classify(callOf(`${verb} ${host}${path}`)).kind).toBe(kind)
})

it('a request streams unless it says otherwise', () => {
  const call = callOf(`POST ${host}/api/generate`)
  expect(generate.read({ model: 'm', 'options.num_predict': 7 }, call)).toMatchObject({ model: 'm', mostOutput: 7, stream: true })
  expect(generate.read({ stream: false }, call).stream).toBe(false)
})

describe('a reply', () => {
  it('has its counts in the line that is done, or in its one document', () => {
    const expected = { final: true, usage: { model: 'm', tokens: tokens(26, 0, 0, 9) } }
    expect(countOf(generate, lines, `{"model":"m","done":false,"response":"x"}\n${done}`)).toMatchObject(expected)
    expect(countOf(generate, lines, done.trimEnd())).toMatchObject(expected)
    expect(countOf(generate, replyOf('application/json'), done)).toMatchObject(expected)
  })

  it('without the count of its prompt is unknown, and not zero', () => {
    expect(countOf(generate, lines, '{"done":true,"eval_count":9}\n')).toMatchObject({ usage: undefined, final: false })
  })

  it('that ends in an error has failed', () => {
    expect(countOf(generate, lines, '{"done":false,"response":"x"}\n{"error":"out of memory"}\n')).toMatchObject({ failed: true })
  })

  it('of an embedding has no output', () => {
    const embed = shapeFor(ollama, `POST ${host}/api/embed`)
    expect(
      countOf(embed, replyOf('application/json'), '{"model":"m","embeddings":[[0.1]],"prompt_eval_count":8}').usage?.tokens,
    ).toEqual(tokens(8, 0, 0, 0))
  })
})

it('a running stream is ended with a line that says why', () => {
  expect(Buffer.from(generate.speech.cut(notice, lines) ?? '').toString()).toBe('{"error":"used up"}\n')
})
