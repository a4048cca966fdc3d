import { carriageReturn, lineFeed, space, tab, tokenCharacters, valueCharacters } from './characters.ts'
import { refusal } from './faults.ts'
import { contentLengthId, foldedId, transferEncodingId } from './names.ts'
import { incomplete } from './types.ts'
import type { FieldBlock, WireRefusal } from './types.ts'

const colon = 58

export const noFields: FieldBlock = Object.freeze({ fields: Object.freeze<string[]>([]), ids: Object.freeze<number[]>([]) })

/** The longest part of a name that a refusal repeats. */
const mostTold = 40

/**
 * Field lines (RFC 9112 section 5) from `from` to the end of a latin1 text: names and values, or the first fault in the order of the
 * bytes; `incomplete` where the text ends within a line. No folding, no space before the colon, no bare CR or LF, no control
 * character but the tab.
 */
export function readFields(text: string, from: number, most: number): FieldBlock | WireRefusal {
  const fields: string[] = []
  const ids: number[] = []
  const end = text.length
  let at = from
  while (at < end) {
    const nameAt = at
    let code = text.charCodeAt(at)
    while (tokenCharacters[code] === 1) code = text.charCodeAt(++at)
    if (code !== colon || at === nameAt) return at >= end || isEnd(text, at, nameAt) ? incomplete : badName
    if (ids.length === most) return refusal('head_too_large', `more than ${most} header fields`)
    const nameEnd = at
    do code = text.charCodeAt(++at)
    while (code === space || code === tab)
    const valueAt = at
    while (valueCharacters[code] === 1) code = text.charCodeAt(++at)
    if (code !== carriageReturn) return at >= end ? incomplete : badValue(text, nameAt, nameEnd)
    const lineEnd = at
    if (text.charCodeAt(++at) !== lineFeed) return at >= end ? incomplete : badValue(text, nameAt, nameEnd)
    at += 1
    const id = foldedId(text, nameAt, nameEnd)
    fields.push(nameIn(text, nameAt, nameEnd), text.slice(valueAt, trimEnd(text, valueAt, lineEnd, id)))
    ids.push(id)
  }
  return { fields, ids }
}

/**
 * Names that came last, each at the place its length and letters lead to. The same few come with every message: one string for all of
 * them has its hash already when a list is asked for it.
 */
const recent: string[] = Array.from({ length: 512 }, () => '')
const longestRecent = 40

function nameIn(text: string, from: number, to: number): string {
  const length = to - from
  if (length > longestRecent) return text.slice(from, to)
  const place =
    (length * 37 + text.charCodeAt(from) * 5 + text.charCodeAt(to - 1) * 11 + text.charCodeAt(from + (length >> 1))) & 511
  const known = recent[place] as string
  if (known.length === length) {
    let at = 0
    while (at < length && text.charCodeAt(from + at) === known.charCodeAt(at)) at += 1
    if (at === length) return known
  }
  // A copy of its own: a part of a head would keep the whole head in memory.
  return (recent[place] = Buffer.from(text.slice(from, to), 'latin1').toString('latin1'))
}

/** A Content-Length: digits alone, and no more than a number holds exactly. -1: it is none. */
export function lengthOf(value: string): number {
  if (value.length === 0 || value.length > 15) return -1
  let length = 0
  for (let i = 0; i < value.length; i += 1) {
    const digit = value.charCodeAt(i) - 48
    if (digit < 0 || digit > 9) return -1
    length = length * 10 + digit
  }
  return length
}

const badName = refusal('malformed_request', 'a header name is not a token followed by a colon')

function badValue(text: string, nameAt: number, nameEnd: number): WireRefusal {
  return refusal('malformed_request', `${text.slice(nameAt, Math.min(nameEnd, nameAt + mostTold))} holds a control character`)
}

/** The CR of the empty line, behind which nothing has come yet. */
function isEnd(text: string, at: number, lineAt: number): boolean {
  return at === lineAt && at === text.length - 1 && text.charCodeAt(at) === carriageReturn
}

/**
 * Where a value ends, without the white space behind it. A tab stays where it is about framing, and spoils the value: llhttp refuses
 * one behind a length, and takes `chunked` with one for another coding, and no two readers may differ there (RFC 9112 section 11.2).
 */
function trimEnd(text: string, from: number, to: number, id: number): number {
  const tabs = id !== contentLengthId && id !== transferEncodingId
  for (let end = to; end > from; end -= 1) {
    const code = text.charCodeAt(end - 1)
    if (code !== space && !(tabs && code === tab)) return end
  }
  return from
}
