import type { ErrorCode } from '#base/errors.ts'
import type { WireRefusal } from './types.ts'

/** `1` at each character of a token (RFC 9110 section 5.6.2). */
export const tokenCharacters = table("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")

const tab = 9
const carriageReturn = 13
const lineFeed = 10
const space = 32
const colon = 58
const del = 127

/**
 * Field lines (RFC 9112 section 5) of a latin1 text that ends with the CRLF of its last line: flat names and values, or what is wrong
 * with them. No folding, no space before the colon, no bare CR or LF, no control character but the tab.
 */
export function readFields(text: string, from: number, most: number): string[] | WireRefusal {
  const fields: string[] = []
  const end = text.length
  let at = from
  while (at < end) {
    const nameAt = at
    let code = text.charCodeAt(at)
    while (tokenCharacters[code] === 1) code = text.charCodeAt(++at)
    if (code !== colon || at === nameAt) return refusal('malformed_request', 'a header name is not a token followed by a colon')
    const name = text.slice(nameAt, at)
    do code = text.charCodeAt(++at)
    while (code === space || code === tab)
    const valueAt = at
    let valueEnd = at
    while ((code >= space && code !== del) || code === tab) {
      if (code !== space && code !== tab) valueEnd = at + 1
      code = text.charCodeAt(++at)
    }
    if (code !== carriageReturn || text.charCodeAt(at + 1) !== lineFeed)
      return refusal('malformed_request', `${name} holds a control character`)
    at += 2
    fields.push(name, text.slice(valueAt, valueEnd))
    if (fields.length > most * 2) return refusal('head_too_large', `more than ${most} header fields`)
  }
  return fields
}

/** Whether a name is this one, as servers read names that fold case and take `_` for `-`. `lower` is in lower case, with hyphens. */
export function isNamed(name: string, lower: string): boolean {
  if (name.length !== lower.length) return false
  for (let i = 0; i < name.length; i += 1) {
    const code = name.charCodeAt(i)
    const folded = code >= 65 && code <= 90 ? code | 32 : code === 95 ? 45 : code
    if (folded !== lower.charCodeAt(i)) return false
  }
  return true
}

/** A Content-Length: digits alone, and no more than a number can hold exactly; `undefined`: it is none. */
export function lengthOf(value: string): number | undefined {
  if (value.length === 0 || value.length > 15) return undefined
  let length = 0
  for (let i = 0; i < value.length; i += 1) {
    const digit = value.charCodeAt(i) - 48
    if (digit < 0 || digit > 9) return undefined
    length = length * 10 + digit
  }
  return length
}

/** Whether a Connection field lists this option (RFC 9110 section 7.6.1). */
export function lists(value: string, option: string): boolean {
  if (value.length === option.length) return value.toLowerCase() === option
  if (value.length < option.length) return false
  return value
    .toLowerCase()
    .split(',')
    .some((listed) => listed.trim() === option)
}

export function refusal(code: ErrorCode, detail: string): WireRefusal {
  return { code, detail }
}

function table(characters: string): Uint8Array {
  const marked = new Uint8Array(256)
  for (const character of characters) marked[character.charCodeAt(0)] = 1
  return marked
}
