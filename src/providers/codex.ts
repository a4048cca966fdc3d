/** Codex with a ChatGPT login: Responses behind another address. What Codex 0.169 sends. */
import { cancellableResponsesShape } from './openai/responses.ts'
import { responsesSpeech } from './openai/speech.ts'
import type { Call, Classified, Provider } from './types.ts'

export const codex: Provider = {
  speech: responsesSpeech,
  id: 'codex',
  // As OpenAI's API.
  mostBody: 64 << 20,
  // A workspace may live on a regional host of its own.
  owns: (host) => host === 'chatgpt.com' || host.endsWith('.chatgpt.com'),
  classify({ method, path, upgrade }: Call): Classified {
    const responses = /^\/backend-api\/codex\/responses(?:\/compact)?$/.test(path)
    if (upgrade) {
      return responses ? { kind: 'fallback' } : { kind: 'unmetered', reason: 'this WebSocket does not report what it costs' }
    }
    if (method !== 'POST') return { kind: 'free' }
    if (responses) return { kind: 'metered', shape: cancellableResponsesShape }
    // Accounts, settings, plugins, telemetry.
    if (/^\/backend-api\/(?:wham|ps|codex\/analytics-events)(?:\/|$)/.test(path)) return { kind: 'free' }
    return { kind: 'unmetered', reason: `${path} does not report what it costs` }
  },
}
