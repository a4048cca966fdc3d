/** Told as an event stream comes by. */
export interface SseHandler {
  /** Bytes of the data of the event that is open, from `start` to before `end`; its lines are joined by a line feed. */
  data(bytes: Uint8Array, start: number, end: number): void
  /**
   * The event is whole. `name`: what its `event:` line says, or empty. It stands in `bytes` from `start` to before `end`; `start` is -1 if
   * some of it came before.
   */
  event(name: string, bytes: Buffer, start: number, end: number): void
  /** An event begins here. Gives where to read on: further on, where what begins here need not be read. */
  skip?(bytes: Buffer, start: number): number
}

const lineFeed = 0x0a
const carriageReturn = 0x0d
const colon = 0x3a
const space = 0x20
const newline = Buffer.from('\n')
const byteOrderMark = Buffer.from([0xef, 0xbb, 0xbf])
/** Bytes of a field name or of an event's name that are kept. */
const mostName = 64

/**
 * Splits an event stream (HTML Living Standard, section 9.2.6) without collecting anything: a line of many megabytes passes
 * through as it comes. Lines end with LF, CR or both. Any split of the bytes gives the same. A last event without its empty
 * line counts when the stream ends.
 */
export class SseScanner {
  readonly #handler: SseHandler
  #field = ''
  #part: 'name' | 'space' | 'value' = 'name'
  #name = ''
  /** The event has data. */
  #hasData = false
  #afterCarriageReturn = false
  #seen = 0

  constructor(handler: SseHandler) {
    this.#handler = handler
  }

  push(chunk: Uint8Array): void {
    const bytes = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    let at = 0
    // Only the first bytes of all may be a byte order mark.
    while (at < bytes.length && this.#seen < 3 && bytes[at] === byteOrderMark[this.#seen]) {
      this.#seen += 1
      at += 1
    }
    if (at < bytes.length) this.#seen = 3
    // Looked for once: a stream may have many lines that end in carriage returns.
    let feed = bytes.indexOf(lineFeed, at)
    /** Where the event that is open began. */
    let start = -1
    while (at < bytes.length) {
      if (this.#afterCarriageReturn) {
        this.#afterCarriageReturn = false
        if (bytes[at] === lineFeed) {
          at += 1
          continue
        }
      }
      if (this.#between) {
        start = at
        const next = this.#handler.skip?.(bytes, at) ?? at
        if (next > at) {
          at = next
          continue
        }
      }
      if (feed >= 0 && feed < at) feed = bytes.indexOf(lineFeed, at)
      const end = lineEnd(bytes, at, feed)
      this.#read(bytes, at, end < 0 ? bytes.length : end)
      if (end < 0) return
      this.#afterCarriageReturn = bytes[end] === carriageReturn
      at = end + 1
      this.#endLine(bytes, start, at)
    }
  }

  /** The stream is over. */
  end(): void {
    if (this.#field !== '' || this.#part !== 'name') this.#endLine(newline, -1, 0)
    this.#dispatch(newline, -1, 0)
  }

  /** Nothing of an event is open. */
  get #between(): boolean {
    return !this.#hasData && this.#part === 'name' && this.#field === '' && this.#name === ''
  }

  #read(bytes: Buffer, start: number, end: number): void {
    let at = start
    while (this.#part === 'name' && at < end) {
      const byte = bytes[at] ?? 0
      at += 1
      if (byte === colon) {
        this.#part = 'space'
        if (this.#field === 'event') this.#name = ''
        if (this.#field === 'data') this.#openData()
      } else if (this.#field.length < mostName) this.#field += String.fromCharCode(byte)
    }
    if (this.#part === 'space' && at < end) {
      this.#part = 'value'
      if (bytes[at] === space) at += 1
    }
    if (this.#part !== 'value' || at >= end) return
    if (this.#field === 'data') this.#handler.data(bytes, at, end)
    else if (this.#field === 'event') this.#name = (this.#name + bytes.toString('latin1', at, end)).slice(0, mostName)
  }

  #endLine(bytes: Buffer, start: number, end: number): void {
    // A line that is a field name and nothing else has an empty value.
    if (this.#part === 'name' && this.#field === 'data') this.#openData()
    const empty = this.#field === '' && this.#part === 'name'
    this.#field = ''
    this.#part = 'name'
    if (empty) this.#dispatch(bytes, start, end)
  }

  #openData(): void {
    if (this.#hasData) this.#handler.data(newline, 0, newline.length)
    this.#hasData = true
  }

  #dispatch(bytes: Buffer, start: number, end: number): void {
    if (this.#hasData) this.#handler.event(this.#name, bytes, start, end)
    this.#hasData = false
    this.#name = ''
  }
}

/** `feed`: where the next line feed is, or -1. */
function lineEnd(bytes: Buffer, from: number, feed: number): number {
  const to = feed < 0 ? bytes.length : feed
  const back = bytes.subarray(from, to).indexOf(carriageReturn)
  return back < 0 ? feed : from + back
}
