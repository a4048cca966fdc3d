import type { AddressInfo, Server, Socket } from 'node:net'

/** What a server or client of the kit shows of itself: a port on loopback, and how to end it. */
export interface Started extends AsyncDisposable {
  readonly port: number
}

/** PEM of a leaf with its chain, and of its key. */
export interface Certificate {
  readonly certPem: string
  readonly keyPem: string
}

/** A record while it is being written; handed out as its readonly self. */
export type Draft<Record> = { -readonly [Key in keyof Record]: Record[Key] }

/** Binds a server to loopback and answers its port; port 0 takes any. Rejects when the port is taken. */
export async function listen(server: Server, port = 0): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.listen(port, '127.0.0.1', resolve)
  await promise
  server.off('error', reject)
  return (server.address() as AddressInfo).port
}

/**
 * Keeps the open sockets of a server and answers how to end both. A test that ends owes its clients nothing, so sockets
 * are destroyed and not drained.
 */
export function closer(server: Server): () => Promise<void> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => {})
  })
  return async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    server.close(() => resolve())
    for (const socket of sockets) socket.destroy()
    await promise
  }
}
