/** The registry of providers: one file, one line here, one test file. */
import { anthropic } from './anthropic.ts'
import { azureOpenai } from './azure-openai.ts'
import { bedrock } from './bedrock.ts'
import { codex } from './codex.ts'
import { gemini } from './gemini.ts'
import { ollama } from './ollama.ts'
import { openaiCompatible } from './openai-compatible.ts'
import { openai } from './openai.ts'
import { openrouter } from './openrouter.ts'
import type { Provider } from './types.ts'
import { vertex } from './vertex.ts'

export const providers: readonly Provider[] = [
  anthropic,
  openai,
  codex,
  gemini,
  vertex,
  bedrock,
  azureOpenai,
  openrouter,
  ollama,
  openaiCompatible,
]

/** The words after `meter:`, besides `auto`. */
export const meterNames: readonly string[] = providers.map(({ id }) => id)

export function providerNamed(id: string): Provider | undefined {
  return providers.find((each) => each.id === id)
}

/** Whose host this is; `undefined`: nobody's we know. */
export function providerFor(host: string): Provider | undefined {
  return providers.find((each) => each.owns(host))
}
