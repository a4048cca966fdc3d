import type { Socket } from 'node:net'
import { Deadlines } from '#base/deadlines.ts'
import type { Ports } from '#journey/ports.ts'
import type { WireRequestHead } from '#wire/types.ts'
import { connectionOf } from './connection.ts'
import type { Connection } from './connection.ts'
import { H1Connection } from './h1-connection.ts'
import type { H1Options } from './h1-connection.ts'

/**
 * HTTP/1.x towards agents: one reader for every door. It never listens itself; doors and TLS hand it their connections.
 */
export class H1 {
  readonly #connections = new Set<H1Connection>()
  readonly #options: H1Options
  #draining = false

  constructor(ports: Ports, connect: (head: WireRequestHead, socket: Socket, connection: Connection) => void) {
    this.#options = {
      ports,
      connect,
      deadlines: new Deadlines(ports.clock),
      closes: () => this.#draining,
      closed: (connection) => this.#connections.delete(connection),
    }
  }

  /** Speaks HTTP/1.x on a connection whose facts are remembered. */
  serve(socket: Socket): void {
    const facts = connectionOf(socket)
    if (!facts) return void socket.destroy()
    this.#connections.add(new H1Connection(socket, facts, this.#options))
  }

  /** From now on each reply closes its connection. */
  retire(): void {
    this.#draining = true
  }

  /** The same, and idle connections are closed at once. */
  drain(): void {
    this.retire()
    for (const connection of this.#connections) if (connection.idle) connection.socket.destroy()
  }

  close(): void {
    for (const connection of this.#connections) connection.socket.destroy()
  }
}
