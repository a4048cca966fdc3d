import type { Socket } from 'node:net'
import type { StopSignal } from '#base/async.ts'
import type { Deadlines } from '#base/deadlines.ts'
import { ProxyError } from '#base/errors.ts'
import type { MemoryAccount, MemoryShare } from '#base/memory-account.ts'
import type { Outbound, Sent } from '#contracts/upstream.ts'
import type { ReplySink } from '#contracts/reply.ts'
import type { RequestBody, Scheme } from '#contracts/request.ts'
import type { Destination, Dialer } from './dial.ts'
import { DialTurns } from './dial-turns.ts'
import { UpstreamConnection } from './h1.ts'
import type { Home } from './h1.ts'

const mostPools = 512

/** Bytes that one connection to a host takes outside the heap: OpenSSL's state and buffers, and a chunk on its way in. */
const connectionBytes = 64 * 1024

/** What the pools of a proxy share. */
interface Means {
  readonly dialer: Dialer
  readonly turns: DialTurns
  readonly deadlines: Deadlines
  /** Each connection counts against the agent that it was opened for. */
  readonly memory: MemoryAccount
  /** Closes the connections that are idle, in all pools. */
  readonly dropIdle: () => void
}

/** Kept-alive HTTP/1.1 connections to one origin under one set of credentials. */
export class OriginPool implements Home {
  readonly #scheme: Scheme
  readonly #destination: Destination
  readonly #means: Means
  /** The last one used is the first to be used again: what is not needed grows old and closes. */
  readonly #idle: UpstreamConnection[] = []
  /** With what each holds of its agent's share; nothing where the proxy itself calls. */
  readonly #connections = new Map<UpstreamConnection, MemoryShare | undefined>()
  #closed = false

  constructor(scheme: Scheme, destination: Destination, means: Means) {
    this.#scheme = scheme
    this.#destination = destination
    this.#means = means
  }

  /** Sends on a free connection, or on a new one. Throws `StaleConnection`, and `ProxyError` for all else. */
  send(outbound: Outbound, body: RequestBody | undefined, sink: ReplySink, signal: StopSignal): Promise<Sent> {
    const free = this.#idle.pop()
    if (free) return free.send(outbound, body, sink, signal)
    return this.#open(outbound.agent, signal).then((opened) => opened.send(outbound, body, sink, signal))
  }

  release(connection: UpstreamConnection): void {
    if (this.#closed) connection.destroy()
    else this.#idle.push(connection)
  }

  forget(connection: UpstreamConnection): void {
    this.#connections.delete(connection)
    const at = this.#idle.indexOf(connection)
    if (at >= 0) this.#idle.splice(at, 1)
  }

  dropIdle(): void {
    for (const connection of this.#idle.splice(0)) {
      connection.destroy()
      // Its socket closes in a moment; a request that waits for the room has it now.
      this.#connections.get(connection)?.[Symbol.dispose]()
    }
  }

  /** No connection is kept any more; running requests end on theirs. */
  retire(): void {
    this.#closed = true
    this.dropIdle()
  }

  /** Closes everything now. */
  close(): void {
    this.retire()
    for (const connection of this.#connections.keys()) connection.destroy()
  }

  /** Opens a connection for an agent; `undefined`: for a call of the proxy itself, which no agent's share may hold up. */
  async #open(agent: string | undefined, signal: StopSignal): Promise<UpstreamConnection> {
    const share = agent === undefined ? undefined : this.#shareOf(agent)
    const leave = agent === undefined ? undefined : await this.#means.turns.take(agent)
    try {
      const socket = await this.#dial(signal)
      if (share) socket.once('close', () => share[Symbol.dispose]())
      const connection = new UpstreamConnection(socket, this, this.#means.deadlines)
      this.#connections.set(connection, share)
      return connection
    } catch (error) {
      share?.[Symbol.dispose]()
      throw error
    } finally {
      leave?.()
    }
  }

  #shareOf(agent: string): MemoryShare {
    const { memory, dropIdle } = this.#means
    const share = memory.open(agent)
    if (share.take(connectionBytes)) return share
    dropIdle()
    if (share.take(connectionBytes)) return share
    throw new ProxyError('overloaded', 'the agent has too many connections to hosts')
  }

  #dial(signal: StopSignal): Promise<Socket> {
    const { dialer } = this.#means
    return this.#scheme === 'https' ? dialer.tls(this.#destination, ['http/1.1'], signal) : dialer.tcp(this.#destination, signal)
  }
}

/**
 * One pool per origin and set of credentials: a connection that authenticated one agent never carries another's request.
 */
export class Pools {
  readonly #pools = new Map<string, OriginPool>()
  /** The pool that each host was asked from last: most requests need no key. */
  readonly #last = new Map<string, Last>()
  readonly #means: Means

  constructor(dialer: Dialer, deadlines: Deadlines, memory: MemoryAccount) {
    const dropIdle = () => this.#pools.forEach((pool) => pool.dropIdle())
    this.#means = { dialer, turns: new DialTurns(), deadlines, memory, dropIdle }
  }

  get size(): number {
    return this.#pools.size
  }

  of(scheme: Scheme, { host, port }: Destination, credentials: readonly string[]): OriginPool {
    const last = this.#last.get(host)
    if (last?.scheme === scheme && last.port === port && isSame(last.credentials, credentials)) return last.pool
    const pool = this.#find(scheme, { host, port }, credentials)
    this.#last.set(host, { scheme, port, credentials, pool })
    return pool
  }

  #find(scheme: Scheme, { host, port }: Destination, credentials: readonly string[]): OriginPool {
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
    return new OriginPool(scheme, destination, this.#means)
  }

  close(): void {
    for (const pool of this.#pools.values()) pool.close()
    this.#pools.clear()
    this.#last.clear()
  }

  /** Drops the pool that was made first: it ends its running requests and keeps no connection. */
  #evict(): void {
    const [key, pool] = this.#pools.entries().next().value ?? []
    if (key === undefined || pool === undefined) return
    this.#pools.delete(key)
    this.#last.clear()
    pool.retire()
  }
}

interface Last {
  readonly scheme: Scheme
  readonly port: number
  readonly credentials: readonly string[]
  readonly pool: OriginPool
}

function isSame(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((each, i) => each === other[i])
}
