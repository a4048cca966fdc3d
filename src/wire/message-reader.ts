import { isNamed, readFields, refusal, tokenCharacters } from './fields.ts'
import { Kept } from './kept.ts'
import type { Framing, WireLimits, WireRefusal } from './types.ts'

const headEnd = Buffer.from('\r\n\r\n')
const none: readonly string[] = []

const carriageReturn = 13
const lineFeed = 10
const semicolon = 59
const equals = 61
const quote = 34
const backslash = 92
/** Hexadecimal digits of a chunk size that still is an exact number. */
const mostDigits = 13

/** What is read next. The names behind `size` are places in a chunk line (RFC 9112 section 7.1). */
type State =
  | 'head'
  | 'length'
  | 'close'
  | 'size'
  | 'extension-name'
  | 'extension-value'
  | 'extension-quoted'
  | 'extension-escaped'
  | 'extension-end'
  | 'size-lf'
  | 'chunk'
  | 'chunk-cr'
  | 'chunk-lf'
  | 'trailers'
  | 'refused'

interface BodyEvents {
  data(bytes: Buffer): void
  end(trailers: readonly string[]): void
  refuse(refusal: WireRefusal): void
}

/** Fields that must not come after a body, where nothing looks for them (RFC 9110 section 6.5.1). */
const neverTrailers = ['content-length', 'transfer-encoding', 'host', 'connection', 'trailer', 'te', 'upgrade', 'expect'] as const

/** What requests and replies have in common: a head that must be complete, and the four framings of a body. */
export abstract class MessageReader {
  protected readonly limits: WireLimits
  readonly #events: BodyEvents
  #state: State = 'head'
  readonly #kept = new Kept()
  /** Bytes of the body, or of the chunk, that are still to come. */
  #left = 0
  #digits = 0
  #extensionBytes = 0
  /** The head that was just read was an interim one: another follows. */
  #interim = false

  constructor(limits: WireLimits, events: BodyEvents) {
    this.limits = limits
    this.#events = events
  }

  /** A head has begun and is not complete. */
  get inHead(): boolean {
    return this.#state === 'head' && this.#kept.length > 0
  }

  /** A head was read, and its body is not at its end. */
  get inMessage(): boolean {
    return this.#state !== 'head' && this.#state !== 'refused'
  }

  /** The body under way ends with the connection. */
  get endsWithConnection(): boolean {
    return this.#state === 'close'
  }

