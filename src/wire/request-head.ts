import { authorityCharacters, carriageReturn, lineFeed, space, tab } from './characters.ts'
import { refusal } from './faults.ts'
import { readFields } from './fields.ts'
import { chunkedBody, noBody, readFraming } from './framing.ts'
import { expectId, isCaseless } from './names.ts'
import { incomplete } from './types.ts'
import type { FieldBlock, Framing, Version, WireLimits, WireRefusal, WireRequestHead } from './types.ts'

/** Registered methods (IANA, HTTP Method Registry), and those that are in use without. */
const methods: ReadonlySet<string> = new Set(
  (
    'ACL BASELINE-CONTROL BIND CHECKIN CHECKOUT CONNECT COPY DELETE GET HEAD LABEL LINK LOCK M-SEARCH MERGE MKACTIVITY MKCALENDAR ' +
    'MKCOL MKREDIRECTREF MKWORKSPACE MOVE NOTIFY OPTIONS ORDERPATCH PATCH POST PROPFIND PROPPATCH PURGE PUT QUERY REBIND REPORT ' +
    'SEARCH SOURCE SUBSCRIBE TRACE UNBIND UNCHECKOUT UNLINK UNLOCK UNSUBSCRIBE UPDATE UPDATEREDIRECTREF VERSION-CONTROL'
  ).split(' '),
)

/** Characters of the longest method that is listed. */
const longestMethod = Math.max(...[...methods].map((method) => method.length))

const notStandard = refusal('method_not_allowed', 'the method is not a standard one in upper case')
const notHttp = refusal('malformed_request', 'the request is not well-formed HTTP')
const notAuthority = refusal('bad_host', 'the target of CONNECT is not a host and a port')
const targetTooLong = refusal('head_too_large', 'the request target is too long')

const slash = 47
const asterisk = 42
const questionMark = 63
const atSign = 64
const del = 127

/**
 * A request head (RFC 9112 section 3) without its empty line, or the first fault in the order of its bytes; what its fields mean
 * together is judged last. `incomplete` where the text ends before its last line does.
 */
export function readRequestHead(text: string, limits: WireLimits): WireRequestHead | WireRefusal {
  const end = text.length
  let at = 0
  let code = text.charCodeAt(0)
  while ((code >= 65 && code <= 90) || code === 45) {
    if (at === longestMethod) return notStandard
    code = text.charCodeAt(++at)
  }
  if (code !== space) return at >= end ? incomplete : at > 0 && isBreak(code) ? notHttp : notStandard
  const method = text.slice(0, at)
  // `PRI` is how HTTP/2 begins (RFC 9113 section 3.4), and no method.
  if (!methods.has(method)) return method === 'PRI' ? notHttp : notStandard

  const targetAt = ++at
  code = text.charCodeAt(at)
  while (code > space && code < del) {
    if (at - targetAt === limits.targetBytes) return targetTooLong
    code = text.charCodeAt(++at)
  }
  if (at >= end) return incomplete
  const targetEnd = at
  if (code !== space || targetEnd === targetAt) return notHttp
  if (!isTarget(text, targetAt, targetEnd, method)) return method === 'CONNECT' ? notAuthority : notHttp

  const line = ' HTTP/1.'
  for (let i = 1; i < line.length; i += 1)
    if (text.charCodeAt(++at) !== line.charCodeAt(i)) return at >= end ? incomplete : notHttp
  const minor = text.charCodeAt(++at)
  if (minor !== 48 && minor !== 49) return at >= end ? incomplete : notHttp
  if (text.charCodeAt(++at) !== carriageReturn) return at >= end ? incomplete : notHttp
  if (text.charCodeAt(++at) !== lineFeed) return at >= end ? incomplete : notHttp

  const block = readFields(text, at + 1, limits.headers)
  if ('code' in block) return block
  return frame(method, text.slice(targetAt, targetEnd), minor === 49 ? '1.1' : '1.0', block)
}

/** Ends a word where only one space may. */
function isBreak(code: number): boolean {
  return code === carriageReturn || code === lineFeed || code === tab
}

/**
 * The forms of RFC 9112 section 3.2: a path, `*`, an absolute URI; of CONNECT an authority. What they name is judged by the screen,
 * which says more about it.
 */
function isTarget(text: string, from: number, to: number, method: string): boolean {
  if (method === 'CONNECT') return authorityEnd(text, from, to) === to
  const first = text.charCodeAt(from)
  if (first === slash) return true
  if (first === asterisk) return to === from + 1
  let at = from
  while (isLetter(text.charCodeAt(at))) at += 1
  if (at === from || !text.startsWith('://', at)) return false
  const end = authorityEnd(text, at + 3, to)
  const behind = text.charCodeAt(end)
  return end > at + 3 && (end === to || behind === slash || behind === questionMark)
}

/** Behind the last character of an authority, which has at most one `@`. */
function authorityEnd(text: string, from: number, to: number): number {
  let at = from
  for (let signs = 0; at < to; at += 1) {
    const code = text.charCodeAt(at)
    if (code === atSign) signs += 1
    if (authorityCharacters[code] !== 1 || signs > 1) break
  }
  return at
}

function isLetter(code: number): boolean {
  const lower = code | 32
  return lower >= 97 && lower <= 122
}

function frame(method: string, target: string, version: Version, block: FieldBlock): WireRequestHead | WireRefusal {
  const announced = readFraming(block, version)
  if (typeof announced === 'string') return refusal('bad_framing', announced)
  const { length, chunked, lastOnConnection } = announced
  if (method === 'CONNECT' && (chunked || length >= 0)) return refusal('bad_framing', 'CONNECT has no body')
  const expects = readExpect(block)
  if (expects === undefined) return refusal('expectation_failed', 'the expectation is not 100-continue')
  const framing: Framing = chunked ? chunkedBody : length > 0 ? { kind: 'length', length } : noBody
  return {
    method,
    target,
    version,
    fields: block.fields,
    ids: block.ids,
    framing,
    lastOnConnection,
    // A client of HTTP/1.0 does not know it (RFC 9110 section 10.1.1).
    expectContinue: expects && version === '1.1' && framing !== noBody,
  }
}

/** Whether 100-continue is expected; `undefined`: something else is, or it is said twice. */
function readExpect({ fields, ids }: FieldBlock): boolean | undefined {
  const first = ids.indexOf(expectId)
  if (first < 0) return false
  const value = fields[2 * first + 1] ?? ''
  const known = value.length === 12 && isCaseless(value, 0, '100-continue')
  return known && !ids.includes(expectId, first + 1) ? true : undefined
}
