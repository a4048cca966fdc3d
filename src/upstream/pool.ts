import { Pool } from 'undici'
import type { Dispatcher } from 'undici'
import type { Scheme } from '#journey/types.ts'
import type { Destination, Dialer } from './dial.ts'

/** Milliseconds. An LLM may think for ten minutes before its first byte, and a stream may be as quiet. */
export const patience = { head: 15 * 60_000, body: 15 * 60_000 } as const

/** Interim replies an upstream may send before its final one; past it, it is attacking. */
export const mostInformational = 16

/** Kept-alive HTTP/1.1 connections to one origin under one set of credentials. */
export interface OriginPool {
  readonly dispatcher: Dispatcher
  /** `address:port` last connected to. */
  address: string
}

const mostPools = 512

/**
 * One pool per origin and set of credentials: a connection that authenticated one agent never carries another's request.
 * undici's pools keep HTTP/1.1 only; its HTTP/2 was measured to gain nothing and to hang after a GOAWAY.
 */
export class Pools {
  readonly #pools = new Map<string, OriginPool>()
  readonly #dialer: Dialer

  constructor(dialer: Dialer) {
    this.#dialer = dialer
  }

  get size(): number {
    return this.#pools.size
  }

  of(scheme: Scheme, { host, port }: Destination, credentials: readonly string[]): OriginPool {
    const key = `${scheme}://${host}:${port} ${credentials.join(' ')}`
    const found = this.#pools.get(key)
    if (found) return found
    if (this.#pools.size >= mostPools) this.#evict()
    const pool: OriginPool = {
      address: '',
      dispatcher: this.#create(scheme, { host, port }, (address) => (pool.address = address)),
    }
    this.#pools.set(key, pool)
    return pool
  }

  /** A connection of its own, for an upgrade: it is never returned to a pool. */
  single(scheme: Scheme, destination: Destination): OriginPool {
    const pool: OriginPool = { address: '', dispatcher: this.#create(scheme, destination, (address) => (pool.address = address)) }
    return pool
  }

  async close(): Promise<void> {
    const pools = [...this.#pools.values()]
    this.#pools.clear()
    await Promise.all(pools.map(({ dispatcher }) => dispatcher.destroy()))
  }

  #create(scheme: Scheme, destination: Destination, connected: (address: string) => void): Dispatcher {
    const open = () => (scheme === 'https' ? this.#dialer.tls(destination, ['http/1.1']) : this.#dialer.tcp(destination))
    return new Pool(`${scheme}://${destination.host}:${destination.port}`, {
      allowH2: false,
      pipelining: 1,
      headersTimeout: patience.head,
      bodyTimeout: patience.body,
      maxHeaderSize: 64 * 1024,
      connect: (_options, done) => {
        open().then(
          (socket) => {
            connected(`${socket.remoteAddress}:${socket.remotePort}`)
            done(null, socket)
          },
          (error: Error) => done(error, null),
        )
      },
    })
  }

  /** Closes the pool that was made first: it ends its running requests and opens no more. */
  #evict(): void {
    const [key, pool] = this.#pools.entries().next().value ?? []
    if (key === undefined || pool === undefined) return
    this.#pools.delete(key)
    void pool.dispatcher.close()
  }
}
