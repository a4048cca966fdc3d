/** Ollama's own API; its costs are time, and its tokens count all the same. Source: github.com/ollama/ollama, docs/api.md. */
import type { Usage } from '#base/usage.ts'
import { usageWith } from '#base/usage.ts'
import { count, countDocuments, member, saysError, text } from './count.ts'
import type { UsageCount } from './count.ts'
import { chatSpeech } from './openai/speech.ts'
import { classifyOpenai } from './openai.ts'
import type { Call, Classified, Provider, Shape, Speech } from './types.ts'

export const ollama: Provider = {
  get speech() {
    return speech
  },
  id: 'ollama',
  // It has no limit of its own.
  mostBody: 128 << 20,
  owns: (host) => host === 'ollama.com' || host === 'ollama' || host.startsWith('ollama.'),
  classify(call: Call): Classified {
    const { method, path, upgrade } = call
    if (path.startsWith('/v1/')) return classifyOpenai(call, '/v1')
    if (upgrade) return { kind: 'unmetered', reason: 'Ollama has no WebSocket' }
    if (method !== 'POST') return { kind: 'free' }
    switch (path) {
      case '/api/chat':
      case '/api/generate':
        return { kind: 'metered', shape: generateShape }
      case '/api/embed':
      case '/api/embeddings':
        return { kind: 'metered', shape: embedShape }
      // Looking after models.
      case '/api/show':
      case '/api/pull':
      case '/api/push':
      case '/api/copy':
      case '/api/create':
        return { kind: 'free' }
      default:
        return { kind: 'unmetered', reason: `${path} does not report what it costs` }
    }
  },
}

const speech: Speech = {
  refusal: (notice, call, header) => chatSpeech.refusal(notice, call, header),
  cut: ({ message }, { contentType }) =>
    contentType === 'application/x-ndjson' ? Buffer.from(`${JSON.stringify({ error: message })}\n`) : undefined,
}

const generateShape: Shape = {
  name: 'ollama/generate',
  wants: [['model'], ['stream'], ['options', 'num_predict'], ['options', 'num_ctx']],
  read: (fields) => ({
    model: text(fields['model']),
    mostOutput: count(fields['options.num_predict']),
    stream: fields['stream'] !== false,
    hiddenInput: false,
    continues: undefined,
    refused: undefined,
  }),
  counter: ({ contentType }) =>
    countDocuments(contentType === 'application/x-ndjson' ? 'lines' : 'json', tally({ outputless: false })),
  // A closed connection ends the work, and there is no bill.
  afterAbort: 'stops',
  speech,
}

const embedShape: Shape = {
  ...generateShape,
  name: 'ollama/embed',
  read: (fields) => ({
    model: text(fields['model']),
    mostOutput: 0,
    stream: false,
    hiddenInput: false,
    continues: undefined,
    refused: undefined,
  }),
  counter: () => countDocuments('json', tally({ outputless: true })),
}

/** The line that is `done` has both counts; of a prompt that was in its cache, Ollama leaves the count out: then nobody knows. */
function tally({ outputless }: { readonly outputless: boolean }): UsageCount {
  let usage: Usage | undefined
  let failed = false
  return {
    wants: [['model'], ['done'], ['prompt_eval_count'], ['eval_count'], ['error']],
    reports: ['prompt_eval_count'],
    visible: [['response'], ['thinking'], ['message', 'content'], ['message', 'thinking']],
    take(fields) {
      if (saysError(fields, ['error'])) failed = true
      if (!outputless && member(fields, 'done') !== true) return
      const input = count(fields['prompt_eval_count'])
      const output = count(fields['eval_count']) ?? (outputless ? 0 : undefined)
      if (input === undefined || output === undefined) return
      usage = usageWith({ model: text(fields['model']), tokens: { input, cache_read: 0, cache_write: 0, output } })
    },
    sum: () => ({ usage, final: usage !== undefined, failed }),
  }
}