  /**
   * Reads on from `from`; gives the offset of the first byte that it did not take. It stops behind the end of a message, so that the
   * next one, or what a tunnel carries, stays with the caller; and takes nothing more after a refusal.
   */
  read(bytes: Buffer, from = 0): number {
    let at = from
    while (at < bytes.length) {
      switch (this.#state) {
        case 'head': {
          this.#interim = false
          at = this.#readHead(bytes, at)
          if ((this.#state as State) === 'head' && !this.#interim) return at
          break
        }
        case 'length':
        case 'chunk': {
          const end = Math.min(bytes.length, at + this.#left)
          this.#left -= end - at
          const whole = this.#left === 0
          const chunk = at === 0 && end === bytes.length ? bytes : bytes.subarray(at, end)
          at = end
          const ends = whole && this.#state === 'length'
          if (whole) this.#state = ends ? 'head' : 'chunk-cr'
          this.#events.data(chunk)
          if (ends) {
            this.#events.end(none)
            return at
          }
          break
        }
        case 'close':
          this.#events.data(at === 0 ? bytes : bytes.subarray(at))
          return bytes.length
        case 'trailers': {
          at = this.#readTrailers(bytes, at)
          if ((this.#state as State) === 'head') return at
          break
        }
        case 'refused':
          return at
        case 'size':
        case 'extension-name':
        case 'extension-value':
        case 'extension-quoted':
        case 'extension-escaped':
        case 'extension-end':
        case 'size-lf':
        case 'chunk-cr':
        case 'chunk-lf':
          this.#readChunkLine(this.#state, bytes[at] ?? 0)
          at += 1
          break
        default:
          this.#state satisfies never
      }
    }
    return at
  }

  /** The peer sends nothing more. */
  finish(): void {
    if (this.#state === 'close') {
      this.#state = 'head'
      this.#events.end(none)
    } else if (this.inHead || this.inMessage) this.refuse(refusal('bad_framing', 'the connection ended within the message'))
  }

  /** Judges a complete head, which ends with the CRLF of its last line, and tells it. `undefined`: another head follows (1xx). */
  protected abstract readHeadText(text: string): Framing | WireRefusal | undefined

  /** Refuses a head whose first byte cannot begin one. */
  protected abstract judgeFirst(byte: number): WireRefusal | undefined

  protected refuse(refused: WireRefusal): void {
    this.#state = 'refused'
    this.#kept.clear()
    this.#events.refuse(refused)
  }

  #readHead(bytes: Buffer, from: number): number {
    let at = from
    if (this.#kept.length === 0) {
      // One empty line before a request is passed over (RFC 9112 section 2.2).
      if (bytes[at] === carriageReturn && bytes[at + 1] === lineFeed) at += 2
      const first = bytes[at]
      const half = first === carriageReturn && at === from && at + 1 === bytes.length
      const wrong = first === undefined || half ? undefined : this.judgeFirst(first)
      if (wrong) return this.#refuseAt(wrong, from)
      const end = bytes.indexOf(headEnd, at)
      if (end >= 0) return this.#complete(bytes, at, end + 2)
    }
    // Only the first bytes of what was kept can be a part of the end that is looked for.
    const before = this.#kept.length
    this.#kept.add(at === 0 ? bytes : bytes.subarray(at))
    const all = this.#kept.view()
    const end = all.indexOf(headEnd, Math.max(0, before - 3))
    if (end < 0) {
      if (all.length > this.limits.headBytes) return this.#refuseAt(tooLarge, bytes.length)
      return this.#bareLineFeed(all, before) ? this.#refuseAt(bareLineFeed, bytes.length) : bytes.length
    }
    const taken = end + headEnd.length - before
    const kept = Buffer.from(all.subarray(0, end + headEnd.length))
    this.#kept.clear()
    const skip = kept[0] === carriageReturn && kept[1] === lineFeed ? 2 : 0
    this.#complete(kept, skip, end + 2)
    return at + taken
  }

  /** A head that ends its lines with LF alone never comes to an end that would be accepted. */
  #bareLineFeed(bytes: Buffer, from: number): boolean {
    for (let at = bytes.indexOf(lineFeed, from); at >= 0; at = bytes.indexOf(lineFeed, at + 1)) {
      if (bytes[at - 1] !== carriageReturn) return true
    }
    return false
  }

  /** A head is there, up to `end`, which is behind its last line; two more bytes are the empty line. */
  #complete(bytes: Buffer, from: number, end: number): number {
    if (end - from > this.limits.headBytes) return this.#refuseAt(tooLarge, end + 2)
    const framing = this.readHeadText(bytes.toString('latin1', from, end))
    if (framing === undefined) {
      this.#interim = true
      return end + 2
    }
    if ('code' in framing) return this.#refuseAt(framing, end + 2)
    switch (framing.kind) {
      case 'none':
        this.#events.end(none)
        break
      case 'length':
        this.#left = framing.length
        this.#state = 'length'
        break
      case 'chunked':
        this.#beginChunk()
        this.#extensionBytes = 0
        break
      case 'close':
        this.#state = 'close'
        break
      default:
        framing satisfies never
    }
    return end + 2
  }

  #refuseAt(refused: WireRefusal, at: number): number {
    this.refuse(refused)
    return at
  }

  #beginChunk(): void {
    this.#state = 'size'
    this.#left = 0
    this.#digits = 0
  }

