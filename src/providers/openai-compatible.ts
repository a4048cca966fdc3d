/** Whatever speaks OpenAI's language under any name: vLLM, llama.cpp, LM Studio. Never picked by itself. */
import { chatSpeech } from './openai/speech.ts'
import { classifyOpenai } from './openai.ts'
import type { Call, Classified, Provider } from './types.ts'

export const openaiCompatible: Provider = {
  speech: chatSpeech,
  id: 'openai-compatible',
  // Each server has its own.
  mostBody: 128 << 20,
  owns: () => false,
  classify(call: Call): Classified {
    const base = /^(.*)\/(?:chat\/completions|completions|embeddings|responses|models)(?:\/|$)/.exec(call.path)?.[1]
    const classified = classifyOpenai(call, base ?? '/v1')
    return classified.kind === 'free' && base === undefined ? { kind: 'free', unlisted: true } : classified
  },
}
