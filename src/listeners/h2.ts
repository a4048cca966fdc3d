import { constants, performServerHandshake } from 'node:http2'
import type { ServerHttp2Session, ServerHttp2Stream } from 'node:http2'
import type { TLSSocket } from 'node:tls'
import { Cancellation } from '#base/async.ts'
import { ProxyError } from '#base/errors.ts'
import type { Client, Relayed } from '#contracts/reply.ts'
import type { Ports } from '#journey/ports.ts'
import { exchange } from '#journey/exchange.ts'
import { recordBroken } from '#journey/tunnel.ts'
import type { CutBy } from '#contracts/audit-record.ts'
import type { RawHeaders } from '#contracts/request.ts'
import { nested } from '#journey/headers.ts'
import { chunksOf } from './body.ts'
import { connectionOf } from './connection.ts'
import type { Connection } from './connection.ts'
import { isPadded, screen } from './head.ts'
import { costs } from './peers.ts'
import type { Peers } from './peers.ts'
import type { RawHead } from './head.ts'

/** Bytes, counts and milliseconds. Floods of one session (CONTINUATION, settings, pings) meet nghttp2's own counters, those of one address `Peers`. */
const limits = { streams: 128, headBytes: 16 * 1024, window: 1 << 20, sessionMemory: 16, silence: 20 * 60_000 } as const

/** HTTP/2 towards agents (RFC 9113): each stream is an arrival of its own. */
export class H2 {
  readonly #ports: Ports
  readonly #sessions = new Set<ServerHttp2Session>()
  readonly #peers: Peers

  constructor(ports: Ports, peers: Peers) {
    this.#ports = ports
    this.#peers = peers
  }

