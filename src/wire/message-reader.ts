import { carriageReturn, lineFeed } from './characters.ts'
import { ChunkLine } from './chunk-line.ts'
import { refusal } from './faults.ts'
import type { SharedFaults } from './faults.ts'
import { noFields, readFields } from './fields.ts'
import { KeptBytes } from './kept.ts'
import { isTrailer } from './names.ts'
import { incomplete } from './types.ts'
import type { BodyEvents, FieldBlock, Framing, WireLimits, WireRefusal } from './types.ts'

const headEnd = Buffer.from('\r\n\r\n')
const lineEnd = headEnd.subarray(0, 2)

/** What is read next. */
type State = 'head' | 'length' | 'close' | 'chunk line' | 'chunk' | 'chunk cr' | 'chunk lf' | 'trailers' | 'refused'

/** What requests and replies have in common: a head that must be complete, and the four framings of a body. */
export abstract class MessageReader {
  protected readonly limits: WireLimits
  readonly #events: BodyEvents
  readonly #faults: SharedFaults
  #state: State = 'head'
  /** Of a head, or of a trailer block with the line end before it. */
  readonly #kept = new KeptBytes()
  readonly #line: ChunkLine
  /** Bytes of the body, or of the chunk, that are still to come. */
  #left = 0
  /** Bytes of an empty line before a head: none is passed over once this is 2. */
  #emptyLine: number
  readonly #emptyLineAtFirst: number
  /** The head that was read last was an interim one: another follows. */
  #interim = false

