import { createServer, ServerResponse } from 'node:http'
import type { IncomingMessage, Server } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Socket } from 'node:net'
import { Cancellation } from '#base/async.ts'
import { ProxyError } from '#base/errors.ts'
import type { ErrorCode } from '#base/errors.ts'
import type { Ports, RequestBody } from '#journey/ports.ts'
import { run } from '#journey/run.ts'
import { recordBroken } from '#journey/tunnel.ts'
import type { CutBy, RawHeaders } from '#journey/types.ts'
import { chunksOf } from './body.ts'
import { connectionOf } from './connection.ts'
import type { Connection } from './connection.ts'
import { H1Client } from './h1-client.ts'
import { screen } from './head.ts'
import type { RawHead } from './head.ts'

/** Milliseconds and bytes. Heads must come at once; bodies and replies may take as long as they move. */
const limits = {
  head: 30_000,
  idle: 75_000,
  silence: 20 * 60_000,
  headBytes: 16 * 1024,
} as const

/**
 * HTTP/1.x towards agents: one parser for every door. It never listens itself; doors and TLS hand it their connections.
 */
export class H1 {
  readonly #server: Server
  readonly #ports: Ports
  readonly #pending = new WeakMap<object, Pending>()
  #draining = false

  constructor(ports: Ports, onConnect: (req: IncomingMessage, socket: Socket, head: Buffer) => void) {
    this.#ports = ports
    this.#server = createServer({
      insecureHTTPParser: false,
      // Judged by our own screen, so that its refusal is told and recorded like every other.
      requireHostHeader: false,
      maxHeaderSize: limits.headBytes,
      headersTimeout: limits.head,
      requestTimeout: 0,
      keepAliveTimeout: limits.idle,
      timeout: limits.silence,
      shouldUpgradeCallback: (req: IncomingMessage) => req.headers.upgrade?.toLowerCase() === 'websocket',
    } as Parameters<typeof createServer>[0])
    this.#server.on('request', (req, res) => this.#answer(req, res, 'none'))
    this.#server.on('checkContinue', (req, res) => this.#answer(req, res, 'continue'))
    this.#server.on('checkExpectation', (req, res) => this.#answer(req, res, 'unknown'))
    this.#server.on('upgrade', (req, socket, head) => {
      if (this.#isNext(socket)) this.#upgrade(req, socket as Socket, head).catch(() => socket.destroy())
    })
    this.#server.on('connect', (req, socket, head) => {
      if (this.#isNext(socket)) onConnect(req, socket as Socket, head)
    })
    this.#server.on('clientError', (error, socket) => this.#broken(error, socket))
    // Starts the checks of header and idle deadlines, which Node ties to listening.
    this.#server.emit('listening')
  }

  /** Speaks HTTP/1.x on a connection whose facts are remembered. */
  serve(socket: Socket): void {
    this.#server.emit('connection', socket)
  }

  /** From now on each reply closes its connection. */
  retire(): void {
    this.#draining = true
  }

  /** The same, and idle connections are closed at once. */
  drain(): void {
    this.retire()
    this.#server.closeIdleConnections()
  }

  close(): void {
    this.#server.closeAllConnections()
    this.#server.close(() => {})
  }

  /** What nobody foresaw costs this connection and no other. */
  #answer(req: IncomingMessage, res: ServerResponse, expectation: Expectation): void {
    this.#serve(req, res, expectation).catch(() => req.socket.destroy())
  }

  async #serve(req: IncomingMessage, res: ServerResponse, expectation: Expectation): Promise<void> {
    const connection = connectionOf(req.socket)
    if (!connection) return void req.socket.destroy()
    // Behind a reply that closes the connection nothing is a request any more (RFC 9112 section 9.6).
    if (this.#pending.get(req.socket)?.client?.closing) return
    const pending = this.#enter(req)
    res.sendDate = false
    const client = new H1Client(req, res, { close: () => this.#draining, awaited: expectation !== 'none' })
    pending.client = client
    const cut = new Cancellation<CutBy>()
    res.once('close', () => {
      if (!res.writableFinished) cut.cut('agent')
      this.#leave(req.socket, pending)
    })
    const screened =
      expectation === 'unknown'
        ? ({ kind: 'refused', code: 'expectation_failed', detail: 'the expectation is not 100-continue' } as const)
        : screen(rawHead(req), connection)
    if (screened.kind === 'refused') return this.#refuse(client, connection, screened.code, screened.detail, req)
    const { head, proxyAuth, runId } = screened
    const body = screened.hasBody ? bodyOf(req, screened.length) : undefined
    const protocol = req.httpVersion === '1.0' ? 'http/1.0' : 'http/1.1'
    const { door, peer, parent } = connection
    await run({ kind: 'request', door, peer, parent, protocol, head, proxyAuth, runId }, body, client, cut, this.#ports)
  }

  async #upgrade(req: IncomingMessage, socket: Socket, head: Buffer): Promise<void> {
    const connection = connectionOf(socket)
    if (!connection) return void socket.destroy()
    socket.on('error', () => socket.destroy())
    if (head.length > 0) socket.unshift(head)
    const res = new ServerResponse(req)
    res.assignSocket(socket)
    res.sendDate = false
    const client = new H1Client(req, res, { close: () => true, awaited: false })
    const cut = new Cancellation<CutBy>()
    socket.once('close', () => cut.cut('agent'))
    const screened = screen(rawHead(req), connection)
    if (screened.kind === 'refused') {
      this.#refuse(client, connection, screened.code, screened.detail, req)
      return socket.destroySoon()
    }
    const { door, peer, parent } = connection
    const { head: asked, proxyAuth, runId } = screened
    const arrival = { kind: 'upgrade', door, peer, parent, protocol: 'http/1.1', head: asked, proxyAuth, runId } as const
    await run(arrival, undefined, client, cut, this.#ports)
    socket.destroySoon()
  }

  /** What Node's parser refused before there was a request. */
  #broken(error: Error, socket: Duplex): void {
    const connection = connectionOf(socket)
    const code = (error as NodeJS.ErrnoException).code ?? ''
    if (!connection || socket.destroyed || !socket.writable || code === 'ECONNRESET') return void socket.destroy()
    const [refusal, detail] = parserRefusal(code)
    const tell = () => this.#last(socket, connection, refusal, detail)
    const pending = this.#pending.get(socket)
    if (!pending || pending.count === 0) return tell()
    // In the middle of a body it is that request that is broken; whoever reads its body learns it.
    if (!pending.last.complete && code === 'HPE_INVALID_EOF_STATE') socket.destroy()
    else if (!pending.last.complete) pending.last.emit('error', new ProxyError(refusal, detail))
    else if (code !== 'HPE_CLOSED_CONNECTION' && !pending.client?.closing) pending.broken = tell
  }

  /** A switch of protocols behind requests that are not answered yet would come before their replies: refused after them. */
  #isNext(socket: Duplex): boolean {
    const connection = connectionOf(socket)
    const pending = this.#pending.get(socket)
    if (!connection || !pending || pending.count === 0) return true
    socket.on('error', () => socket.destroy())
    if (pending.client?.closing) return false
    const tell = () =>
      this.#last(socket, connection, 'malformed_request', 'CONNECT and upgrades wait for the replies before them')
    pending.broken = tell
    return false
  }

  /** Refuses what was not read into a request, and closes. */
  #last(socket: Duplex, { door, peer, parent, proxyAuth }: Connection, code: ErrorCode, detail: string): void {
    const reply = recordBroken({ kind: 'broken', door, peer, parent, proxyAuth, code, detail, protocol: 'http/1.1' }, this.#ports)
    socket.end(rawReply(reply.status, [...reply.headers, 'connection', 'close'], reply.body), () => socket.destroy())
  }

  #refuse(client: H1Client, connection: Connection, code: ErrorCode, detail: string, req: IncomingMessage): void {
    const { door, peer, parent, proxyAuth } = connection
    const protocol = `http/${req.httpVersion}`
    const reply = recordBroken({ kind: 'broken', door, peer, parent, proxyAuth, code, detail, protocol }, this.#ports)
    client.close()
    client.head(reply.status, reply.headers)
    client.data(reply.body)
    client.end([])
  }

  #enter(req: IncomingMessage): Pending {
    const { socket } = req
    const pending = this.#pending.get(socket) ?? { count: 0, last: req }
    pending.count += 1
    pending.last = req
    this.#pending.set(socket, pending)
    return pending
  }

  #leave(socket: Socket, pending: Pending): void {
    pending.count -= 1
    if (pending.count > 0 || !pending.broken) return
    if (socket.destroyed) return
    pending.broken()
  }
}

