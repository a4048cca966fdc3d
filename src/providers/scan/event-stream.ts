/**
 * AWS's event stream: binary frames with headers and checksums. Source: smithy.io/2.0/aws/amazon-eventstream.html. A frame is
 * total length (4 bytes, big-endian), length of the headers (4), CRC-32 of those eight (4), headers, payload, CRC-32 of all (4).
 */
import { crc32 } from 'node:zlib'

export interface Frame {
  /** String headers by name, such as `:event-type`; others are left out. */
  readonly headers: ReadonlyMap<string, string>
  readonly payload: Uint8Array
}

/** Bytes of the largest frame that is read: the format's own limit is 16 MiB of payload and 128 KiB of headers. */
const mostFrame = (16 << 20) + (128 << 10) + 16
const prelude = 12
const trailer = 4

/** Splits frames as their bytes come by. Holds one frame at most; what is no frame makes it lost. */
export class FrameScanner {
  /** Checksums or lengths are wrong: nothing after it is read. */
  lost = false
  readonly #onFrame: (frame: Frame) => void
  #held: Buffer[] = []
  #size = 0

  constructor(onFrame: (frame: Frame) => void) {
    this.#onFrame = onFrame
  }

  /** Every frame that began has ended. */
  get between(): boolean {
    return this.#size === 0
  }

  push(chunk: Uint8Array): void {
    if (this.lost || chunk.length === 0) return
    this.#held.push(Buffer.from(chunk))
    this.#size += chunk.length
    while (!this.lost && this.#size >= prelude) {
      const head = this.#peek(prelude)
      const total = head.readUInt32BE(0)
      const headers = head.readUInt32BE(4)
      if (crc32(head.subarray(0, 8)) !== head.readUInt32BE(8) || total > mostFrame || total < prelude + headers + trailer) {
        this.#lose()
        return
      }
      if (this.#size < total) return
      const bytes = this.#peek(total)
      this.#held = this.#size > total ? [this.#peek(this.#size).subarray(total)] : []
      this.#size -= total
      if (crc32(bytes.subarray(0, total - trailer)) !== bytes.readUInt32BE(total - trailer)) this.#lose()
      else
        this.#onFrame({
          headers: readHeaders(bytes.subarray(prelude, prelude + headers)),
          payload: bytes.subarray(prelude + headers, total - trailer),
        })
    }
  }

  #lose(): void {
    this.lost = true
    this.#held = []
    this.#size = 0
  }

  /** The first bytes of what is held, joined where they stand apart. */
  #peek(length: number): Buffer {
    if ((this.#held[0]?.length ?? 0) < length) this.#held = [Buffer.concat(this.#held)]
    return (this.#held[0] ?? Buffer.alloc(0)).subarray(0, length)
  }
}

/** Bytes of a value by its type; strings and byte arrays tell their length themselves. */
const valueLengths: Readonly<Record<number, number>> = { 0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16 }
const byteArray = 6
const string = 7

function readHeaders(bytes: Buffer): ReadonlyMap<string, string> {
  const headers = new Map<string, string>()
  let at = 0
  while (at < bytes.length) {
    const nameEnd = at + 1 + (bytes[at] ?? 0)
    const type = bytes[nameEnd]
    if (type === undefined) break
    const name = bytes.toString('utf8', at + 1, nameEnd)
    if (type === string || type === byteArray) {
      if (nameEnd + 3 > bytes.length) break
      const end = nameEnd + 3 + bytes.readUInt16BE(nameEnd + 1)
      if (type === string) headers.set(name, bytes.toString('utf8', nameEnd + 3, end))
      at = end
      continue
    }
    const length = valueLengths[type]
    if (length === undefined) break
    at = nameEnd + 1 + length
  }
  return headers
}

/** A frame with string headers. */
export function writeFrame(headers: Readonly<Record<string, string>>, payload: Uint8Array): Buffer {
  const written = Object.entries(headers).map(([name, value]) => {
    const length = Buffer.alloc(3)
    length.writeUInt8(string, 0)
    length.writeUInt16BE(Buffer.byteLength(value), 1)
    return Buffer.concat([Buffer.of(Buffer.byteLength(name)), Buffer.from(name), length, Buffer.from(value)])
  })
  const head = Buffer.concat(written)
  const frame = Buffer.alloc(prelude + head.length + payload.length + trailer)
  frame.writeUInt32BE(frame.length, 0)
  frame.writeUInt32BE(head.length, 4)
  frame.writeUInt32BE(crc32(frame.subarray(0, 8)), 8)
  head.copy(frame, prelude)
  frame.set(payload, prelude + head.length)
  frame.writeUInt32BE(crc32(frame.subarray(0, frame.length - trailer)), frame.length - trailer)
  return frame
}
