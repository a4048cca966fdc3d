import { asciiJson, bounded } from './text.ts'

const quote = 34
const dot = 46
const zero = 48
/** Digits, a point and three decimals. */
const longestNumber = 24
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

  /** Bytes of ASCII as they stand. */
  put(bytes: Uint8Array): void {
    if (this.#at + bytes.length > this.#bytes.length) this.#grow(bytes.length)
    this.#bytes.set(bytes, this.#at)
    this.#at += bytes.length
  }

  /** A word as a JSON string that comes again and again (an agent, a host, a rule): what it is in bytes is kept. */
  word(text: string, limit: number): void {
    const known = this.#words.get(text)
    if (known) return this.put(known)
    const before = this.#at
    this.json(text, limit)
    if (this.#words.size >= mostWords) this.#words.clear()
    if (text.length <= longestWord) this.#words.set(text, this.copyFrom(before))
  }

  /** A number as JSON has it. Counts and milliseconds with three decimals, as most are, are written digit by digit. */
  number(value: number): void {
    const thousandths = Math.round(value * 1_000)
    if (!(thousandths >= 0 && thousandths < 1e15 && thousandths / 1_000 === value)) return this.raw(String(value))
    if (this.#at + longestNumber > this.#bytes.length) this.#grow(longestNumber)
    const whole = Math.floor(value)
    this.#digits(whole)
    let rest = thousandths - whole * 1_000
    if (rest === 0) return
    this.#bytes[this.#at++] = dot
    for (let unit = 100; rest > 0; unit /= 10) {
      const digit = Math.floor(rest / unit)
      this.#bytes[this.#at++] = zero + digit
      rest -= digit * unit
    }
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

  /** What was written since the last `take`, until something is written. */
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.#at)
  }

  /** A copy of what was written behind this length. */
  copyFrom(length: number): Uint8Array {
    return Uint8Array.from(this.#bytes.subarray(length, this.#at))
  }

  /** A copy of all that was written; the buffer begins anew. */
  take(): Buffer {
    const taken = Buffer.from(this.#bytes.subarray(0, this.#at))
    this.#at = 0
    return taken
  }

  #digits(whole: number): void {
    let above = 10
    while (above <= whole) above *= 10
    let left = whole
    for (let unit = above / 10; unit >= 1; unit /= 10) {
      const digit = Math.floor(left / unit)
      this.#bytes[this.#at++] = zero + digit
      left -= digit * unit
    }
  }

  #grow(more: number): void {
    const grown = Buffer.allocUnsafeSlow(Math.max(this.#bytes.length * 2, this.#at + more))
    this.#bytes.copy(grown, 0, 0, this.#at)
    this.#bytes = grown
  }
}
