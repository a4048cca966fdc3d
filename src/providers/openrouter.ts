/** OpenRouter: one account for many providers, in three languages. Source: openrouter.ai/docs. It reports its own price. */
import { anthropicSpeech, countMessages, readMessages, wantsOfMessages } from './anthropic.ts'
import { chatSpeech } from './openai/speech.ts'
import { classifyOpenai } from './openai.ts'
import type { Call, Classified, Provider, Shape } from './types.ts'

export const openrouter: Provider = {
  speech: chatSpeech,
  id: 'openrouter',
  // It names no limit; the largest of those behind it.
  mostBody: 128 << 20,
  owns: (host) => host === 'openrouter.ai',
  classify(call: Call): Classified {
    if (call.method === 'POST' && call.path === '/api/v1/messages' && !call.upgrade) return { kind: 'metered', shape: messages }
    return classifyOpenai(call, '/api/v1')
  },
}

const messages: Shape = {
  name: 'openrouter/messages',
  wants: wantsOfMessages,
  read: readMessages,
  counter: countMessages,
  speech: anthropicSpeech,
}
