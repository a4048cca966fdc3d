/**
 * Our own screen of a DNS message, before anything else looks at it: header, the one question, EDNS. Codecs forgive
 * (a label with a dot in it reads like two), so policy must see only what can be read in one way. Pure.
 */
import { classIn, types } from './codes.ts'
import type { Rcode } from './codes.ts'

export const headerSize = 12

/** What a reply needs to know of its question, well-formed or not. */
export interface DnsQuestion {
  readonly id: number
  readonly opcode: number
  /** RD and CD as sent; both are echoed (RFC 1035 section 4.1.1, RFC 4035 section 3.2.2). */
  readonly recursionDesired: boolean
  readonly checkingDisabled: boolean
  /** The question section, byte for byte, so that the case of the name returns as it came; empty when unreadable. */
  readonly question: Buffer
  /** UDP payload size the client takes, held to 512–1232 (RFC 9715); `undefined`: it spoke no EDNS. */
  readonly ednsSize: number | undefined
}

export interface Query extends DnsQuestion {
  readonly kind: 'query'
  /** As sent, without final dot; the root is the empty string. */
  readonly name: string
  readonly type: number
}

/** Not a question we answer; `rcode` says so to the client. */
export interface Unfit extends DnsQuestion {
  readonly kind: 'unfit'
  readonly rcode: Rcode
}

/** `drop`: what must not be answered at all. */
export type DnsReading = Query | Unfit | { readonly kind: 'drop' }

/** Without EDNS a reply over UDP has at most 512 bytes (RFC 1035 section 4.2.1). */
export const plainSize = 512
/** Larger datagrams fragment on common paths (RFC 9715 section 3.1). */
export const largestSize = 1232

/**
 * Reads one message as a query. Responses and what is shorter than a header are dropped: answering a response lets two
 * servers talk for ever. Other opcodes: NOTIMP. Not exactly one question, records where a query has none, compressed,
 * dotted or unprintable labels, anything after the end: FORMERR. EDNS version not 0: BADVERS. Other classes: REFUSED.
 */
export function readQuery(message: Buffer): DnsReading {
  if (message.length < headerSize) return { kind: 'drop' }
  const high = message.readUInt8(2)
  if (high & 0x80) return { kind: 'drop' }
  const asked = {
    id: message.readUInt16BE(0),
    opcode: (high >> 3) & 0xf,
    recursionDesired: (high & 0x01) !== 0,
    checkingDisabled: (message.readUInt8(3) & 0x10) !== 0,
    question: nothing,
    ednsSize: undefined,
  }
  if (asked.opcode !== 0) return { kind: 'unfit', rcode: 'NOTIMP', ...asked }
  const additional = message.readUInt16BE(10)
  const counted = message.readUInt16BE(4) === 1 && message.readUInt32BE(6) === 0 && additional <= 1
  if (!counted) return { kind: 'unfit', rcode: 'FORMERR', ...asked }
  const name = readName(message, headerSize)
  if (!name || name.end + 4 > message.length) return { kind: 'unfit', rcode: 'FORMERR', ...asked }

  const end = name.end + 4
  const edns = additional === 1 ? readOpt(message, end) : undefined
  const last = additional === 1 ? edns?.end : end
  if (last !== message.length) return { kind: 'unfit', rcode: 'FORMERR', ...asked }
  const readable = { ...asked, question: message.subarray(headerSize, end), ednsSize: edns?.size }
  if (edns && edns.version !== 0) return { kind: 'unfit', rcode: 'BADVERS', ...readable }
  if (message.readUInt16BE(name.end + 2) !== classIn) return { kind: 'unfit', rcode: 'REFUSED', ...readable }
  const type = message.readUInt16BE(name.end)
  const unfit = judgeType(type)
  return unfit ? { kind: 'unfit', rcode: unfit, ...readable } : { kind: 'query', ...readable, name: name.name, type }
}

/**
 * Types that are no data and cannot be asked for: zero and OPT never stand in a question, zone transfers have nothing
 * to transfer, and 128–254 are meta types (RFC 6895 section 3.1).
 */
function judgeType(type: number): Rcode | undefined {
  if (type === 0 || type === types.OPT) return 'FORMERR'
  if (type === types.AXFR || type === types.IXFR) return 'REFUSED'
  return type >= 128 && type <= 254 ? 'NOTIMP' : undefined
}

/**
 * Reads an uncompressed name of printable ASCII labels. A question has nothing before it that a pointer could mean.
 * Other bytes are legal DNS (RFC 2181 section 11) but no host, and a dot inside a label would read as two labels.
 */
function readName(message: Buffer, start: number): { readonly name: string; readonly end: number } | undefined {
  let name = ''
  let at = start
  for (;;) {
    const length = message[at]
    if (length === undefined || length > 63) return undefined
    at += 1
    if (length === 0) return { name, end: at }
    const end = at + length
    // 255 bytes with the length byte of each label and the root's (RFC 1035 section 2.3.4).
    if (end - start > 254 || !isPlain(message, at, end)) return undefined
    if (at - 1 > start) name += '.'
    name += message.toString('latin1', at, end)
    at = end
  }
}

/** Whether these bytes exist and could stand in a name as text: printable ASCII, no space, no dot. */
export function isPlain(message: Buffer, start: number, end: number): boolean {
  if (end > message.length) return false
  for (let at = start; at < end; at += 1) {
    const byte = message[at]
    if (byte === undefined || byte <= 0x20 || byte >= 0x7f || byte === 0x2e) return false
  }
  return true
}

/** Reads an OPT record (RFC 6891 section 6.1.2) and walks its options; none of them is acted on. */
function readOpt(
  message: Buffer,
  start: number,
): { readonly size: number; readonly version: number; readonly end: number } | undefined {
  if (start + 11 > message.length || message[start] !== 0 || message.readUInt16BE(start + 1) !== types.OPT) return undefined
  const end = start + 11 + message.readUInt16BE(start + 9)
  if (end > message.length) return undefined
  let at = start + 11
  while (at < end) {
    if (at + 4 > end) return undefined
    at += 4 + message.readUInt16BE(at + 2)
  }
  if (at !== end) return undefined
  const size = Math.min(Math.max(message.readUInt16BE(start + 3), plainSize), largestSize)
  return { size, version: message.readUInt8(start + 6), end }
}

const nothing = Buffer.alloc(0)
