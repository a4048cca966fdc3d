import { once, type EventEmitter } from 'node:events'
import { connect as connectH2, type ClientHttp2Session, type OutgoingHttpHeaders } from 'node:http2'
import { connect as connectTcp, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { contains, wire, type Reading, type Until } from './wire.ts'

export interface TcpOptions {
  readonly port: number
  /** Source address on loopback: which agent speaks. */
  readonly from?: string
}

export interface TlsOptions {
  /** Name sent as SNI; none is sent without one. */
  readonly servername?: string
  readonly alpn?: readonly string[]
  /** PEM of the roots to trust; without it the certificate is taken as it is. */
  readonly ca?: string
  /** A socket to greet over, such as a tunnel; else a new connection is made. */
  readonly over?: Duplex
}

export interface ExchangeOptions {
  /** Stops reading once satisfied; by default reads until the other side closes. */
  readonly until?: Until
  readonly timeout?: number
}

export interface H2Reply {
  readonly status: number
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  readonly body: Buffer
  readonly trailers: Readonly<Record<string, string | readonly string[] | undefined>>
  /** RST_STREAM code: 0 when the stream ended in order. */
  readonly resetCode: number
}

/** Connects over TCP. Rejects when refused. */
export async function openTcp({ port, from }: TcpOptions): Promise<Socket> {
  const socket = connectTcp({ host: '127.0.0.1', port, noDelay: true, ...(from && { localAddress: from }) })
  await opened(socket, 'connect')
  return socket
}

/** Connects and completes a TLS handshake. Rejects with OpenSSL's or the system's error when that fails. */
export async function openTls(options: TcpOptions & TlsOptions): Promise<TLSSocket> {
  const { servername, alpn, ca } = options
  const socket = connectTls({
    socket: options.over ?? (await openTcp(options)),
    rejectUnauthorized: ca !== undefined,
    ...(ca && { ca }),
    ...(alpn && { ALPNProtocols: [...alpn] }),
    ...(servername && { servername }),
    // Without SNI there is no name to compare the certificate with.
    ...(!servername && { checkServerIdentity: () => undefined }),
  })
  await opened(socket, 'secureConnect')
  return socket
}

/** Writes bytes as they are and reads the answer; the socket is left as the other side left it. */
export async function exchange(
  socket: Duplex,
  bytes: string | Uint8Array,
  { until, timeout }: ExchangeOptions = {},
): Promise<Reading> {
  const line = wire(socket)
  line.write(bytes)
  return line.read(until, timeout)
}

export interface TunnelOptions extends TcpOptions {
  readonly auth?: { readonly username: string; readonly password: string }
}

/**
 * Asks a proxy for a tunnel to `authority` and answers the open socket, positioned after the reply head. Rejects with the
 * head of any answer but 200. The head may come in pieces, and the first bytes of the tunnel with its last.
 */
export async function connectThroughProxy(
  proxyPort: number,
  authority: string,
  options: Omit<TunnelOptions, 'port'> = {},
): Promise<Socket> {
  const { auth, from } = options
  const socket = await openTcp({ port: proxyPort, ...(from && { from }) })
  const credentials = auth && Buffer.from(`${auth.username}:${auth.password}`).toString('base64')
  const head = [
    `CONNECT ${authority} HTTP/1.1`,
    `Host: ${authority}`,
    ...(credentials ? [`Proxy-Authorization: Basic ${credentials}`] : []),
  ]
  socket.write(`${head.join('\r\n')}\r\n\r\n`)
  let reply = Buffer.alloc(0)
  while (!contains('\r\n\r\n')(reply)) {
    const chunk = await nextChunk(socket)
    if (!chunk) break
    reply = Buffer.concat([reply, chunk])
  }
  const end = reply.indexOf('\r\n\r\n') + 4
  if (!/^HTTP\/1\.[01] 200 /.test(reply.toString('latin1'))) {
    socket.destroy()
    throw new Error(`no tunnel to ${authority}: ${reply.toString('latin1') || 'closed without an answer'}`)
  }
  if (end < reply.length) socket.unshift(reply.subarray(end))
  return socket
}

/** Speaks HTTP/2 over a socket that agreed on it. Requests name their `:authority`; Node would make one up. */
export async function openH2(socket: Duplex): Promise<ClientHttp2Session> {
  const session = connectH2('https://localhost', { createConnection: () => socket })
  session.on('error', () => {})
  await opened(session, 'connect')
  return session
}

/** Sends one h2 request and reads its whole reply; a stream reset before the head has status 0. Never rejects. */
export async function requestH2(
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders,
  body?: string | Uint8Array,
): Promise<H2Reply> {
  const stream = session.request(headers, { endStream: body === undefined })
  const chunks: Buffer[] = []
  let head: Record<string, string | string[] | undefined> = {}
  let trailers: Record<string, string | string[] | undefined> = {}
  const { promise: closed, resolve } = Promise.withResolvers<void>()
  stream.on('response', (received) => (head = { ...received } as typeof head))
  stream.on('trailers', (received) => (trailers = { ...received } as typeof trailers))
  stream.on('data', (chunk: Buffer) => chunks.push(chunk))
  stream.on('error', () => {})
  stream.on('close', resolve)
  if (body !== undefined) stream.end(body)
  await closed
  return {
    status: Number(head[':status'] ?? 0),
    headers: head,
    body: Buffer.concat(chunks),
    trailers,
    resetCode: stream.rstCode ?? 0,
  }
}

/** Waits for an event that says a socket is ready; rejects with the error that comes instead. */
async function opened(socket: EventEmitter, event: string): Promise<void> {
  // A later error is the reader's business; without a listener it would end the process.
  socket.on('error', () => {})
  await once(socket, event)
}

async function nextChunk(socket: Socket): Promise<Buffer | undefined> {
  const { promise, resolve } = Promise.withResolvers<Buffer | undefined>()
  const onData = (chunk: Buffer): void => {
    socket.pause()
    resolve(chunk)
  }
  const onClose = (): void => resolve(undefined)
  socket.once('data', onData)
  socket.once('close', onClose)
  socket.once('end', onClose)
  socket.resume()
  const chunk = await promise
  socket.off('data', onData)
  socket.off('close', onClose)
  socket.off('end', onClose)
  return chunk
}
