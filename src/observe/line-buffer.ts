import { asciiJson, bounded } from './text.ts'

const quote = 34
const backslash = 92
/** Words whose bytes are kept, and their longest in characters. */
const mostWords = 1_000
const longestWord = 128

/**
 * Bytes of lines of JSON in printable ASCII, one after the other. A line that is added up as a string is a tree of its parts, which has
 * to be walked once more to become bytes: that costs a record 8 µs, and writing its characters where they go 1 µs.
 */
export class LineBuffer {
  #bytes: Buffer
  #at = 0
  readonly #words = new Map<string, Uint8Array>()

  constructor(size: number) {
    this.#bytes = Buffer.allocUnsafeSlow(size)
  }

  /** Bytes written since the last `take`. */
  get length(): number {
    return this.#at
  }

  /** Takes back what was written behind this length. */
  cut(length: number): void {
    this.#at = length
  }

  /** A text of ASCII as it stands. */
  raw(text: string): void {
    const { length } = text
    if (this.#at + length > this.#bytes.length) this.#grow(length)
    const bytes = this.#bytes
    let at = this.#at
    for (let i = 0; i < length; i += 1) bytes[at++] = text.charCodeAt(i)
    this.#at = at
  }

  /** The same of a word that comes again and again (an agent, a host, a rule): what it is in bytes is kept. */
  word(text: string, limit: number): void {
    const known = this.#words.get(text)
    if (known) {
      if (this.#at + known.length > this.#bytes.length) this.#grow(known.length)
      this.#bytes.set(known, this.#at)
      this.#at += known.length
      return
    }
    const before = this.#at
    this.json(text, limit)
    if (this.#words.size >= mostWords) this.#words.clear()
    if (text.length <= longestWord) this.#words.set(text, Uint8Array.from(this.#bytes.subarray(before, this.#at)))
  }

  /** A text as a JSON string, cut to `limit` characters. Most are printable ASCII already, and stand as they are. */
  json(text: string, limit: number): void {
    const { length } = text
    if (length > limit) return this.raw(asciiJson(JSON.stringify(bounded(text, limit))))
    if (this.#at + length + 2 > this.#bytes.length) this.#grow(length + 2)
    const bytes = this.#bytes
    let at = this.#at
    bytes[at++] = quote
    for (let i = 0; i < length; i += 1) {
      const code = text.charCodeAt(i)
      if (code < 32 || code > 126 || code === quote || code === backslash) return this.raw(asciiJson(JSON.stringify(text)))
      bytes[at++] = code
    }
    bytes[at++] = quote
    this.#at = at
  }

  /** A copy of all that was written; the buffer begins anew. */
  take(): Buffer {
    const taken = Buffer.from(this.#bytes.subarray(0, this.#at))
    this.#at = 0
    return taken
  }

  #grow(more: number): void {
    const grown = Buffer.allocUnsafeSlow(Math.max(this.#bytes.length * 2, this.#at + more))
    this.#bytes.copy(grown, 0, 0, this.#at)
    this.#bytes = grown
  }
}
