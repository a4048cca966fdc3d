import type { Readable } from 'node:stream'

/**
 * The agent's body as it comes. Whoever reads it may stop early (an early reply, a broken upstream) without destroying
 * the stream, and with it the connection that the answer has yet to be written to. A stream that broke before it was
 * read throws its error all the same.
 */
export function chunksOf(stream: Readable): AsyncIterable<Uint8Array> {
  let broken: Error | undefined
  stream.once('error', (error) => (broken = error))
  return read(stream, () => broken)
}

async function* read(stream: Readable, broken: () => Error | undefined): AsyncGenerator<Uint8Array> {
  const error = broken()
  if (error) throw error
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) yield chunk as Uint8Array
}
