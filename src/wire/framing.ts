import { lengthOf } from './fields.ts'
import { connectionId, contentLengthId, isCaseless, transferEncodingId } from './names.ts'
import type { FieldBlock, Framing, Version } from './types.ts'

export const noBody: Framing = Object.freeze({ kind: 'none' })
export const chunkedBody: Framing = Object.freeze({ kind: 'chunked' })
export const closeBody: Framing = Object.freeze({ kind: 'close' })

/** What the fields of a head say about its body and its connection (RFC 9112 sections 6 and 9). */
export interface Announced {
  /** Content-Length, or -1. */
  readonly length: number
  readonly chunked: boolean
  readonly lastOnConnection: boolean
}

export const badLength = 'Content-Length must be one decimal number'
export const badCoding = 'Transfer-Encoding may only be chunked, once, in HTTP/1.1'
export const bothFramings = 'both Content-Length and Transfer-Encoding'

/**
 * Reads framing and persistence; text is what is wrong with them. A second Content-Length is refused though it repeats the first, and
 * a name with `_` in it though no coding is at fault: the next reader may take another of them (RFC 9112 section 11.2).
 */
export function readFraming({ fields, ids }: FieldBlock, version: Version): Announced | string {
  let length = -1
  let chunked = false
  let close = false
  let keep = false
  for (let i = 0; i < ids.length; i += 1) {
    const id = ids[i]
    if (id === connectionId) {
      const value = fields[2 * i + 1] ?? ''
      close ||= listsOption(value, 'close')
      keep ||= listsOption(value, 'keep-alive')
    } else if (id === contentLengthId) {
      if (length >= 0 || fields[2 * i]?.charCodeAt(7) !== hyphen) return badLength
      length = lengthOf(fields[2 * i + 1] ?? '')
      if (length < 0) return badLength
    } else if (id === transferEncodingId) {
      const value = fields[2 * i + 1] ?? ''
      const alone = value.length === 7 && isCaseless(value, 0, 'chunked')
      if (version !== '1.1' || chunked || !alone || fields[2 * i]?.charCodeAt(8) !== hyphen) return badCoding
      chunked = true
    }
  }
  if (chunked && length >= 0) return bothFramings
  return { length, chunked, lastOnConnection: close || (version === '1.0' && !keep) }
}

const hyphen = 45
const comma = 44

/** Whether a list (RFC 9110 section 5.6.1) holds this option, which is in lower case. */
function listsOption(value: string, option: string): boolean {
  for (let at = 0; at < value.length;) {
    let end = at
    while (end < value.length && value.charCodeAt(end) !== comma) end += 1
    let from = at
    let to = end
    while (from < to && value.charCodeAt(from) <= 32) from += 1
    while (to > from && value.charCodeAt(to - 1) <= 32) to -= 1
    if (to - from === option.length && isCaseless(value, from, option)) return true
    at = end + 1
  }
  return false
}
