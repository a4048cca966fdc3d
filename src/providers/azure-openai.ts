/** OpenAI's models on Azure. Source: learn.microsoft.com/azure/ai-foundry/openai/reference. The model is a deployment's name. */
import { chatShape, completionsShape, embeddingsShape } from './openai/chat.ts'
import { chatSpeech } from './openai/speech.ts'
import { classifyOpenai } from './openai.ts'
import type { Call, Classified, Provider, Shape } from './types.ts'

export const azureOpenai: Provider = {
  speech: chatSpeech,
  id: 'azure-openai',
  // As OpenAI's API.
  mostBody: 64 << 20,
  owns: (host) => host.endsWith('.openai.azure.com') || host.endsWith('.services.ai.azure.com'),
  classify(call: Call): Classified {
    const { method, path, upgrade } = call
    if (path.startsWith('/openai/v1/')) return classifyOpenai(call, '/openai/v1')
    if (upgrade) return { kind: 'unmetered', reason: 'a realtime connection is not metered' }
    if (method !== 'POST') return { kind: 'free' }
    const verb = /^\/openai\/deployments\/[^/]+\/(.+)$/.exec(path)?.[1] ?? ''
    const shape = deployments.get(verb)
    return shape ? { kind: 'metered', shape } : { kind: 'unmetered', reason: `${path} does not report what it costs` }
  },
}

const deployments: ReadonlyMap<string, Shape> = new Map([
  ['chat/completions', deployed(chatShape({ amend: true }))],
  ['completions', deployed(completionsShape({ amend: true }))],
  ['embeddings', deployed(embeddingsShape)],
])

function deployed(shape: Shape): Shape {
  return {
    ...shape,
    read: (fields, call) => ({ ...shape.read(fields, call), model: /^\/openai\/deployments\/([^/]+)\//.exec(call.path)?.[1] }),
  }
}
