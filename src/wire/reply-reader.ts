import { isNamed, lengthOf, lists, readFields, refusal } from './fields.ts'
import { MessageReader } from './message-reader.ts'
import type { Framing, ReplyEvents, Version, WireLimits, WireReplyHead, WireRefusal } from './types.ts'

const notHttp = refusal('upstream_protocol', 'the reply is not well-formed HTTP')
const noBody: Framing = { kind: 'none' }
const chunkedBody: Framing = { kind: 'chunked' }
const closeBody: Framing = { kind: 'close' }

/** Replies of one connection (RFC 9112 section 4), each to a request whose method is told before. */
export class ReplyReader extends MessageReader {
  readonly #events: ReplyEvents
  #method = 'GET'

  constructor(limits: WireLimits, events: ReplyEvents) {
    super(limits, events)
    this.#events = events
  }

  /** The next reply answers a request of this method: to HEAD it has no body. */
  expect(method: string): void {
    this.#method = method
  }

  protected judgeFirst(byte: number): WireRefusal | undefined {
    return byte === 72 ? undefined : notHttp
  }

  protected readHeadText(text: string): Framing | WireRefusal | undefined {
    const version = versionOf(text)
    const status = version && statusOf(text)
    if (version === undefined || status === undefined) return notHttp
    const lineEnd = text.indexOf('\r\n')
    // The space behind the status is left out by some hosts that give no reason.
    if (lineEnd < 12 || (lineEnd > 12 && text.charCodeAt(12) !== 32)) return notHttp
    for (let i = 13; i < lineEnd; i += 1) {
      const code = text.charCodeAt(i)
      if ((code < 32 && code !== 9) || code === 127) return notHttp
    }
    const fields = readFields(text, lineEnd + 2, this.limits.headers)
    if ('code' in fields) return fields
    return this.#frame(version, status, fields)
  }

  #frame(version: Version, status: number, fields: readonly string[]): Framing | WireRefusal | undefined {
    let length: number | undefined
    let chunked = false
    let close = false
    let keep = false
    for (let i = 0; i < fields.length; i += 2) {
      const name = fields[i] ?? ''
      const value = fields[i + 1] ?? ''
      switch (name.length) {
        case 10:
          if (!isNamed(name, 'connection')) break
          close ||= lists(value, 'close')
          keep ||= lists(value, 'keep-alive')
          break
        case 14: {
          if (!isNamed(name, 'content-length')) break
          const read = lengthOf(value)
          if (length !== undefined || read === undefined || name.includes('_'))
            return refusal('upstream_protocol', 'Content-Length is not one decimal number')
          length = read
          break
        }
        case 17:
          if (!isNamed(name, 'transfer-encoding')) break
          // A coding that is not undone here would pass unread, and its name with it (RFC 9112 section 6.1).
          if (version !== '1.1' || chunked || value.toLowerCase() !== 'chunked' || name.includes('_'))
            return refusal('upstream_protocol', 'Transfer-Encoding is not chunked alone')
          chunked = true
          break
        default:
      }
    }
    if (chunked && length !== undefined) return refusal('upstream_protocol', 'both Content-Length and Transfer-Encoding')
    const bodyless = status < 200 || status === 204
    // RFC 9110 section 8.6. Hosts that say 0 mean what the status says.
    if (bodyless && (chunked || (length ?? 0) > 0)) return refusal('upstream_protocol', `a ${status} reply announces a body`)
    const framing = bodyless || status === 304 || this.#method === 'HEAD' ? noBody : framingOf(chunked, length)
    const lastOnConnection = close || framing === closeBody || (version === '1.0' && !keep)
    const head: WireReplyHead = { status, version, fields, framing, lastOnConnection }
    if (status < 200 && status !== 101) {
      this.#events.informational(head)
      return undefined
    }
    this.#events.head(head)
    return framing
  }
}

function framingOf(chunked: boolean, length: number | undefined): Framing {
  if (chunked) return chunkedBody
  if (length === undefined) return closeBody
  return length === 0 ? noBody : { kind: 'length', length }
}

function versionOf(text: string): Version | undefined {
  if (text.startsWith('HTTP/1.1 ')) return '1.1'
  return text.startsWith('HTTP/1.0 ') ? '1.0' : undefined
}

/** Three digits; a status below 100 or past 599 is none (RFC 9110 section 15). */
function statusOf(text: string): number | undefined {
  let status = 0
  for (let i = 9; i < 12; i += 1) {
    const digit = text.charCodeAt(i) - 48
    if (!(digit >= 0 && digit <= 9)) return undefined
    status = status * 10 + digit
  }
  return status >= 100 && status <= 999 ? status : undefined
}
