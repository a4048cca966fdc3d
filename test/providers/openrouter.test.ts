import { expect, it } from 'vitest'
import { openrouter } from '#providers/openrouter.ts'
import { callOf, countOf, replyOf, shapeFor, tokens } from './replies.ts'

const host = 'https://openrouter.ai'

it.each([
  [`POST ${host}/api/v1/chat/completions`, 'metered', 'openai/chat'],
  [`POST ${host}/api/v1/responses`, 'metered', 'openai/responses'],
  [`POST ${host}/api/v1/messages`, 'metered', 'openrouter/messages'],
  [`GET ${host}/api/v1/models`, 'free', ''],
  [`POST ${host}/api/v1/keys`, 'unmetered', ''],
])('%s is %s %s', (line, kind, name) => {
  expect(openrouter.owns(callOf(line).host)).toBe(true)
  const classified = openrouter.classify(callOf(line))
  expect(classified.kind).toBe(kind)
  if (classified.kind === 'metered') expect(classified.shape.name).toBe(name)
})

it.each([
  [0.000123, 123_000],
  [0, 0],
  [-1, undefined],
  ['0.1', undefined],
])('a cost of %j dollars is %j nano-dollars', (cost, nano) => {
  const body = { usage: { prompt_tokens: 10, completion_tokens: 2, total_tokens: 12, cost } }
  const shape = shapeFor(openrouter, `POST ${host}/api/v1/chat/completions`)
  expect(countOf(shape, replyOf('application/json'), JSON.stringify(body)).usage).toMatchObject({
    tokens: tokens(10, 0, 0, 2),
    reportedCost: nano,
  })
})