  /** `emptyLine`: one empty line before a head is passed over. */
  protected constructor(limits: WireLimits, events: BodyEvents, faults: SharedFaults, emptyLine: boolean) {
    this.limits = limits
    this.#events = events
    this.#faults = faults
    this.#line = new ChunkLine(limits.chunkLineBytes)
    this.#emptyLineAtFirst = emptyLine ? 0 : 2
    this.#emptyLine = this.#emptyLineAtFirst
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
    const length = bytes.length
    let at = from
    while (at < length) {
      switch (this.#state) {
        case 'head':
          at = this.#readHead(bytes, at)
          if (this.#isBetween()) return at
          break
        case 'length': {
          const end = Math.min(length, at + this.#left)
          const part = at === 0 && end === length ? bytes : bytes.subarray(at, end)
          this.#left -= end - at
          at = end
          if (this.#left > 0) {
            this.#events.data(part)
            return at
          }
          this.#begin()
          this.#events.data(part)
          this.#events.end(noFields.fields)
          return at
        }
        case 'close':
          this.#events.data(at === 0 ? bytes : bytes.subarray(at))
          return length
        case 'chunk line':
          at = this.#readChunkLine(bytes, at)
          break
        case 'chunk': {
          const end = Math.min(length, at + this.#left)
          const part = at === 0 && end === length ? bytes : bytes.subarray(at, end)
          this.#left -= end - at
          at = end
          if (this.#left === 0) this.#state = 'chunk cr'
          this.#events.data(part)
          break
        }
        case 'chunk cr':
          if (bytes[at] !== carriageReturn) return this.#refuseAt(this.#faults.chunk, at)
          this.#state = 'chunk lf'
          at += 1
          break
        case 'chunk lf':
          if (bytes[at] !== lineFeed) return this.#refuseAt(this.#faults.chunk, at)
          this.#state = 'chunk line'
          at += 1
          break
        case 'trailers':
          at = this.#readTrailers(bytes, at)
          if (this.#isBetween()) return at
          break
        case 'refused':
          return at
        default:
          this.#state satisfies never
      }
    }
    return at
  }

  /** The peer sends nothing more. */
  finish(): void {
    if (this.#state === 'close') {
      this.#begin()
      this.#events.end(noFields.fields)
    } else if (this.inHead || this.inMessage || (this.#interim && this.#state !== 'refused')) this.#refuse(this.#faults.ended)
  }

  /** Judges a head without its empty line, and keeps it for `announce`. `incomplete`: it ends too early to tell. */
  protected abstract judge(text: string): WireRefusal | undefined

  /** The framing of the head that was judged last; `undefined`: it is an interim one, and another head follows. */
  protected abstract framing(): Framing | undefined

  /** Gives the head that was judged last to its events. */
  protected abstract announce(): void

  /** Between two messages, when all that was read of the last one is dealt with. */
  #isBetween(): boolean {
    return this.#state === 'head' && this.#kept.length === 0 && !this.#interim
  }

  #begin(): void {
    this.#state = 'head'
    this.#emptyLine = this.#emptyLineAtFirst
  }

  #readHead(bytes: Buffer, from: number): number {
    let at = from
    if (this.#kept.length > 0) return this.#keep(bytes, at, this.limits.headBytes)
    // One empty line before a request is passed over (RFC 9112 section 2.2).
    for (; this.#emptyLine < 2 && at < bytes.length; at += 1) {
      if (bytes[at] !== headEnd[this.#emptyLine]) {
        if (this.#emptyLine === 1) return this.#refuseAt(this.#faults.emptyLine, at)
        break
      }
      this.#emptyLine += 1
    }
    if (at === bytes.length) return at
    const end = emptyLineIn(bytes, at)
    if (end < 0 || end + 2 - at > this.limits.headBytes) return this.#keep(bytes, at, this.limits.headBytes)
    return this.#complete(bytes.toString('latin1', at, end + 2), end + headEnd.length)
  }

  /** Adds to what is kept of a block that ends with an empty line, and reads it when it is complete. */
  #keep(bytes: Buffer, from: number, most: number): number {
    const kept = this.#kept
    const before = kept.length
    kept.add(from === 0 ? bytes : bytes.subarray(from))
    const all = kept.view()
    // Only the last bytes of what was kept can be a part of the end that is looked for.
    const end = emptyLineIn(all, Math.max(0, before - 3))
    if (end >= 0 && end + 2 <= most) {
      const text = all.toString('latin1', 0, end + 2)
      kept.clear()
      return this.#complete(text, from + end + headEnd.length - before)
    }
    const refused = this.#judgeEarly(all, before, most)
    return refused ? this.#refuseAt(refused, bytes.length) : bytes.length
  }

  /**
   * What is wrong already with a block that is not complete. It is judged when it begins, when its first line is there, and at a bare
   * LF, which no peer that waits for an answer would complete; its first fault is the same as if all of it had come at once.
   */
  #judgeEarly(all: Buffer, before: number, most: number): WireRefusal | undefined {
    // Two more bytes could still be the empty line.
    const over = all.length >= most + 2
    const seen = over ? all.subarray(0, most + 2) : all
    const fault = over || this.#isWorthJudging(seen, before) ? this.#judgeText(withoutEnd(seen.toString('latin1'))) : undefined
    if (fault && fault !== incomplete) return fault
    if (!over) return undefined
    return this.#state === 'trailers' ? this.#faults.trailersTooLarge : this.#faults.headTooLarge
  }

  #isWorthJudging(all: Buffer, before: number): boolean {
    if (before === 0) return true
    const firstLine = all.indexOf(lineFeed)
    if (firstLine >= before) return true
    for (let at = firstLine < 0 ? -1 : all.indexOf(lineFeed, before); at >= 0; at = all.indexOf(lineFeed, at + 1))
      if (all[at - 1] !== carriageReturn) return true
    return false
  }

  #judgeText(text: string): WireRefusal | undefined {
    if (this.#state === 'head') return this.judge(text)
    const trailers = this.#readTrailerFields(text)
    return 'code' in trailers ? trailers : undefined
  }

  /** A head or a trailer block is there, without its empty line; `at` is behind that. */
  #complete(text: string, at: number): number {
    if (this.#state === 'trailers') return this.#completeTrailers(text, at)
    const refused = this.judge(text)
    if (refused) return this.#refuseAt(refused, at)
    const framing = this.framing()
    this.#interim = framing === undefined
    this.#emptyLine = this.#emptyLineAtFirst
    if (framing?.kind === 'length') {
      this.#left = framing.length
      this.#state = 'length'
    } else if (framing?.kind === 'chunked') {
      this.#line.reset()
      this.#state = 'chunk line'
    } else if (framing?.kind === 'close') this.#state = 'close'
    this.announce()
    if (framing?.kind === 'none') this.#events.end(noFields.fields)
    return at
  }

  #readChunkLine(bytes: Buffer, from: number): number {
    const whole = this.#line.readWhole(bytes, from)
    if (whole > 0) {
      this.#enterChunk(this.#line.size)
      return from + whole
    }
    for (let at = from; at < bytes.length; at += 1) {
      const step = this.#line.read(bytes[at] ?? 0)
      if (step === 'more') continue
      if (step === 'done') {
        this.#enterChunk(this.#line.size)
        return at + 1
      }
      return this.#refuseAt(step === 'bad size' ? this.#faults.chunk : this.#faults.extension, at)
    }
    return bytes.length
  }

  #enterChunk(size: number): void {
    this.#left = size
    this.#state = size > 0 ? 'chunk' : 'trailers'
  }

  #readTrailers(bytes: Buffer, from: number): number {
    if (this.#kept.length === 0) {
      if (bytes[from] === carriageReturn && bytes[from + 1] === lineFeed) return this.#end(noFields, from + 2)
      // With the end of the line before it, a block ends like a head, and an empty one too.
      this.#kept.add(lineEnd)
    }
    return this.#keep(bytes, from, this.limits.trailerBytes + lineEnd.length)
  }

  #completeTrailers(text: string, at: number): number {
    const trailers = this.#readTrailerFields(text)
    if ('code' in trailers) return this.#refuseAt(trailers, at)
    for (let i = 0; i < trailers.ids.length; i += 1) {
      if (isTrailer(trailers.ids[i] ?? 0)) continue
      return this.#refuseAt(refusal(this.#faults.chunk.code, `${trailers.fields[2 * i]} may not be a trailer`), at)
    }
    return this.#end(trailers, at)
  }

  #readTrailerFields(text: string): FieldBlock | WireRefusal {
    const trailers = readFields(text, lineEnd.length, this.limits.headers)
    return 'code' in trailers && trailers !== incomplete ? this.#faults.ofFields(trailers) : trailers
  }

  #end(trailers: FieldBlock, at: number): number {
    this.#begin()
    this.#events.end(trailers.fields)
    return at
  }

  #refuse(refused: WireRefusal): void {
    this.#state = 'refused'
    this.#kept.clear()
    this.#events.refuse(refused)
  }

  #refuseAt(refused: WireRefusal, at: number): number {
    this.#refuse(refused)
    return at
  }
}

/** A text that ends with a line could be taken for a whole block; without its last LF it is one that goes on. */
function withoutEnd(text: string): string {
  return text.endsWith('\r\n') ? text.slice(0, -1) : text
}

/**
 * Where the line end before the first empty line is, or -1. Its last byte is looked for four bytes apart: for so short a text, a call of
 * `indexOf` costs more.
 */
function emptyLineIn(bytes: Uint8Array, from: number): number {
  let at = from + 3
  while (at < bytes.length) {
    const byte = bytes[at]
    if (byte === carriageReturn) at += 1
    else if (byte !== lineFeed) at += 4
    else if (bytes[at - 1] === carriageReturn && bytes[at - 2] === lineFeed && bytes[at - 3] === carriageReturn) return at - 3
    else at += 2
  }
  return -1
}
