import type { Duplex } from 'node:stream'
import { LruMap } from '#base/async.ts'
import type { StopSignal } from '#base/async.ts'
import { Deadlines } from '#base/deadlines.ts'
import { ProxyError } from '#base/errors.ts'
import type { MemoryAccount } from '#base/memory-account.ts'
import { headerValue } from '#journey/headers.ts'
import type { Outbound, Sent, Upstream } from '#contracts/upstream.ts'
import type { ReplySink } from '#contracts/reply.ts'
import type { RequestBody } from '#contracts/request.ts'
import { Replayable } from '#journey/replay.ts'
import { Decoder } from './decode.ts'
import { Dialer, refusedAlpn } from './dial.ts'
import type { Destination, DialOptions } from './dial.ts'
import { StaleConnection } from './h1.ts'
import { NotProcessed, sendH2 } from './h2.ts'
import { Sessions } from './h2-sessions.ts'
import { Pools } from './pool.ts'
import type { OriginPool } from './pool.ts'

/** Methods that may be repeated when nobody can tell whether the first try arrived (RFC 9110 section 9.2.2). */
const idempotent = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE'])

/** Bytes of a body that are kept while a host may still refuse its HTTP/2 stream unprocessed. */
const mostRepeated = 64 * 1024

/** Step 7: the way out. HTTP/1.1 where it will do, HTTP/2 where gRPC or the host needs it. */
export class Sender implements Upstream {
  readonly #dialer: Dialer
  readonly #pools: Pools
  readonly #sessions: Sessions
  readonly #memory: MemoryAccount
  /** Origins that refused HTTP/1.1 in the handshake, before a request was sent. */
  readonly #onlyH2 = new LruMap<string, true>(1000)

  /** `memory`: counts the windows of decoders, and connections. */
  constructor(options: DialOptions, memory: MemoryAccount) {
    this.#memory = memory
    this.#dialer = new Dialer(options)
    this.#pools = new Pools(this.#dialer, new Deadlines(patient), memory)
    this.#sessions = new Sessions(this.#dialer)
  }

  get pools(): number {
    return this.#pools.size + this.#sessions.size
  }

  // Not an async function, nor are the next two: each would cost every request a microsecond and a kilobyte.
  send(outbound: Outbound, body: RequestBody | undefined, sink: ReplySink, signal: StopSignal): Promise<Sent> {
    if (!outbound.decode || outbound.head.method === 'HEAD') return this.#choose(outbound, body, sink, signal)
    const decoder = new Decoder(sink, this.#memory, outbound.agent)
    return this.#choose(outbound, body, decoder, signal).then(
      (sent) => {
        // The decoder may still be at work when the upstream is done.
        const { done } = decoder
        return done && !sent.upgraded ? finished(decoder, done, signal).then(() => sent) : sent
      },
      (error: unknown) => {
        decoder.close()
        throw error
      },
    )
  }

  connect(destination: Destination, signal: StopSignal): Promise<Duplex> {
    return this.#dialer.tcp(destination, signal)
  }

  async close(): Promise<void> {
    this.#sessions.close()
    this.#pools.close()
  }

  #choose(outbound: Outbound, body: RequestBody | undefined, sink: ReplySink, signal: StopSignal): Promise<Sent> {
    const { scheme, host, port } = outbound.head
    if (outbound.upgrade) return this.#upgrade(outbound, sink, signal)
    const isKnown = this.#onlyH2.size > 0 && this.#onlyH2.get(`${host}:${port}`)
    if (scheme === 'https' && (isKnown || wantsH2(outbound))) return this.#overH2(outbound, body, sink, signal)
    return this.#overH1(outbound, body, sink, signal)
  }

  #overH1(outbound: Outbound, body: RequestBody | undefined, sink: ReplySink, signal: StopSignal): Promise<Sent> {
    const pool = this.#pools.of(outbound.head.scheme, outbound.head, outbound.credentials)
    return pool
      .send(outbound, body, sink, signal)
      .then(undefined, (error: unknown) => this.#again(error, pool, outbound, body, sink, signal))
  }

  /** After a first try over HTTP/1.1 has failed before its reply began. */
  async #again(
    error: unknown,
    pool: OriginPool,
    outbound: Outbound,
    body: RequestBody | undefined,
    sink: ReplySink,
    signal: StopSignal,
  ): Promise<Sent> {
    const { host, port, method } = outbound.head
    if (refusedAlpn(error)) {
      this.#onlyH2.set(`${host}:${port}`, true)
      return this.#overH2(outbound, body, sink, signal)
    }
    if (!(error instanceof StaleConnection)) throw error
    // At most one retry, only of what is safe to repeat and of which no body was consumed.
    if (body || !idempotent.has(method)) throw new ProxyError('upstream_reset')
    try {
      return await pool.send(outbound, undefined, sink, signal)
    } catch (again) {
      throw again instanceof StaleConnection ? new ProxyError('upstream_reset') : again
    }
  }

  async #overH2(outbound: Outbound, body: RequestBody | undefined, sink: ReplySink, signal: StopSignal): Promise<Sent> {
    const kept = body && new Replayable(body, mostRepeated)
    const session = await this.#sessions.of(outbound.head, outbound.credentials)
    try {
      await sendH2(session, outbound, kept?.first(), sink, signal)
      return { address: session.address }
    } catch (error) {
      if (!(error instanceof NotProcessed)) throw error
      this.#sessions.retire(session)
    }
    if (signal.aborted) throw new ProxyError('client_closed')
    const again = kept?.again()
    if (kept && !again) throw new ProxyError('upstream_reset', 'the host refused the request when much of its body was sent')
    const fresh = await this.#sessions.of(outbound.head, outbound.credentials)
    try {
      await sendH2(fresh, outbound, again, sink, signal)
      return { address: fresh.address }
    } catch (error) {
      throw error instanceof NotProcessed ? new ProxyError('upstream_reset', 'the host refused the request twice') : error
    }
  }

  async #upgrade(outbound: Outbound, sink: ReplySink, signal: StopSignal): Promise<Sent> {
    const single = this.#pools.single(outbound.head.scheme, outbound.head)
    try {
      return await single.send(outbound, undefined, sink, signal)
    } catch (error) {
      throw error instanceof StaleConnection ? new ProxyError('upstream_reset') : error
    } finally {
      // The upgraded socket is no longer the pool's; anything else of it is of no use.
      single.close()
    }
  }
}

/** Time for connections that nobody else has time for: it keeps no process from ending. */
const patient = {
  elapsed: () => performance.now(),
  later(milliseconds: number, act: () => void) {
    const timer = setTimeout(act, milliseconds).unref()
    return () => clearTimeout(timer)
  },
}

async function finished(decoder: Decoder, done: Promise<void>, signal: StopSignal): Promise<void> {
  try {
    await unlessAborted(done, signal)
  } finally {
    decoder.close()
  }
}

/** Waits for the work, but not for longer than the agent does. */
function unlessAborted(work: Promise<void>, signal: StopSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const cancelled = () => reject(new ProxyError('client_closed'))
    if (signal.aborted) return cancelled()
    signal.addEventListener('abort', cancelled, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', cancelled))
  })
}

function wantsH2({ headers }: Outbound): boolean {
  return headerValue(headers, 'content-type')?.startsWith('application/grpc') ?? false
}
