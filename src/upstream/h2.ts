import { constants } from 'node:http2'
import type { ClientHttp2Stream, IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http2'
import type { StopSignal } from '#base/async.ts'
import { ProxyError } from '#base/errors.ts'
import type { ErrorCode } from '#base/errors.ts'
import type { Outbound } from '#contracts/upstream.ts'
import type { ReplySink } from '#contracts/reply.ts'
import type { RawHeaders, RequestBody } from '#contracts/request.ts'
import { nested } from '#journey/headers.ts'
import { mostInformational, patience } from './h1.ts'
import type { Session } from './h2-sessions.ts'

/** The host did not process the request (RFC 9113 section 8.7): it may be repeated, whatever its method. */
export class NotProcessed extends Error {}

/** One request as an HTTP/2 stream (RFC 9113). Resolves at the end of the reply; rejects with `NotProcessed` if the host says so. */
export function sendH2(
  session: Session,
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
    const ended = watchEnd(stream)
    // Since trailers are awaited, a body that was cut does not end in order first, as close() would otherwise have it.
    const cancel = () => stream.close(constants.NGHTTP2_CANCEL)
    const settle = (error?: Error) => {
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
    const broken = (cause?: unknown) => {
      if (!begun && informational === 0 && isUnprocessed(stream, session)) return new NotProcessed()
      return new ProxyError('upstream_reset', begun ? 'the host broke its reply off' : undefined, { cause })
    }
    stream.on('error', (cause) => settle(broken(cause)))
    stream.on(
      'close',
      guarded(fail('upstream_protocol'), () => {
        if (settled) return
        if (stream.rstCode !== constants.NGHTTP2_NO_ERROR || !stream.readableEnded || !ended()) return settle(broken())
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

/** Throws `NotProcessed` when the session takes no further stream. */
function open({ client }: Session, outbound: Outbound, body: RequestBody | undefined): ClientHttp2Stream {
  try {
    return client.request(requestHeaders(outbound), { endStream: body === undefined, waitForTrailers: body !== undefined })
  } catch (cause) {
    if (full.has((cause as NodeJS.ErrnoException).code)) throw new NotProcessed()
    throw new ProxyError('upstream_reset', undefined, { cause })
  }
}

/** How Node says that a session has ended, or has no stream number left. */
const full: ReadonlySet<string | undefined> = new Set([
  'ERR_HTTP2_GOAWAY_SESSION',
  'ERR_HTTP2_INVALID_SESSION',
  'ERR_HTTP2_OUT_OF_STREAMS',
])

/**
 * True if the host says that it did nothing with the request: REFUSED_STREAM, or GOAWAY with the number of an earlier stream
 * (RFC 9113 section 8.7). A stream without a number was never sent.
 */
function isUnprocessed({ id, rstCode }: ClientHttp2Stream, { lastProcessed }: Session): boolean {
  return id === undefined || id > lastProcessed || rstCode === constants.NGHTTP2_REFUSED_STREAM
}

/**
 * Answers whether END_STREAM has come, on DATA, on a head or on trailers. Node ends the readable side for RST_STREAM(NO_ERROR) too, and
 * no event tells the two apart: by 'end', both streams are closed with code 0. But Node 26 pushes `null` for END_STREAM when it
 * reads that frame, before the stream is closed; for RST_STREAM, or when it destroys the stream, it closes the stream first.
 */
function watchEnd(stream: ClientHttp2Stream): () => boolean {
  let seen = false
  const push = stream.push.bind(stream)
  const watched = (chunk: unknown, encoding?: BufferEncoding): boolean => {
    if (chunk === null && !stream.closed) seen = true
    return push(chunk, encoding)
  }
  stream.push = watched
  return () => seen
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
