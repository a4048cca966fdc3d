import type { StopSignal } from '#base/async.ts'
import type { Deadlines } from '#base/deadlines.ts'
import type { Outbound, ReplySink, RequestBody, Sent } from '#journey/ports.ts'
import type { Scheme } from '#journey/types.ts'
import type { Destination, Dialer } from './dial.ts'
import { H1Connection } from './h1.ts'
import type { Home } from './h1.ts'

const mostPools = 512

/** Kept-alive HTTP/1.1 connections to one origin under one set of credentials. */
export class OriginPool implements Home {
  readonly #scheme: Scheme
  readonly #destination: Destination
  readonly #dialer: Dialer
  readonly #deadlines: Deadlines
  /** The last one used is the first to be used again: what is not needed grows old and closes. */
  readonly #idle: H1Connection[] = []
  readonly #connections = new Set<H1Connection>()
  #closed = false

  constructor(scheme: Scheme, destination: Destination, dialer: Dialer, deadlines: Deadlines) {
    this.#scheme = scheme
    this.#destination = destination
    this.#dialer = dialer
    this.#deadlines = deadlines
  }

  /** Sends on a free connection, or on a new one. Throws `StaleConnection`, and `ProxyError` for all else. */
  send(outbound: Outbound, body: RequestBody | undefined, sink: ReplySink, signal: StopSignal): Promise<Sent> {
    const free = this.#idle.pop()
    if (free) return free.send(outbound, body, sink, signal)
    return this.#open(signal).then((opened) => opened.send(outbound, body, sink, signal))
  }

  release(connection: H1Connection): void {
    if (this.#closed) connection.destroy()
    else this.#idle.push(connection)
  }

  forget(connection: H1Connection): void {
    this.#connections.delete(connection)
    const at = this.#idle.indexOf(connection)
    if (at >= 0) this.#idle.splice(at, 1)
  }

  /** No connection is kept any more; running requests end on theirs. */
  retire(): void {
    this.#closed = true
    for (const connection of this.#idle.splice(0)) connection.destroy()
  }

  /** Closes everything now. */
  close(): void {
    this.retire()
    for (const connection of this.#connections) connection.destroy()
  }

  async #open(signal: StopSignal): Promise<H1Connection> {
    const socket =
      this.#scheme === 'https'
        ? await this.#dialer.tls(this.#destination, ['http/1.1'], signal)
        : await this.#dialer.tcp(this.#destination, signal)
    const connection = new H1Connection(socket, this, this.#deadlines)
    this.#connections.add(connection)
    return connection
  }
}

/**
 * One pool per origin and set of credentials: a connection that authenticated one agent never carries another's request.
 */
export class Pools {
  readonly #pools = new Map<string, OriginPool>()
  readonly #dialer: Dialer
  readonly #deadlines: Deadlines

  constructor(dialer: Dialer, deadlines: Deadlines) {
    this.#dialer = dialer
    this.#deadlines = deadlines
  }

  get size(): number {
    return this.#pools.size
  }

  of(scheme: Scheme, { host, port }: Destination, credentials: readonly string[]): OriginPool {
    const key = `${scheme}://${host}:${port} ${credentials.join(' ')}`
    const found = this.#pools.get(key)
    if (found) return found
    if (this.#pools.size >= mostPools) this.#evict()
    const pool = this.single(scheme, { host, port })
    this.#pools.set(key, pool)
    return pool
  }

  /** A pool of its own, for an upgrade: its connection is never used again. */
  single(scheme: Scheme, destination: Destination): OriginPool {
    return new OriginPool(scheme, destination, this.#dialer, this.#deadlines)
  }

  close(): void {
    for (const pool of this.#pools.values()) pool.close()
    this.#pools.clear()
  }

  /** Drops the pool that was made first: it ends its running requests and keeps no connection. */
  #evict(): void {
    const [key, pool] = this.#pools.entries().next().value ?? []
    if (key === undefined || pool === undefined) return
    this.#pools.delete(key)
    pool.retire()
  }
}
