import { isNamed, lengthOf, lists, readFields, refusal } from './fields.ts'
import { MessageReader } from './message-reader.ts'
import type { Framing, RequestEvents, Version, WireLimits, WireRefusal } from './types.ts'

/** Registered methods (IANA, HTTP Method Registry), and those that are in use without. */
const methods: ReadonlySet<string> = new Set(
  (
    'ACL BASELINE-CONTROL BIND CHECKIN CHECKOUT CONNECT COPY DELETE GET HEAD LABEL LINK LOCK M-SEARCH MERGE MKACTIVITY MKCALENDAR ' +
    'MKCOL MKREDIRECTREF MKWORKSPACE MOVE NOTIFY OPTIONS ORDERPATCH PATCH POST PROPFIND PROPPATCH PURGE PUT QUERY REBIND REPORT ' +
    'SEARCH SOURCE SUBSCRIBE TRACE UNBIND UNCHECKOUT UNLINK UNLOCK UNSUBSCRIBE UPDATE UPDATEREDIRECTREF VERSION-CONTROL'
  ).split(' '),
)

const notStandard = refusal('method_not_allowed', 'the method is not a standard one in upper case')
const notHttp = refusal('malformed_request', 'the request is not well-formed HTTP')
const noBody: Framing = { kind: 'none' }
const chunkedBody: Framing = { kind: 'chunked' }

/** Requests of one connection (RFC 9112 section 3). */
export class RequestReader extends MessageReader {
  readonly #events: RequestEvents

  constructor(limits: WireLimits, events: RequestEvents) {
    super(limits, events)
    this.#events = events
  }

  protected judgeFirst(byte: number): WireRefusal | undefined {
    return byte >= 65 && byte <= 90 ? undefined : notStandard
  }

  protected readHeadText(text: string): Framing | WireRefusal {
    const lineEnd = text.indexOf('\r\n')
    const methodEnd = text.indexOf(' ')
    if (methodEnd < 0 || methodEnd > lineEnd) return notHttp
    const method = text.slice(0, methodEnd)
    // `PRI` is how HTTP/2 begins (RFC 9113 section 3.4), and no method.
    if (!methods.has(method)) return method === 'PRI' ? notHttp : notStandard
    // ` HTTP/1.1` is nine characters.
    const targetEnd = lineEnd - 9
    const version = versionAt(text, targetEnd)
    if (version === undefined || targetEnd <= methodEnd) return notHttp
    for (let i = methodEnd + 1; i < targetEnd; i += 1) {
      const code = text.charCodeAt(i)
      if (code <= 32 || code === 127) return notHttp
    }
    const target = text.slice(methodEnd + 1, targetEnd)
    if (target === '') return notHttp
    if (target.length > this.limits.targetBytes) return refusal('head_too_large', 'the request target is too long')
    const fields = readFields(text, lineEnd + 2, this.limits.headers)
    if ('code' in fields) return fields
    return this.#frame(method, target, version, fields)
  }

  #frame(method: string, target: string, version: Version, fields: readonly string[]): Framing | WireRefusal {
    let length: number | undefined
    let chunked = false
    let expects = false
    let close = false
    let keep = false
    for (let i = 0; i < fields.length; i += 2) {
      const name = fields[i] ?? ''
      const value = fields[i + 1] ?? ''
      switch (name.length) {
        case 6:
          if (!isNamed(name, 'expect')) break
          if (expects || value.toLowerCase() !== '100-continue')
            return refusal('expectation_failed', 'the expectation is not 100-continue')
          expects = true
          break
        case 10:
          if (!isNamed(name, 'connection')) break
          close ||= lists(value, 'close')
          keep ||= lists(value, 'keep-alive')
          break
        case 14: {
          if (!isNamed(name, 'content-length')) break
          const read = lengthOf(value)
          if (length !== undefined || read === undefined || name.includes('_'))
            return refusal('bad_framing', 'Content-Length must be one decimal number')
          length = read
          break
        }
        case 17:
          if (!isNamed(name, 'transfer-encoding')) break
          if (version !== '1.1' || chunked || value.toLowerCase() !== 'chunked' || name.includes('_'))
            return refusal('bad_framing', 'Transfer-Encoding may only be chunked, once, in HTTP/1.1')
          chunked = true
          break
        default:
      }
    }
    if (chunked && length !== undefined) return refusal('bad_framing', 'both Content-Length and Transfer-Encoding')
    if (method === 'CONNECT' && (chunked || length !== undefined)) return refusal('bad_framing', 'CONNECT has no body')
    const framing = chunked ? chunkedBody : length ? ({ kind: 'length', length } as const) : noBody
    this.#events.head({
      method,
      target,
      version,
      fields,
      framing,
      lastOnConnection: close || (version === '1.0' && !keep),
      // A client of HTTP/1.0 does not know it (RFC 9110 section 10.1.1).
      expectContinue: expects && version === '1.1' && framing !== noBody,
    })
    return framing
  }
}

function versionAt(text: string, at: number): Version | undefined {
  if (at < 0) return undefined
  if (text.startsWith(' HTTP/1.1', at)) return '1.1'
  return text.startsWith(' HTTP/1.0', at) ? '1.0' : undefined
}
