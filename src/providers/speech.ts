/** Pieces of how providers' clients are told something. */
import type { SpokenReply } from './types.ts'

/** Read by the SDKs of Anthropic and OpenAI: this will not get better by asking again. */
export const noRetry: readonly string[] = ['x-should-retry', 'false']

/** It may, soon. More than a few seconds, and SDKs sleep through it. */
export const boundedRetry: readonly string[] = ['retry-after', '5']

export function spoken(status: number, headers: readonly string[], body: SpokenReply['body']): SpokenReply {
  return { status, headers, body }
}
