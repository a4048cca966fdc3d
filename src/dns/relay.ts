/**
 * Reads what a zone's resolver sent, before any of it reaches an agent. Records pass byte for byte when every name in
 * them is plain and every pointer sound; records of other names than the question leads to and the additional section are
 * dropped, so no address or key rides along. Pure.
 */
import { belonging, writtenOut } from './chain.ts'
import type { ChainResult } from './chain.ts'
import { classIn, types } from './codes.ts'
import { headerSize, isPlain } from './wire.ts'
import type { DnsQuestion } from './wire.ts'

/** Records of a reply that may be passed on behind the question they were given for. */
export interface RelayedAnswer {
  readonly kind: 'answer'
  readonly rcode: number
  readonly authoritative: boolean
  readonly answers: number
  readonly authority: number
  /** A copy; its compression pointers, if it has any, hold behind a question of the same length. */
  readonly records: Buffer
}

/** `foreign`: not the reply to this question, so keep waiting. `broken`: it is, and cannot be passed on. */
export type RelayReading =
  | RelayedAnswer
  | { readonly kind: 'foreign' }
  | { readonly kind: 'truncated' }
  | { readonly kind: 'broken' }

/** More than any service has addresses; a reply past it is refused. */
export const mostRecords = 512

/** Judges a message as the reply to `question`, sent with `id` (RFC 5452 section 9.1). */
export function readReply(message: Buffer, id: number, question: DnsQuestion['question']): RelayReading {
  const start = headerSize + question.length
  if (message.length < start || message.readUInt16BE(0) !== id) return { kind: 'foreign' }
  const high = message.readUInt8(2)
  // QR set, opcode QUERY, one question.
  if ((high & 0xf8) !== 0x80 || message.readUInt16BE(4) !== 1) return { kind: 'foreign' }
  if (!sameQuestion(message.subarray(headerSize, start), question)) return { kind: 'foreign' }
  if (high & 0x02) return { kind: 'truncated' }

  const [answers, authority, additional] = [message.readUInt16BE(6), message.readUInt16BE(8), message.readUInt16BE(10)]
  if (answers + authority + additional > mostRecords) return { kind: 'broken' }
  const copy = Buffer.from(message)
  const names: NameTable = new Map()
  readName(copy, headerSize, names)
  const found: ChainResult[] = []
  let at: number | undefined = start
  for (let count = 0; count < answers + authority && at !== undefined; count += 1) {
    const record = readRecord(copy, at, names, count < answers ? 'answer' : 'authority')
    if (record) found.push(record)
    at = record?.end
  }
  if (at === undefined) return { kind: 'broken' }
  const records = copy.subarray(start, at)
  for (let count = 0; count < additional && at !== undefined; count += 1) at = readExtra(copy, at, names)
  if (at !== copy.length) return { kind: 'broken' }
  const reply = { kind: 'answer', rcode: message.readUInt8(3) & 0xf, authoritative: (high & 0x04) !== 0 } as const
  const kept = belonging(copy, headerSize, found)
  if (kept.length === found.length) return { ...reply, answers, authority, records }
  const keptAnswers = kept.filter(({ section }) => section === 'answer').length
  return { ...reply, answers: keptAnswers, authority: kept.length - keptAnswers, records: writtenOut(copy, kept) }
}

/** The same bytes, letters in either case: some resolvers answer in lower case. */
function sameQuestion(left: Buffer, right: Buffer): boolean {
  return left.length === right.length && left.toString('latin1').toLowerCase() === right.toString('latin1').toLowerCase()
}

/** Where names start in the message, and how many bytes each has when written out. */
type NameTable = Map<number, number>

/**
 * Walks a name to its end in place. A pointer must lead back to the start of a label that was read before, so chains
 * are finite (RFC 9267 section 2), and no name may grow past 255 bytes.
 */
function readName(message: Buffer, start: number, names: NameTable): number | undefined {
  const labels: number[] = []
  let at = start
  for (;;) {
    const length = message[at]
    if (length === undefined) return undefined
    if (length >= 0xc0) {
      if (at + 2 > message.length) return undefined
      const rest = names.get(message.readUInt16BE(at) & 0x3fff)
      return rest !== undefined && remember(labels, at, rest, names) ? at + 2 : undefined
    }
    if (length === 0) return remember(labels, at, 1, names) ? at + 1 : undefined
    if (length > 63 || !isPlain(message, at + 1, at + 1 + length)) return undefined
    labels.push(at)
    at += 1 + length
    if (at - start > 254) return undefined
  }
}

function remember(labels: readonly number[], end: number, rest: number, names: NameTable): boolean {
  for (const label of labels) names.set(label, end - label + rest)
  return end - (labels[0] ?? end) + rest <= 255
}

/** Reads an answer or authority record; `undefined`: it may not pass. */
function readRecord(message: Buffer, start: number, names: NameTable, section: ChainResult['section']): ChainResult | undefined {
  const fixed = readName(message, start, names)
  if (fixed === undefined || fixed + 10 > message.length) return undefined
  if (message.readUInt16BE(fixed + 2) !== classIn) return undefined
  // A lifetime with the top bit set means none at all (RFC 2181 section 8).
  if (message.readUInt8(fixed + 4) & 0x80) message.writeUInt32BE(0, fixed + 4)
  const data = fixed + 10
  const end = data + message.readUInt16BE(fixed + 8)
  if (end > message.length) return undefined
  const type = message.readUInt16BE(fixed)
  return dataEnd(message, type, data, end, names) === end ? { section, start, fixed, end, type } : undefined
}

/** Where the data of a record ends by its own account; `undefined`: a type that does not pass, or bad names in it. */
function dataEnd(message: Buffer, type: number, start: number, end: number, names: NameTable): number | undefined {
  switch (type) {
    case types.A:
      return start + 4
    case types.AAAA:
      return start + 16
    case types.NS:
    case types.CNAME:
    case types.PTR:
    case types.DNAME:
      return readName(message, start, names)
    case types.MX:
      return readName(message, start + 2, names)
    case types.SRV:
      return readName(message, start + 6, names)
    case types.SOA: {
      const second = readName(message, start, names)
      const numbers = second === undefined ? undefined : readName(message, second, names)
      return numbers === undefined ? undefined : numbers + 20
    }
    case types.TXT:
      return textEnd(message, start, end)
    default:
      return undefined
  }
}

function textEnd(message: Buffer, start: number, end: number): number {
  let at = start
  while (at < end) at += 1 + (message[at] ?? 0)
  return at
}

/** Skips a record that is not passed on; an OPT that makes the response code a longer one is not skipped. */
function readExtra(message: Buffer, start: number, names: NameTable): number | undefined {
  const fixed = readName(message, start, names)
  if (fixed === undefined || fixed + 10 > message.length) return undefined
  if (message.readUInt16BE(fixed) === types.OPT && message.readUInt8(fixed + 4) !== 0) return undefined
  return fixed + 10 + message.readUInt16BE(fixed + 8)
}