  /** Speaks HTTP/2 on a TLS connection that negotiated it and whose facts are remembered. */
  serve(socket: TLSSocket): void {
    const connection = connectionOf(socket)
    if (!connection) return void socket.destroy()
    const session = performServerHandshake(socket, {
      maxSessionMemory: limits.sessionMemory,
      maxHeaderListPairs: 210,
      maxSettings: 32,
      maxOutstandingPings: 10,
      // nghttp2 leaves a field out whose name or value HTTP/2 forbids, and gives the rest to the program; it asks first, but Node 26 answers
      // that itself (`OnInvalidHeader` in node_http2.cc) with no call, event or option. White space around a value is the one fault that
      // can be let through, so that the head is refused here. The others (CR, LF, NUL, a space or a colon in a name) reach no host, but
      // neither can they be seen.
      strictFieldWhitespaceValidation: false,
      // Hosts do send `x-content-type-options` and the like twice, and HTTP/1.1 passes it.
      strictSingleValueFields: false,
      settings: { maxConcurrentStreams: limits.streams, initialWindowSize: limits.window, maxHeaderListSize: limits.headBytes },
      streamResetBurst: 1000,
      streamResetRate: 33,
    })
    this.#sessions.add(session)
    session.setLocalWindowSize(limits.window * 4)
    session.setTimeout(limits.silence, () => session.destroy())
    session.on('close', () => this.#sessions.delete(session))
    session.on('error', () => session.destroy())
    session.on('ping', () => this.#charge(session, connection, costs.ping))
    session.on('remoteSettings', () => this.#charge(session, connection, costs.settings))
    // Streams that began in this turn of the loop. More than may be open at once were reset in it: none of those is looked at.
    let begun = 0
    session.on('stream', (stream, _headers, _flags, rawHeaders) => {
      begun += 1
      if (begun === 1) setImmediate(() => (begun = 0))
      // A reset stream is seen by 'close'; without a listener its error would end the process.
      stream.on('error', nothing)
      if (begun > limits.streams) {
        this.#charge(session, connection, costs.reset)
        return stream.close(constants.NGHTTP2_REFUSED_STREAM)
      }
      stream.once('aborted', () => this.#charge(session, connection, costs.reset))
      // What nobody foresaw costs this stream and no other.
      this.#serve(stream, rawHeaders, connection).catch(() => stream.destroy())
    })
  }

  /** Past its allowance an address is told to calm down, and its session ends (RFC 9113 section 10.5). */
  #charge(session: ServerHttp2Session, { door, peer, parent, proxyAuth }: Connection, cost: number): void {
    if (this.#peers.charge(peer.address, cost) || session.destroyed) return
    const detail = 'too many resets, settings or pings from this address'
    recordBroken({ kind: 'broken', door, peer, parent, proxyAuth, code: 'overloaded', detail, protocol: 'h2' }, this.#ports)
    session.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM)
    session.destroy()
  }

  /** GOAWAY: running streams finish, no new ones begin. */
  drain(): void {
    for (const session of this.#sessions) session.close()
  }

  close(): void {
    for (const session of this.#sessions) session.destroy()
  }

  async #serve(stream: ServerHttp2Stream, rawHeaders: string[], connection: Connection): Promise<void> {
    const cut = new Cancellation<CutBy>()
    stream.once('close', () => cut.cut('agent'))
    const raw = rawHead(rawHeaders)
    const expects = raw !== undefined && raw.headers.some((text, i) => i % 2 === 0 && text === 'expect')
    const client = new H2Client(stream, { expects, trailers: raw !== undefined && wantsTrailers(raw.headers) })
    const screened = raw
      ? screen(raw, connection)
      : ({ kind: 'refused', code: 'malformed_request', detail: 'a pseudo-header is missing or repeated' } as const)
    const { door, peer, parent, refusal } = connection
    if (screened.kind === 'refused') {
      const { code, detail } = screened
      const { proxyAuth } = connection
      const broken = { kind: 'broken', door, peer, parent, proxyAuth, code, detail, protocol: 'h2' } as const
      const reply = refusal?.deny() ?? recordBroken(broken, this.#ports)
      client.head(reply.status, reply.headers)
      client.data(reply.body)
      return client.end([])
    }
    const body = stream.endAfterHeaders
      ? undefined
      : { chunks: chunksOf(stream), length: screened.length, trailers: () => client.readTrailers() }
    // One turn of the loop, so that what is taken back in the same breath is never begun (rapid reset, CVE-2023-44487).
    await new Promise(setImmediate)
    // One record of the flood is enough.
    if (stream.destroyed && this.#peers.isSpent(peer.address)) return
    refusal?.ask()
    const { head, proxyAuth, runId, traceId } = screened
    const arrival = { kind: 'request', door, peer, parent, protocol: 'h2', head, proxyAuth, runId, traceId } as const
    await exchange(arrival, body, client, cut, this.#ports)
  }
}

function nothing(): void {}

/** Splits pseudo-headers off and makes one Cookie of its pieces; `undefined` when one is missing, repeated or unknown (RFC 9113 section 8.3.1). */
function rawHead(rawHeaders: readonly string[]): RawHead | undefined {
  const pseudo: Record<string, string> = Object.create(null) as Record<string, string>
  const headers: string[] = []
  let cookie: number | undefined
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? ''
    const value = rawHeaders[i + 1] ?? ''
    // HTTP/2 may split Cookie and HTTP/1.1 may not (RFC 9113 section 8.2.3).
    if (name === 'cookie' && cookie !== undefined) headers[cookie] += `; ${value}`
    else if (!name.startsWith(':')) {
      headers.push(name, value)
      if (name === 'cookie') cookie = headers.length - 1
    } else if (name in pseudo) return undefined
    else pseudo[name] = value
  }
  const { ':method': method, ':path': target, ':scheme': scheme, ':authority': authority } = pseudo
  if (method === undefined || target === undefined || scheme === undefined) return undefined
  return { version: '2', method, target, headers, authority, scheme }
}

function wantsTrailers(headers: RawHeaders): boolean {
  return headers.some((text, i) => i % 2 === 0 && text === 'te' && headers[i + 1] === 'trailers')
}

/** The agent's half of one HTTP/2 stream. */
class H2Client implements Client {
  onDrain: () => void = () => {}
  readonly #stream: ServerHttp2Stream
  readonly #expects: boolean
  readonly #trailers: boolean
  #requestTrailers: RawHeaders = []
  #replyTrailers: RawHeaders = []
  #proceeded = false

  constructor(stream: ServerHttp2Stream, options: { readonly expects: boolean; readonly trailers: boolean }) {
    this.#stream = stream
    this.#expects = options.expects
    this.#trailers = options.trailers
    stream.on('drain', () => this.onDrain())
    stream.on('wantTrailers', () => this.#sendTrailers())
    stream.on('finish', () => setImmediate(() => this.#stopUpload()))
    stream.on('trailers', (_headers: unknown, _flags: unknown, raw?: string[]) => (this.#requestTrailers = raw ?? []))
  }

  /** The trailers of the request. Throws `bad_header` for what HTTP/2 forbids. */
  readTrailers(): RawHeaders {
    const padded = this.#requestTrailers.find((text, i) => i % 2 === 1 && isPadded(text))
    if (padded !== undefined) throw new ProxyError('bad_header', 'a trailer has white space around its value')
    return this.#requestTrailers
  }

  get begun(): boolean {
    return this.#stream.headersSent || this.#stream.destroyed
  }

  proceed(): void {
    if (!this.#expects || this.#proceeded || this.begun) return
    this.#proceeded = true
    this.#stream.additionalHeaders({ ':status': 100 })
  }

  informational(status: number, headers: RawHeaders): void {
    if (!this.begun) this.#stream.additionalHeaders({ ...nested(headers), ':status': status })
  }

  head(status: number, headers: RawHeaders, last = false): void {
    if (this.begun) return
    this.#stream.respond(
      { ...nested(headers), ':status': status },
      last ? { endStream: true } : { waitForTrailers: this.#trailers },
    )
  }

  data(chunk: Uint8Array): boolean {
    if (this.#stream.writableEnded || this.#stream.destroyed) return true
    return this.#stream.write(chunk)
  }

  end(trailers: RawHeaders): void {
    this.#replyTrailers = trailers
    if (this.#stream.writableEnded || this.#stream.destroyed) return
    this.#stream.end()
  }

  /** The reply is whole, so the rest of the request is of no use; an agent that is not told waits to send it (RFC 9113 section 8.1). */
  #stopUpload(): void {
    if (!this.#stream.destroyed && this.#stream.state.remoteClose === 0) this.#stream.close(constants.NGHTTP2_NO_ERROR)
  }

  #sendTrailers(): void {
    try {
      this.#stream.sendTrailers(nested(this.#replyTrailers))
    } catch {
      // A host's trailers that HTTP/2 does not know; thrown from here, it would end the process.
      this.abort()
    }
  }

  abort(): void {
    // Both destroy() alone and close() with any code end the stream in order first (Node 26): a cut reply would look whole.
    this.#stream.destroy(new Error('the reply broke off'))
  }

  /** WebSocket over HTTP/2 (RFC 8441) is not offered, so nothing can ask for it. */
  relay(): Promise<Relayed> {
    return Promise.reject(new Error('no upgrade over HTTP/2'))
  }
}
