const quote = 0x22
const backslash = 0x5c
const lineFeed = 0x0a
const carriageReturn = 0x0d
/** Bytes before and after the text that are remembered. Providers write a hundred or two. */
const most = 1024

/**
 * The bytes of the last event of a stream around its text. Models stream thousands of events that differ in nothing else: one that has
 * the same bytes around its text says the same, and need not be read.
 */
export class RepeatedEvent {
  /** Bytes of the text of the event that matched last, with its quotes. */
  size = 0
  #head: Buffer = nothing
  #tail: Buffer = nothing

  /** Remembers an event: its first byte, the opening quote of its text, the byte after the closing quote, and the byte after its empty line. */
  learn(bytes: Buffer, start: number, open: number, close: number, end: number): void {
    this.forget()
    const sizes = [open + 1 - start, end - close + 1]
    if (bytes[open] !== quote || bytes[close - 1] !== quote || sizes.some((size) => size < 1 || size > most)) return
    this.#head = Buffer.from(bytes.subarray(start, open + 1))
    this.#tail = Buffer.from(bytes.subarray(close - 1, end))
  }

  forget(): void {
    this.#head = nothing
    this.#tail = nothing
  }

  /** Where the event that begins here ends, if it is whole and differs in its text alone; else -1. */
  match(bytes: Buffer, start: number): number {
    const head = this.#head
    const text = start + head.length
    if (head.length === 0 || text >= bytes.length) return -1
    if (head.compare(bytes, start, text) !== 0) return -1
    let at = text
    for (; at < bytes.length; at += 1) {
      const byte = bytes[at]
      if (byte === quote) break
      if (byte === backslash) at += 1
      // A text does not go over the end of a line.
      else if (byte === lineFeed || byte === carriageReturn) return -1
    }
    const tail = this.#tail
    if (at + tail.length > bytes.length) return -1
    for (let i = 0; i < tail.length; i += 1) if (bytes[at + i] !== tail[i]) return -1
    this.size = at + 2 - text
    return at + tail.length
  }
}

const nothing = Buffer.alloc(0)
