import { isToken } from './characters.ts'

/** The last chunk of a body without trailers. */
export const lastChunk: Buffer = Buffer.from('0\r\n\r\n')

/**
 * A request head with its empty line, in latin1. Throws on what is not a method, a target or a field: whatever the caller gives, no line
 * can be added through it. `more` are lines that the driver adds, each with its CRLF.
 */
export function requestHeadText(method: string, target: string, fields: readonly string[], more = ''): string {
  if (!isToken(method) || !isTarget(target)) throw new TypeError('a request line cannot be written')
  return `${method} ${target} HTTP/1.1\r\n${fieldLines(fields)}${more}\r\n`
}

/** A reply head with its empty line, in latin1. Throws as `requestHeadText` does. */
export function replyHeadText(status: number, reason: string, fields: readonly string[], more = ''): string {
  if (!(status >= 100 && status <= 999) || !isValue(reason)) throw new TypeError('a status line cannot be written')
  return `HTTP/1.1 ${status} ${reason}\r\n${fieldLines(fields)}${more}\r\n`
}

/** The last chunk with the fields behind it. */
export function lastChunkWith(trailers: readonly string[]): string {
  return `0\r\n${fieldLines(trailers)}\r\n`
}

/** What stands before a chunk of so many bytes; behind it is CRLF. */
export function chunkPrefix(length: number): string {
  return `${length.toString(16)}\r\n`
}

/** A head and the first bytes of its body as one buffer: as a chunk where the body is chunked, with the last chunk where it ends. */
export function joinHead(head: string, body: Uint8Array | undefined, chunked: boolean, ends: boolean): Buffer {
  const size = body?.length ?? 0
  const prefix = chunked && size > 0 ? chunkPrefix(size) : ''
  const framing = chunked ? prefix.length + (size > 0 ? 2 : 0) + (ends ? lastChunk.length : 0) : 0
  const joined = Buffer.allocUnsafe(head.length + size + framing)
  let at = head.length > 0 ? joined.write(head, 0, 'latin1') : 0
  if (size > 0 && body) {
    if (chunked) at = writeShort(joined, prefix, at)
    joined.set(body, at)
    at += size
    if (chunked) at = writeShort(joined, '\r\n', at)
  }
  if (chunked && ends) writeShort(joined, '0\r\n\r\n', at)
  return joined
}

/** A few characters of ASCII: for so few, a call into Node's own writer costs more than the loop. */
function writeShort(bytes: Buffer, text: string, from: number): number {
  for (let i = 0; i < text.length; i += 1) bytes[from + i] = text.charCodeAt(i)
  return from + text.length
}

function fieldLines(fields: readonly string[]): string {
  let text = ''
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? ''
    const value = fields[i + 1] ?? ''
    if (!isToken(name) || !isValue(value)) throw new TypeError('a header field cannot be written')
    text += `${name}: ${value}\r\n`
  }
  return text
}

/** No space and no control character, either of which would end it. */
function isTarget(text: string): boolean {
  for (let i = 0; i < text.length; i += 1) {
    const code = text.charCodeAt(i)
    if (code <= 32 || code === 127 || code > 255) return false
  }
  return text.length > 0
}

/** Nothing that ends a line, and nothing that latin1 cannot write. */
function isValue(value: string): boolean {
  for (let i = 0; i < value.length; i += 1) {
    const code = value.charCodeAt(i)
    if (code === 13 || code === 10 || code === 0 || code > 255) return false
  }
  return true
}
