/** Vertex AI: other publishers' APIs behind Google's paths. Source: cloud.google.com/vertex-ai/generative-ai/docs. */
import { anthropicSpeech, countMessages, readMessages, wantsOfMessages } from './anthropic.ts'
import { classifyVerb, geminiShape, geminiSpeech } from './gemini.ts'
import { chatShape } from './openai/chat.ts'
import type { Call, Classified, Provider, Shape } from './types.ts'

export const vertex: Provider = {
  speech: geminiSpeech,
  id: 'vertex',
  // As Gemini's API.
  mostBody: 128 << 20,
  owns: (host) => host === 'aiplatform.googleapis.com' || /^[a-z0-9-]+-aiplatform\.googleapis\.com$/.test(host),
  classify({ method, path, upgrade }: Call): Classified {
    if (upgrade) return { kind: 'unmetered', reason: 'the Live API is not metered' }
    if (method !== 'POST') return { kind: 'free' }
    if (/^\/v1(?:beta1)?\/projects\/[^/]+\/locations\/[^/]+\/endpoints\/openapi\/chat\/completions$/.test(path))
      return { kind: 'metered', shape: chat }
    const [, publisher, verb = ''] = modelPath.exec(path) ?? []
    if (publisher === 'google') return classifyVerb(verb, path, geminiShape)
    if (publisher === 'anthropic' && path.includes('/models/count-tokens:')) return { kind: 'free' }
    if (publisher === 'anthropic' && (verb === 'rawPredict' || verb === 'streamRawPredict'))
      return { kind: 'metered', shape: claude }
    return { kind: 'unmetered', reason: `${path} does not report what it costs` }
  },
}

const modelPath = /^\/v1(?:beta1)?\/(?:projects\/[^/]+\/locations\/[^/]+\/)?publishers\/([^/]+)\/models\/[^/:]+:(\w+)$/

const chat = chatShape({ amend: true })

/** Messages with the model in the path. */
const claude: Shape = {
  name: 'vertex/anthropic',
  wants: wantsOfMessages,
  read: (fields, { path }) => ({
    ...readMessages(fields),
    model: /\/models\/([^/:]+):/.exec(path)?.[1],
    stream: path.endsWith(':streamRawPredict'),
  }),
  counter: countMessages,
  speech: anthropicSpeech,
}
