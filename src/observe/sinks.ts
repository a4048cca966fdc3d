/** Where audit lines end up. A sink knows bytes and nothing of records. */
import type { Writable } from 'node:stream'

export interface Sink {
  /** Resolves with how many bytes were taken, which may be fewer than given. Rejects when none could be. */
  write(bytes: Buffer): Promise<number>
  /** Resolves when everything written so far would survive a power cut, where the sink can promise that. */
  sync(): Promise<void>
  /** Starts again under the same name, for whoever rotates files. */
  reopen(): Promise<void>
  close(): Promise<void>
}

/**
 * Writes to a stream that someone else opened and will close, standard output for one. On Linux Node writes to a pipe
 * without blocking, so a reader that stalls keeps the promise waiting and nothing else.
 */
export function streamSink(stream: Writable): Sink {
  // Each failure is told to its own write; this listener keeps a broken pipe from ending the process.
  stream.on('error', () => {})
  return {
    write(bytes) {
      const { promise, resolve, reject } = Promise.withResolvers<number>()
      stream.write(bytes, (error) => (error ? reject(error) : resolve(bytes.length)))
      return promise
    },
    async sync() {},
    async reopen() {},
    async close() {},
  }
}
