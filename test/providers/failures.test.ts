import { describe, expect, it } from 'vitest'
import { providerNamed } from '#providers/index.ts'
import type { Call, ReplyKind } from '#providers/types.ts'

/** What providers say in a reply of status 200 when they fail, by their documentation and as seen. */
const failures: readonly (readonly [provider: string, path: string, document: unknown])[] = [
  ['anthropic', '/v1/messages', { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' }, request_id: 'r' }],
  ['openrouter', '/api/v1/messages', { error: { code: 502, message: 'Provider returned error' } }],
  [
    'openrouter',
    '/api/v1/chat/completions',
    { error: { code: 502, message: 'Provider returned error', metadata: {} }, user_id: 'u' },
  ],
  [
    'openrouter',
    '/api/v1/chat/completions',
    {
      id: 'gen-1',
      choices: [{ error: { code: 502, message: 'Upstream error' }, finish_reason: 'error', message: { content: '' } }],
    },
  ],
  ['openrouter', '/api/v1/responses', { error: { code: 'server_error', message: 'x' }, status: 'failed' }],
  ['openai', '/v1/chat/completions', { error: { message: 'The server had an error', type: 'server_error', code: null } }],
  ['openai', '/v1/completions', { error: { message: 'x' } }],
  ['openai', '/v1/embeddings', { error: { message: 'x' } }],
  ['openai', '/v1/responses', { id: 'r', status: 'failed', error: { code: 'server_error', message: 'x' }, usage: null }],
  ['openai', '/v1/responses', { error: { message: 'x' } }],
  ['codex', '/backend-api/codex/responses', { id: 'r', status: 'failed', error: { code: 'server_error' }, usage: null }],
  ['azure-openai', '/openai/deployments/gpt/chat/completions', { error: { code: '429', message: 'x' } }],
  ['openai-compatible', '/v1/chat/completions', { error: 'model is loading' }],
  ['openai-compatible', '/v1/chat/completions', { object: 'error', error: { message: 'x' }, code: 400 }],
  ['gemini', '/v1beta/models/gemini-2.5-pro:generateContent', { error: { code: 503, message: 'x', status: 'UNAVAILABLE' } }],
  ['gemini', '/v1beta/models/gemini-2.5-pro:streamGenerateContent', [{ error: { code: 503, status: 'UNAVAILABLE' } }]],
  ['vertex', '/v1/projects/p/locations/l/publishers/google/models/gemini-2.5-pro:generateContent', { error: { code: 503 } }],
  [
    'vertex',
    '/v1/projects/p/locations/l/publishers/anthropic/models/claude:rawPredict',
    { type: 'error', error: { type: 'api_error' } },
  ],
  [
    'bedrock',
    '/model/amazon.nova-pro-v1:0/converse',
    { Output: { __type: 'com.amazon.coral.service#InternalFailure' }, Version: '1.0' },
  ],
  ['bedrock', '/model/amazon.nova-pro-v1:0/converse', { __type: 'ModelErrorException', message: 'x' }],
  ['bedrock', '/model/anthropic.claude/invoke', { type: 'error', error: { type: 'api_error', message: 'x' } }],
  ['bedrock', '/model/meta.llama3/invoke', { __type: 'ThrottlingException' }],
  ['ollama', '/api/chat', { error: 'llama runner process has terminated' }],
  ['ollama', '/api/embed', { error: 'model not found' }],
  ['ollama', '/v1/chat/completions', { error: { message: 'x', type: 'api_error' } }],
]

/** Documents that are no failure, though they have the fields of one. */
const successes: readonly (readonly [provider: string, path: string, document: unknown])[] = [
  [
    'openai',
    '/v1/chat/completions',
    { error: null, choices: [{ error: null }], usage: { prompt_tokens: 1, completion_tokens: 1 } },
  ],
  ['openai', '/v1/responses', { status: 'completed', error: null, usage: { input_tokens: 1, output_tokens: 1 } }],
  ['openai-compatible', '/v1/chat/completions', { error: '', choices: [] }],
  ['anthropic', '/v1/messages', { type: 'message', usage: { input_tokens: 1, output_tokens: 1 } }],
  ['ollama', '/api/chat', { error: '', done: true, prompt_eval_count: 1, eval_count: 1 }],
  ['gemini', '/v1beta/models/gemini-2.5-pro:generateContent', { candidates: [], usageMetadata: { promptTokenCount: 1 } }],
  ['bedrock', '/model/amazon.nova-pro-v1:0/converse', { usage: { inputTokens: 1, outputTokens: 1 } }],
]

function countOf(provider: string, path: string, document: unknown) {
  const call: Call = { host: 'x.test', method: 'POST', path, query: '', upgrade: false }
  const classified = providerNamed(provider)?.classify(call)
  if (classified?.kind !== 'metered') throw new Error(`${provider} does not meter ${path}`)
  const reply: ReplyKind = { status: 200, contentType: 'application/json', header: () => undefined }
  const counter = classified.shape.counter(reply)
  const bytes = Buffer.from(JSON.stringify(document))
  // In two parts, as it may come.
  counter.feed(bytes.subarray(0, 7))
  counter.feed(bytes.subarray(7))
  return counter.end(true)
}

describe('a reply of status 200 that says that the provider failed', () => {
  it.each(failures)('is known for one: %s %s %j', (provider, path, document) => {
    expect(countOf(provider, path, document)).toMatchObject({ usage: undefined, failed: true, lost: false })
  })

  it.each(successes)('is not seen where there is none: %s %s %j', (provider, path, document) => {
    expect(countOf(provider, path, document).failed).toBe(false)
  })
})
