/** Where audit lines end up. A sink knows bytes and nothing of records. */
import { open, stat, type FileHandle } from 'node:fs/promises'
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

/** Milliseconds between two looks whether the file still has its name. */
const lookMs = 1000

/**
 * Appends to a file, which is made with mode 0600. It is opened with the first write, so that a full disk is no crash, and anew when
 * it was moved or deleted: logrotate needs to tell nobody.
 */
export function fileSink(path: string): Sink {
  let file: FileHandle | undefined
  let lookedAt = 0
  const isMoved = async (opened: FileHandle): Promise<boolean> => {
    if (performance.now() - lookedAt < lookMs) return false
    lookedAt = performance.now()
    const [ours, named] = await Promise.all([opened.stat(), stat(path).catch(() => undefined)])
    return ours.ino !== named?.ino || ours.dev !== named.dev
  }
  const close = async (): Promise<void> => {
    const closing = file
    file = undefined
    await closing?.close()
  }
  return {
    async write(bytes) {
      if (file && (await isMoved(file))) await close()
      file ??= await open(path, 'a', 0o600)
      return (await file.write(bytes)).bytesWritten
    },
    async sync() {
      await file?.datasync()
    },
    async reopen() {
      try {
        await file?.datasync()
      } finally {
        await close()
      }
    },
    close,
  }
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
