/** Is another supervisor at work here? Asked of the kernel, so that no lock outlives its process. */
import { createHash } from 'node:crypto'
import { resolve } from 'node:path'
import { createServer, type Server } from 'node:net'

/** Holds each path for this process until disposed. Rejects with the path that another process holds. */
export async function hold(paths: readonly string[]): Promise<AsyncDisposable> {
  const held: Server[] = []
  const release = async (): Promise<void> => {
    await Promise.all(held.map((server) => new Promise<void>((done) => void server.close(() => done()))))
  }
  for (const path of paths) {
    const server = createServer((socket) => socket.destroy())
    const { promise, resolve: listening, reject } = Promise.withResolvers<void>()
    server.once('error', reject)
    // An abstract socket: its name is gone with the process, kill -9 included. Names have at most 107 bytes, paths may be longer.
    server.listen(`\0agent-supervisor/${createHash('sha256').update(resolve(path)).digest('hex')}`, listening)
    try {
      await promise
    } catch {
      await release()
      throw new Error(`another supervisor is at work on ${path}; stop it, or give this one paths of its own`)
    }
    server.unref()
    held.push(server)
  }
  return { [Symbol.asyncDispose]: release }
}
