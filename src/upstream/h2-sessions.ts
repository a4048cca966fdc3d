import { connect } from 'node:http2'
import type { ClientHttp2Session } from 'node:http2'
import { SingleFlight } from '#base/async.ts'
import { ProxyError } from '#base/errors.ts'
import type { Destination, Dialer } from './dial.ts'

/** One HTTP/2 connection to a host. */
export interface Session {
  readonly client: ClientHttp2Session
  /** `address:port` at the other end. */
  readonly address: string
  /** The highest stream that the host processes, as its GOAWAY says (RFC 9113 section 6.8). */
  lastProcessed: number
}

/** HTTP/2 sessions to upstreams: for gRPC, which needs its trailers and full duplex, and for hosts that speak nothing else. */
export class Sessions {
  readonly #sessions = new Map<string, Session>()
  readonly #opening = new SingleFlight<string, Session>()
  readonly #dialer: Dialer

  constructor(dialer: Dialer) {
    this.#dialer = dialer
  }

  get size(): number {
    return this.#sessions.size
  }

  /** A session that can take a stream. Throws what dialling throws. */
  async of(destination: Destination, credentials: readonly string[]): Promise<Session> {
    const key = `${destination.host}:${destination.port} ${credentials.join(' ')}`
    const found = this.#sessions.get(key)
    if (found && !found.client.closed && !found.client.destroyed) return found
    return this.#opening.run(key, () => this.#open(key, destination))
  }

  /** Gives this session no further stream; its running streams finish. */
  retire(session: Session): void {
    for (const [key, kept] of this.#sessions) if (kept === session) this.#sessions.delete(key)
    if (!session.client.closed && !session.client.destroyed) session.client.close()
  }

  close(): void {
    for (const { client } of this.#sessions.values()) client.destroy()
    this.#sessions.clear()
  }

  async #open(key: string, destination: Destination): Promise<Session> {
    const socket = await this.#dialer.tls(destination, ['h2'])
    if (socket.alpnProtocol !== 'h2') {
      socket.destroy()
      throw new ProxyError('upstream_protocol', 'the host does not speak HTTP/2')
    }
    const client = connect(`https://${destination.host}:${destination.port}`, {
      createConnection: () => socket,
      settings: { enablePush: false, initialWindowSize: 1 << 20 },
      strictSingleValueFields: false,
    } as Parameters<typeof connect>[1])
    client.setLocalWindowSize(8 << 20)
    const address = `${socket.remoteAddress ?? ''}:${socket.remotePort ?? ''}`
    const session: Session = { client, address, lastProcessed: Infinity }
    // A stream's own error says what happened; without a listener here the process would end.
    client.on('error', () => {})
    // Node emits it before it closes the streams of the session.
    client.on('goaway', (_code, lastStreamId) => {
      session.lastProcessed = lastStreamId
      this.#forget(key, session)
    })
    client.on('close', () => this.#forget(key, session))
    this.#sessions.set(key, session)
    return session
  }

  #forget(key: string, session: Session): void {
    if (this.#sessions.get(key) === session) this.#sessions.delete(key)
  }
}
