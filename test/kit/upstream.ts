import { createHash } from 'node:crypto'
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createSecureServer } from 'node:http2'
import { createServer as createHttpsServer } from 'node:https'
import { createServer as createTcpServer, type Server, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import { readClientHello, type ClientHello } from './client-hello.ts'
import { closer, listen, type Certificate, type Draft, type Started } from './listen.ts'
import { answer, answerUpgrade, isUnread } from './upstream-routes.ts'

export interface UpstreamOptions {
  readonly certificate: Certificate
  /** What ALPN offers; `both` by default. */
  readonly protocol?: 'h1' | 'h2' | 'both'
  /** Plain HTTP/1.1, without TLS. */
  readonly plain?: boolean
  /** Asked before the routes; answers whether it took the request. */
  readonly handler?: (visit: Visit) => boolean
}

/** One TCP connection, as the upstream saw it. */
export interface SeenConnection {
  readonly index: number
  readonly remotePort: number
  /** First bytes that came over TLS, empty otherwise, and what they say if they are a ClientHello. */
  readonly first: Buffer
  readonly hello: ClientHello | undefined
  /** Of the completed handshake: the server name and the protocol agreed on. */
  readonly servername: string | undefined
  readonly alpn: string | undefined
  readonly closed: boolean
}

/** One request, as the upstream saw it. */
export interface SeenRequest {
  readonly connection: number
  readonly version: string
  readonly method: string
  /** The request target, byte for byte. */
  readonly target: string
  readonly rawHeaders: readonly string[]
  /** The first 64 KiB of the body; `bodyLength` and `bodySha256` are of all of it. */
  readonly body: Buffer
  readonly bodyLength: number
  readonly bodySha256: string
  readonly rawTrailers: readonly string[]
  readonly state: 'reading' | 'complete' | 'aborted'
}

/** What a route works with: the request and response of either protocol, in the shape of node:http. */
export interface Visit {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly seen: SeenRequest
  /** Resolves when the whole body was read or will never be. */
  readonly body: Promise<void>
  /** The TCP socket below TLS. */
  readonly tcp: Socket
}

export interface Upstream extends Started {
  readonly connections: readonly SeenConnection[]
  readonly requests: readonly SeenRequest[]
}

const bodyKept = 65_536

/** Starts a server on loopback that records whatever reaches it and answers by `upstream-routes.ts`. */
export async function startUpstream(options: UpstreamOptions): Promise<Upstream> {
  const connections: Draft<SeenConnection>[] = []
  const requests: SeenRequest[] = []
  // By client port: neither a TLSSocket nor an h2 session tells which TCP socket it sits on.
  const live = new Map<number, { readonly tcp: Socket; readonly record: Draft<SeenConnection> }>()

  function visit(request: IncomingMessage, response: ServerResponse, mayRead: boolean): Visit | undefined {
    const connection = live.get(request.socket.remotePort ?? 0)
    if (!connection) return undefined
    const seen = describe(request, connection.record.index)
    requests.push(seen)
    return { request, response, seen, body: mayRead ? readBody(request, seen) : Promise.resolve(), tcp: connection.tcp }
  }

  function handle(request: IncomingMessage, response: ServerResponse): void {
    response.on('error', () => {})
    const visited = visit(request, response, !isUnread(request.url ?? ''))
    if (visited && !options.handler?.(visited)) answer(visited).catch(() => response.destroy())
  }

  const http = createServer(options)
  http.on('request', handle)
  http.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    if (!isUnread(request.url ?? '')) response.writeContinue()
    handle(request, response)
  })
  http.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const connection = live.get(request.socket.remotePort ?? 0)
    if (!connection) return
    const seen = describe(request, connection.record.index)
    requests.push(seen)
    answerUpgrade({ request, socket, head, heard: (bytes) => hear(seen, bytes) })
  })
  http.on('secureConnection', (socket: TLSSocket) => {
    const record = live.get(socket.remotePort ?? 0)?.record
    if (!record) return
    record.servername = socket.servername || undefined
    record.alpn = socket.alpnProtocol || undefined
  })

  /** Looks at the ClientHello and puts it back for the TLS server to read. */
  function greet(tcp: Socket, bytes: Buffer, record: Draft<SeenConnection>): void {
    record.first = bytes
    record.hello = readClientHello(bytes)
    tcp.pause()
    tcp.unshift(bytes)
    http.emit('connection', tcp)
  }

  const front = createTcpServer((tcp) => {
    const record: Draft<SeenConnection> = {
      index: connections.length,
      remotePort: tcp.remotePort ?? 0,
      first: Buffer.alloc(0),
      hello: undefined,
      servername: undefined,
      alpn: undefined,
      closed: false,
    }
    connections.push(record)
    live.set(record.remotePort, { tcp, record })
    tcp.on('close', () => {
      record.closed = true
      if (live.get(record.remotePort)?.record === record) live.delete(record.remotePort)
    })
    if (options.plain) http.emit('connection', tcp)
    else tcp.once('data', (bytes: Buffer) => greet(tcp, bytes, record))
  })
  const close = closer(front)
  return { port: await listen(front), connections, requests, [Symbol.asyncDispose]: close }
}

/** The first value of a header, whatever its case. */
export function headerOf(rawHeaders: readonly string[], name: string): string | undefined {
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i]?.toLowerCase() === name) return rawHeaders[i + 1]
  }
  return undefined
}

/** An HTTP server that is never bound itself: its connections are handed to it. */
export function createServer(options: Omit<UpstreamOptions, 'handler'>): Server {
  const limits = { maxHeaderSize: 1 << 20, requestTimeout: 0, headersTimeout: 0, keepAliveTimeout: 60_000 }
  if (options.plain) return createHttpServer(limits)
  const { certPem: cert, keyPem: key } = options.certificate
  if (options.protocol === 'h1') return createHttpsServer({ ...limits, cert, key, ALPNProtocols: ['http/1.1'] })
  // An http2 server leaves TCP_NODELAY off for its HTTP/1.1 clients, and events would clump together.
  return createSecureServer({ cert, key, allowHTTP1: options.protocol !== 'h2', noDelay: true, maxSessionMemory: 1000 })
}

function describe(request: IncomingMessage, connection: number): Draft<SeenRequest> {
  return {
    connection,
    version: request.httpVersion,
    method: request.method ?? '',
    target: request.url ?? '',
    rawHeaders: request.rawHeaders,
    body: Buffer.alloc(0),
    bodyLength: 0,
    bodySha256: '',
    rawTrailers: [],
    state: 'reading',
  }
}

function hear(seen: Draft<SeenRequest>, bytes: Buffer): void {
  seen.bodyLength += bytes.length
  const room = bodyKept - seen.body.length
  if (room > 0) seen.body = Buffer.concat([seen.body, bytes.subarray(0, room)])
}

function readBody(request: IncomingMessage, seen: Draft<SeenRequest>): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const hash = createHash('sha256')
  request.on('data', (bytes: Buffer) => {
    hash.update(bytes)
    hear(seen, bytes)
  })
  request.on('end', () => {
    seen.bodySha256 = hash.digest('hex')
    seen.rawTrailers = request.rawTrailers
    seen.state = 'complete'
    resolve()
  })
  request.on('error', () => {})
  request.on('close', () => {
    if (seen.state === 'reading') seen.state = 'aborted'
    resolve()
  })
  return promise
}
