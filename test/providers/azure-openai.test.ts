import { expect, it } from 'vitest'
import { azureOpenai } from '#providers/azure-openai.ts'
import { callOf, countOf, replyOf, shapeFor, tokens } from './replies.ts'

const host = 'https://crew.openai.azure.com'

it.each([
  [`POST ${host}/openai/deployments/big/chat/completions?api-version=2024-10-21`, 'metered'],
  [`POST ${host}/openai/deployments/big/completions`, 'metered'],
  [`POST ${host}/openai/deployments/big/embeddings`, 'metered'],
  [`POST ${host}/openai/v1/responses`, 'metered'],
  ['POST https://crew.services.ai.azure.com/openai/v1/chat/completions', 'metered'],
  [`POST ${host}/openai/deployments/big/images/generations`, 'unmetered'],
  [`POST ${host}/openai/v1/batches`, 'unmetered'],
  [`POST ${host}/openai/assistants`, 'unmetered'],
  [`UPGRADE ${host}/openai/realtime`, 'unmetered'],
  [`UPGRADE ${host}/openai/v1/responses`, 'fallback'],
  [`GET ${host}/openai/models`, 'free'],
])('%s is %s', (line, kind) => {
  expect(azureOpenai.owns(callOf(line).host)).toBe(true)
  expect(azureOpenai.classify(callOf(line)).kind).toBe(kind)
})

it('a deployment stands for its model, whatever the body says', () => {
  const line = `POST ${host}/openai/deployments/big/chat/completions`
  const shape = shapeFor(azureOpenai, line)
  expect(shape.read({ model: 'other', max_tokens: 3 }, callOf(line))).toMatchObject({ model: 'big', mostOutput: 3 })
  const body = { model: 'gpt-5', usage: { prompt_tokens: 5, completion_tokens: 2 } }
  expect(countOf(shape, replyOf('application/json'), JSON.stringify(body)).usage?.tokens).toEqual(tokens(5, 0, 0, 2))
})
