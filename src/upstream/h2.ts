import { connect, constants } from 'node:http2'
import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http2'
import { SingleFlight } from '#base/async.ts'
import type { StopSignal } from '#base/async.ts'
import { ProxyError } from '#base/errors.ts'
import type { ErrorCode } from '#base/errors.ts'
import type { Outbound, ReplySink, RequestBody } from '#journey/ports.ts'
import { nested } from '#journey/headers.ts'
import type { RawHeaders } from '#journey/types.ts'
import type { Destination, Dialer } from './dial.ts'
import { mostInformational, patience } from './h1.ts'

/** HTTP/2 sessions to upstreams: for gRPC, which needs its trailers and full duplex, and for hosts that speak nothing else. */
export class Sessions {
  readonly #sessions = new Map<string, ClientHttp2Session>()
  readonly #opening = new SingleFlight<string, ClientHttp2Session>()
  readonly #dialer: Dialer

  constructor(dialer: Dialer) {
    this.#dialer = dialer
  }

  get size(): number {
    return this.#sessions.size
  }

  /** A session that can take a stream. Throws what dialling throws. */
  async of(destination: Destination, credentials: readonly string[]): Promise<ClientHttp2Session> {
    const key = `${destination.host}:${destination.port} ${credentials.join(' ')}`
    const found = this.#sessions.get(key)
    if (found && !found.closed && !found.destroyed) return found
    return this.#opening.run(key, () => this.#open(key, destination))
  }

  close(): void {
    for (const session of this.#sessions.values()) session.destroy()
    this.#sessions.clear()
  }

  async #open(key: string, destination: Destination): Promise<ClientHttp2Session> {
    const socket = await this.#dialer.tls(destination, ['h2'])
    if (socket.alpnProtocol !== 'h2') {
      socket.destroy()
      throw new ProxyError('upstream_protocol', 'the host does not speak HTTP/2')
    }
    const session = connect(`https://${destination.host}:${destination.port}`, {
      createConnection: () => socket,
      settings: { enablePush: false, initialWindowSize: 1 << 20 },
      strictSingleValueFields: false,
    } as Parameters<typeof connect>[1])
    session.setLocalWindowSize(8 << 20)
    // A stream's own error says what happened; without a listener here the process would end.
    session.on('error', () => {})
    session.on('goaway', () => this.#forget(key, session))
    session.on('close', () => this.#forget(key, session))
    this.#sessions.set(key, session)
    return session
  }

  #forget(key: string, session: ClientHttp2Session): void {
    if (this.#sessions.get(key) === session) this.#sessions.delete(key)
  }
}

/** One request as an HTTP/2 stream (RFC 9113). Resolves at the end of the reply. */
export function sendH2(
  session: ClientHttp2Session,
  outbound: Outbound,
  body: RequestBody | undefined,
  sink: ReplySink,
  signal: StopSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let begun = false
    let settled = false
    let informational = 0
    let trailers: RawHeaders = []
    const stream = open(session, outbound, body)
    // Since trailers are awaited, a body that was cut does not end in order first, as close() would otherwise have it.
    const cancel = () => stream.close(constants.NGHTTP2_CANCEL)
    const settle = (error?: ProxyError) => {
      settled = true
      signal.removeEventListener('abort', cancel)
      if (error) reject(error)
      else resolve()
    }
    const fail = (code: ErrorCode) => (cause: unknown) => {
      settle(cause instanceof ProxyError ? cause : new ProxyError(code, undefined, { cause }))
      cancel()
    }
    const resume = () => stream.resume()
    sink.onDrain = resume
    sink.onStop = fail('upstream_protocol')
    stream.setTimeout(patience.head, () => fail('upstream_timeout')(undefined))
    stream.on(
      'headers',
      guarded(fail('upstream_protocol'), (headers: IncomingHttpHeaders) => {
        if (++informational > mostInformational) throw new ProxyError('upstream_protocol', 'too many interim replies')
        sink.informational(Number(headers[':status']), flat(headers))
      }),
    )
    stream.on(
      'response',
      guarded(fail('upstream_protocol'), (headers: IncomingHttpHeaders, flags: number) => {
        begun = true
        sink.head(Number(headers[':status']), flat(headers), (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0)
      }),
    )
    stream.on(
      'data',
      guarded(fail('upstream_protocol'), (chunk: Buffer) => {
        if (!settled && !sink.data(chunk)) stream.pause()
      }),
    )
    stream.on('trailers', (headers) => (trailers = flat(headers)))
    stream.on(
      'wantTrailers',
      guarded(fail('malformed_request'), () => stream.sendTrailers(nested(body?.trailers() ?? []))),
    )
    stream.on('error', (cause) =>
      settle(new ProxyError('upstream_reset', begun ? 'the host broke its reply off' : undefined, { cause })),
    )
    stream.on(
      'close',
      guarded(fail('upstream_protocol'), () => {
        if (settled) return
        if (stream.rstCode !== constants.NGHTTP2_NO_ERROR || !stream.readableEnded)
          return settle(new ProxyError('upstream_reset'))
        sink.end(trailers)
        settle()
      }),
    )
    if (signal.aborted) cancel()
    else signal.addEventListener('abort', cancel, { once: true })
    // What breaks or is refused while the agent still sends is the agent's: it is told that, not that the host failed.
    if (body) upload(stream, body).catch(fail('upstream_reset'))
  })
}

/** Throws `upstream_reset` when the session went away since it was found. */
function open(session: ClientHttp2Session, outbound: Outbound, body: RequestBody | undefined): ClientHttp2Stream {
  try {
    return session.request(requestHeaders(outbound), { endStream: body === undefined, waitForTrailers: body !== undefined })
  } catch (cause) {
    throw new ProxyError('upstream_reset', undefined, { cause })
  }
}

/** What an event listener throws would end the process; here it ends the stream. */
function guarded<Given extends readonly unknown[]>(
  fail: (cause: unknown) => void,
  act: (...given: Given) => void,
): (...given: Given) => void {
  return (...given) => {
    try {
      act(...given)
    } catch (cause) {
      fail(cause)
    }
  }
}

async function upload(stream: ClientHttp2Stream, body: RequestBody): Promise<void> {
  for await (const chunk of body.chunks) {
    if (stream.destroyed || stream.writableEnded) return
    if (!stream.write(chunk)) await drained(stream)
  }
  stream.end()
}

function drained(stream: ClientHttp2Stream): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      stream.off('drain', done).off('close', done)
      resolve()
    }
    stream.on('drain', done).on('close', done)
  })
}

function requestHeaders({ head, headers }: Outbound): OutgoingHttpHeaders {
  const regular = nested(headers)
  const authority = regular['host'] as string
  delete regular['host']
  return { ':method': head.method, ':scheme': head.scheme, ':authority': authority, ':path': head.path + head.query, ...regular }
}

function flat(headers: IncomingHttpHeaders): string[] {
  const pairs: string[] = []
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith(':') || value === undefined) continue
    for (const each of Array.isArray(value) ? value : [value]) pairs.push(name, each)
  }
  return pairs
}
