import { expect, it } from 'vitest'
import { openaiCompatible } from '#providers/openai-compatible.ts'
import { providerFor } from '#providers/index.ts'
import { callOf } from './replies.ts'

it.each([
  ['POST https://llm.corp.test/v1/chat/completions', 'metered'],
  ['POST https://llm.corp.test/chat/completions', 'metered'],
  ['POST https://llm.corp.test/team/a/v1/embeddings', 'metered'],
  ['GET https://llm.corp.test/v1/models', 'free'],
  ['POST https://llm.corp.test/v1/files', 'unmetered'],
])('%s is %s', (line, kind) => {
  expect(openaiCompatible.classify(callOf(line)).kind).toBe(kind)
})

it('does not know what else a host has', () => {
  expect(openaiCompatible.classify(callOf('GET https://search.test/search?q=x'))).toEqual({ kind: 'free', unlisted: true })
  expect(openaiCompatible.classify(callOf('GET https://llm.corp.test/v1/models'))).toEqual({ kind: 'free' })
})

it('is never picked by a host', () => {
  expect(providerFor('llm.corp.test')).toBeUndefined()
  expect(openaiCompatible.owns('api.openai.com')).toBe(false)
})
