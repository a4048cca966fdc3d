import type { Duplex, Readable } from 'node:stream'
import { errors } from 'undici'
import type { Dispatcher } from 'undici'
import type { StopSignal } from '#base/async.ts'
import { ProxyError } from '#base/errors.ts'
import type { Outbound, ReplySink, RequestBody, Upgraded } from '#journey/ports.ts'
import type { RawHeaders } from '#journey/types.ts'
import { mostInformational } from './pool.ts'

/** The reply had not begun and the connection was an old one that the upstream had closed meanwhile. */
export class StaleConnection extends Error {}

/**
 * One HTTP/1.1 request through undici's `dispatch`, its leanest face. Resolves at the end of the reply, or with the
 * socket when the upstream switched protocols (101).
 */
export function sendH1(
  dispatcher: Dispatcher,
  { head, headers, upgrade }: Outbound,
  body: RequestBody | undefined,
  sink: ReplySink,
  signal: StopSignal,
): Promise<Upgraded | undefined> {
  return new Promise((resolve, reject) => {
    let begun = false
    let informational = 0
    let control: Dispatcher.DispatchController | undefined
    const cancel = () => control?.abort(new ProxyError('client_closed'))
    const settle = (outcome: () => void) => {
      signal.removeEventListener('abort', cancel)
      outcome()
    }
    const handler: Dispatcher.DispatchHandler = {
      onRequestStart(controller) {
        control = controller
        const resume = () => controller.resume()
        const stop = (error: ProxyError) => controller.abort(error)
        sink.onDrain = resume
        sink.onStop = stop
        if (signal.aborted) cancel()
      },
      onResponseStart(controller, status) {
        const raw = latin1(controller.rawHeaders)
        // They are slices of a 64 KiB read buffer, which they would hold for as long as the reply streams.
        Object.assign(controller, { rawHeaders: null })
        if (status < 200) {
          if (++informational > mostInformational) throw new ProxyError('upstream_protocol', 'too many interim replies')
          return sink.informational(status, raw)
        }
        begun = true
        sink.head(status, raw)
      },
      onResponseData(controller, chunk) {
        if (!sink.data(chunk)) controller.pause()
      },
      onResponseEnd(controller) {
        settle(() => {
          sink.end(latin1(controller.rawTrailers))
          resolve(undefined)
        })
      },
      onRequestUpgrade(controller, _status, _headers, socket: Duplex) {
        settle(() => resolve({ headers: latin1(controller.rawHeaders), socket }))
      },
      onResponseError(_controller, error) {
        settle(() => reject(begun || !stale(error) ? coded(error, begun) : new StaleConnection()))
      },
    }
    signal.addEventListener('abort', cancel, { once: true })
    try {
      dispatcher.dispatch(
        {
          method: head.method,
          path: head.path + head.query,
          headers: headers as string[],
          body: body ? (body.chunks as unknown as Readable) : null,
          ...(upgrade ? { upgrade: 'websocket' } : {}),
        },
        handler,
      )
    } catch (error) {
      // undici throws on what it will not write; the screen should have refused it already.
      settle(() => reject(new ProxyError('malformed_request', 'the request cannot be sent as HTTP/1.1', { cause: error })))
    }
  })
}

function latin1(raw: unknown): RawHeaders {
  if (!Array.isArray(raw)) return []
  return raw.map((each: Buffer | string) => (typeof each === 'string' ? each : each.toString('latin1')))
}

/** A reply was read on this connection before, and then it died before the first byte of the next. */
function stale(error: Error): boolean {
  const code = (error as NodeJS.ErrnoException).code
  if (code === 'ECONNRESET' || code === 'EPIPE') return true
  return error instanceof errors.SocketError && (error.socket?.bytesRead ?? 0) > 0
}

function coded(cause: Error, begun: boolean): ProxyError {
  if (cause instanceof ProxyError) return cause
  if (cause.cause instanceof ProxyError) return cause.cause
  if (cause instanceof errors.HeadersTimeoutError || cause instanceof errors.BodyTimeoutError) {
    return new ProxyError('upstream_timeout', undefined, { cause })
  }
  const code = (cause as NodeJS.ErrnoException).code ?? ''
  if (
    code.startsWith('HPE_') ||
    cause instanceof errors.ResponseContentLengthMismatchError ||
    cause instanceof errors.HeadersOverflowError
  ) {
    return new ProxyError('upstream_protocol', undefined, { cause })
  }
  return new ProxyError('upstream_reset', begun ? 'the host broke its reply off' : undefined, { cause })
}