/** Requests of one connection that are not answered yet. What cannot be read any more waits for those before it. */
interface Pending {
  count: number
  last: IncomingMessage
  /** Of the last request. */
  client?: H1Client
  broken?: () => void
}

type Expectation = 'none' | 'continue' | 'unknown'

function rawHead(req: IncomingMessage): RawHead {
  return { version: req.httpVersion, method: req.method ?? '', target: req.url ?? '', headers: req.rawHeaders }
}

function bodyOf(req: IncomingMessage, length: number | undefined): RequestBody {
  return { chunks: chunksOf(req), length, trailers: () => req.rawTrailers }
}

function parserRefusal(code: string): readonly [ErrorCode, string] {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return ['head_too_large', 'the request head is too large']
    case 'HPE_INVALID_METHOD':
      return ['method_not_allowed', 'the method is not a standard one in upper case']
    case 'HPE_UNEXPECTED_CONTENT_LENGTH':
    case 'HPE_INVALID_CONTENT_LENGTH':
    case 'HPE_INVALID_TRANSFER_ENCODING':
    case 'HPE_INVALID_CHUNK_SIZE':
      return ['bad_framing', 'the message length is ambiguous']
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return ['request_timeout', 'the request head did not arrive in time']
    default:
      return ['malformed_request', 'the request is not well-formed HTTP']
  }
}

function rawReply(status: number, headers: RawHeaders, body: Uint8Array): Buffer {
  const lines = [`HTTP/1.1 ${status} Refused`]
  for (let i = 0; i < headers.length; i += 2) lines.push(`${headers[i]}: ${headers[i + 1]}`)
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), body])
}
