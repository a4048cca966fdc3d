import { carriageReturn, lineFeed, space, valueCharacters } from './characters.ts'
import { refusal, replyFaults } from './faults.ts'
import { readFields } from './fields.ts'
import { chunkedBody, closeBody, noBody, readFraming } from './framing.ts'
import { incomplete } from './types.ts'
import type { Framing, Version, WireLimits, WireRefusal, WireReplyHead } from './types.ts'

const notHttp = refusal('upstream_protocol', 'the reply is not well-formed HTTP')

/** The status line up to the digit of the minor version. */
const line = 'HTTP/1.'

/**
 * A reply head (RFC 9112 section 4) without its empty line, as the answer to a request of this method, or the first fault in the order
 * of its bytes; what its fields mean together is judged last. `incomplete` where the text ends before its last line does.
 */
export function readReplyHead(text: string, method: string, limits: WireLimits): WireReplyHead | WireRefusal {
  const end = text.length
  let at = 0
  for (; at < line.length; at += 1) if (text.charCodeAt(at) !== line.charCodeAt(at)) return at >= end ? incomplete : notHttp
  const minor = text.charCodeAt(at)
  if (minor !== 48 && minor !== 49) return at >= end ? incomplete : notHttp
  if (text.charCodeAt(++at) !== space) return at >= end ? incomplete : notHttp
  let status = 0
  for (let i = 0; i < 3; i += 1) {
    const digit = text.charCodeAt(++at) - 48
    if (!(digit >= 0 && digit <= 9) || (i === 0 && digit === 0)) return at >= end ? incomplete : notHttp
    status = status * 10 + digit
  }
  // Some hosts that give no reason leave out the space that belongs before it.
  let code = text.charCodeAt(++at)
  const reasonAt = code === space ? ++at : at
  if (code === space) {
    code = text.charCodeAt(at)
    while (valueCharacters[code] === 1) code = text.charCodeAt(++at)
  }
  if (code !== carriageReturn) return at >= end ? incomplete : notHttp
  const reasonEnd = at
  if (text.charCodeAt(++at) !== lineFeed) return at >= end ? incomplete : notHttp

  const block = readFields(text, at + 1, limits.headers)
  if ('code' in block) return block === incomplete ? incomplete : replyFaults.ofFields(block)
  const version: Version = minor === 49 ? '1.1' : '1.0'
  const announced = readFraming(block, version)
  if (typeof announced === 'string') return refusal('upstream_protocol', announced)
  const { length, chunked, lastOnConnection } = announced
  const bodyless = status < 200 || status === 204
  // RFC 9110 section 8.6. Hosts that say 0 mean what the status says.
  if (bodyless && (chunked || length > 0)) return refusal('upstream_protocol', `a ${status} reply announces a body`)
  // The final reply must still come (RFC 9110 section 15.2).
  if (isInterim(status) && lastOnConnection) return refusal('upstream_protocol', 'an interim reply ends the connection')
  const framing = bodyless || status === 304 || method === 'HEAD' ? noBody : framingOf(chunked, length)
  return {
    status,
    reason: text.slice(reasonAt, reasonEnd),
    version,
    fields: block.fields,
    ids: block.ids,
    framing,
    lastOnConnection: lastOnConnection || framing === closeBody,
  }
}

/** 101 is final on its connection: what follows is another protocol (RFC 9110 section 15.2.2). */
export function isInterim(status: number): boolean {
  return status < 200 && status !== 101
}

function framingOf(chunked: boolean, length: number): Framing {
  if (chunked) return chunkedBody
  if (length < 0) return closeBody
  return length === 0 ? noBody : { kind: 'length', length }
}
