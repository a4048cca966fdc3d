import { carriageReturn, hexValues, lineFeed, tokenCharacters, valueCharacters } from './characters.ts'

const semicolon = 59
const equals = 61
const quote = 34
const backslash = 92
/** Hexadecimal digits of a chunk size that is still an exact number. */
const mostDigits = 13

/** The place in a chunk line (RFC 9112 section 7.1) that the next byte belongs to. */
type Place = 'size' | 'name' | 'value' | 'quoted' | 'escaped' | 'end' | 'line feed'

/** What a byte made of the line. */
type Step = 'more' | 'done' | 'bad size' | 'bad extension'

/**
 * Reads chunk lines: a size, and extensions that are checked and dropped. White space around extensions is refused: parsers disagree
 * about it (RFC 9112 section 7.1.1 calls it bad).
 */
export class ChunkLine {
  size = 0
  /** Bytes of extensions in this message so far: a peer may not hide a stream in them. */
  #extensionBytes = 0
  readonly #mostExtensionBytes: number
  #place: Place = 'size'
  /** Digits of the size, or characters of the name or value that is being read. */
  #count = 0

  constructor(mostExtensionBytes: number) {
    this.#mostExtensionBytes = mostExtensionBytes
  }

  /** A new body begins. */
  reset(): void {
    this.#extensionBytes = 0
    this.#next()
  }

  /** The length of a line without extensions that is whole in these bytes, with its size read; else 0, and nothing is read. */
  readWhole(bytes: Buffer, from: number): number {
    if (this.#place !== 'size' || this.#count > 0) return 0
    const most = Math.min(bytes.length - 1, from + mostDigits)
    let size = 0
    let at = from
    for (; at < most; at += 1) {
      const digit = hexValues[bytes[at] ?? 0] ?? -1
      if (digit < 0) break
      size = size * 16 + digit
    }
    if (at === from || at + 1 >= bytes.length || bytes[at] !== carriageReturn || bytes[at + 1] !== lineFeed) return 0
    this.size = size
    return at + 2 - from
  }

  read(byte: number): Step {
    if (this.#place === 'size') {
      const digit = hexValues[byte] ?? -1
      if (digit < 0) return this.#count === 0 ? 'bad size' : this.#close(byte, 'bad size')
      this.size = this.#count === 0 ? digit : this.size * 16 + digit
      this.#count += 1
      return this.#count > mostDigits ? 'bad size' : 'more'
    }
    if (this.#place === 'line feed') {
      if (byte !== lineFeed) return 'bad size'
      this.#next()
      return 'done'
    }
    this.#extensionBytes += 1
    return this.#extensionBytes > this.#mostExtensionBytes ? 'bad extension' : this.#extend(byte)
  }

  #extend(byte: number): Step {
    const place = this.#place
    if (place === 'quoted') {
      if (byte === quote) this.#place = 'end'
      else if (byte === backslash) this.#place = 'escaped'
      else if (valueCharacters[byte] !== 1) return 'bad extension'
    } else if (place === 'escaped') {
      if (valueCharacters[byte] !== 1) return 'bad extension'
      this.#place = 'quoted'
    } else if (place === 'end') return this.#close(byte, 'bad extension')
    else if (tokenCharacters[byte] === 1) this.#count += 1
    else if (byte === quote && place === 'value' && this.#count === 0) this.#place = 'quoted'
    else if (this.#count === 0) return 'bad extension'
    else if (byte === equals && place === 'name') this.#enter('value')
    else return this.#close(byte, 'bad extension')
    return 'more'
  }

  /** Behind a size, a name or a value: another extension, or the end of the line. */
  #close(byte: number, fault: Step): Step {
    if (byte === carriageReturn) this.#place = 'line feed'
    else if (byte === semicolon) this.#enter('name')
    else return fault
    return 'more'
  }

  #enter(place: Place): void {
    this.#place = place
    this.#count = 0
  }

  #next(): void {
    this.#enter('size')
  }
}
