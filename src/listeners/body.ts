import type { Readable } from 'node:stream'

/**
 * The agent's body as it comes. Whoever reads it may stop early (an early reply, a broken upstream) without destroying
 * the stream, and with it the connection that the answer has yet to be written to.
 */
export async function* chunksOf(stream: Readable): AsyncGenerator<Uint8Array> {
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) yield chunk as Uint8Array
}