  #readChunkLine(state: State, byte: number): void {
    if (state === 'size') this.#readSize(byte)
    else if (state === 'size-lf') {
      if (byte !== lineFeed) this.refuse(badChunk)
      else this.#state = this.#left === 0 ? 'trailers' : 'chunk'
    } else if (state === 'chunk-cr') {
      if (byte === carriageReturn) this.#state = 'chunk-lf'
      else this.refuse(badChunk)
    } else if (state === 'chunk-lf') {
      if (byte === lineFeed) this.#beginChunk()
      else this.refuse(badChunk)
    } else this.#readExtension(byte)
  }

  #readSize(byte: number): void {
    const digit = hexDigit(byte)
    if (digit >= 0) {
      this.#digits += 1
      this.#left = this.#left * 16 + digit
      if (this.#digits > mostDigits) this.refuse(badChunk)
    } else if (this.#digits === 0) this.refuse(badChunk)
    // White space around extensions is refused: parsers disagree about it (RFC 9112 section 7.1.1 calls it bad).
    else this.#endExtension(byte)
  }

  /** `#digits` counts the characters of the name or value that is being read. */
  #readExtension(byte: number): void {
    const state = this.#state
    this.#extensionBytes += 1
    if (this.#extensionBytes > this.limits.chunkLineBytes) return this.refuse(badExtension)
    if (state === 'extension-quoted') {
      if (byte === quote) this.#state = 'extension-end'
      else if (byte === backslash) this.#state = 'extension-escaped'
      else if (!isText(byte)) this.refuse(badExtension)
    } else if (state === 'extension-escaped') {
      if (isText(byte)) this.#state = 'extension-quoted'
      else this.refuse(badExtension)
    } else if (state === 'extension-end') this.#endExtension(byte)
    else if (tokenCharacters[byte] === 1) this.#digits += 1
    else if (byte === quote && state === 'extension-value' && this.#digits === 0) this.#state = 'extension-quoted'
    else if (this.#digits === 0) this.refuse(badExtension)
    else if (byte === equals && state === 'extension-name') {
      this.#state = 'extension-value'
      this.#digits = 0
    } else this.#endExtension(byte)
  }

  #endExtension(byte: number): void {
    if (byte === carriageReturn) this.#state = 'size-lf'
    else if (byte === semicolon) {
      this.#state = 'extension-name'
      this.#digits = 0
    } else this.refuse(badExtension)
  }

  #readTrailers(bytes: Buffer, from: number): number {
    const before = this.#kept.length
    if (before === 0 && bytes[from] === carriageReturn && bytes[from + 1] === lineFeed) return this.#end(none, from + 2)
    this.#kept.add(bytes.subarray(from))
    const all = this.#kept.view()
    const empty = all[0] === carriageReturn && all[1] === lineFeed
    const end = empty ? 0 : all.indexOf(headEnd, Math.max(0, before - 3))
    if (end < 0) {
      if (all.length > this.limits.trailerBytes) return this.#refuseAt(tooLarge, bytes.length)
      return this.#bareLineFeed(all, before) ? this.#refuseAt(bareLineFeed, bytes.length) : bytes.length
    }
    const size = empty ? 2 : end + headEnd.length
    if (size > this.limits.trailerBytes) return this.#refuseAt(tooLarge, bytes.length)
    const trailers = empty ? none : readFields(all.toString('latin1', 0, end + 2), 0, this.limits.headers)
    this.#kept.clear()
    const at = from + size - before
    if ('code' in trailers) return this.#refuseAt(trailers, at)
    for (let i = 0; i < trailers.length; i += 2) {
      const name = trailers[i] ?? ''
      const never = neverTrailers.find((each) => isNamed(name, each))
      if (never) return this.#refuseAt(refusal('bad_framing', `${never} may not be a trailer`), at)
    }
    return this.#end(trailers, at)
  }

  #end(trailers: readonly string[], at: number): number {
    this.#state = 'head'
    this.#events.end(trailers)
    return at
  }
}

const tooLarge = refusal('head_too_large', 'the request head is too large')
const bareLineFeed = refusal('malformed_request', 'a line ends with LF alone')
const badChunk = refusal('bad_framing', 'the message length is ambiguous')
const badExtension = refusal('malformed_request', 'a chunk extension is not well-formed')

function hexDigit(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48
  const lower = byte | 32
  return lower >= 97 && lower <= 102 ? lower - 87 : -1
}

/** Tab, visible characters, space and obs-text. */
function isText(byte: number): boolean {
  return byte === 9 || (byte >= 32 && byte !== 127)
}
