/** OpenAI's API. Source: platform.openai.com/docs/api-reference. */
import { chatShape, completionsShape, embeddingsShape } from './openai/chat.ts'
import { cancellableResponsesShape, responsesShape } from './openai/responses.ts'
import { chatSpeech } from './openai/speech.ts'
import type { Call, Classified, Provider, Shape } from './types.ts'

export const openai: Provider = {
  speech: chatSpeech,
  id: 'openai',
  // 50 MB of images in a request, and what stands around them (platform.openai.com/docs/guides/images-vision).
  mostBody: 64 << 20,
  owns: (host) => host === 'api.openai.com',
  classify(call) {
    const classified = classifyOpenai(call, '/v1')
    const responses = classified.kind === 'metered' && classified.shape === responsesShape
    return responses ? { kind: 'metered', shape: cancellableResponsesShape } : classified
  },
}

/** The endpoints whose replies report their usage, below `/v1` or wherever a compatible server has them. */
const shapes: Readonly<Record<string, Shape>> = {
  '/chat/completions': chatShape({ amend: true }),
  '/completions': completionsShape({ amend: true }),
  '/embeddings': embeddingsShape,
  '/responses': responsesShape,
  '/responses/compact': responsesShape,
}

/** Costs nothing: moderation, and looking after responses that were made before. */
const freeOfCharge = /^\/(?:models|moderations|responses\/input_tokens|responses\/[^/]+\/cancel|chat\/completions\/[^/]+)(?:\/|$)/

/** What a request is for a server that speaks OpenAI's language below `base`. */
export function classifyOpenai({ method, path, upgrade }: Call, base: string): Classified {
  const within = path.startsWith(`${base}/`) ? path.slice(base.length) : undefined
  if (upgrade) {
    // Codex goes on over HTTP at once when it is answered 426.
    if (within === '/responses') return { kind: 'fallback' }
    return {
      kind: 'unmetered',
      reason: 'a realtime connection does not report what it costs in a way that can be held to a budget',
    }
  }
  // Also a response that is fetched, or streamed once more: it was charged, or refused, when it was made.
  if (method !== 'POST') return { kind: 'free' }
  const shape = within === undefined ? undefined : shapes[within]
  if (shape) return { kind: 'metered', shape }
  if (within !== undefined && freeOfCharge.test(within)) return { kind: 'free' }
  return { kind: 'unmetered', reason: `${path} does not report what it costs` }
}
