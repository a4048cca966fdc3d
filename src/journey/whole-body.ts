import { ProxyError } from '#base/errors.ts'
import type { RequestBody } from '#contracts/request.ts'

/** Bytes that a body of unknown length gets first; its buffer doubles from there. */
const firstBytes = 16 * 1024

/**
 * Reads a body to its end, into one buffer. Throws `body_too_large` as soon as it is known to have more than `cap` bytes, and
 * `overloaded` when its agent has no room left for it: at once where it says its length, before a byte is read. `seen` looks at the
 * bytes as they come, so that no one piece of work grows with the body.
 */
export async function readWhole(body: RequestBody, cap: number, seen?: (bytes: Uint8Array) => void): Promise<Uint8Array> {
  if ((body.length ?? 0) > cap) throw tooLarge(cap)
  if (body.chunks instanceof Whole) {
    seen?.(body.chunks.bytes)
    return body.chunks.bytes
  }
  // A list of chunks would cost an object for each, and an agent may send chunks of one byte.
  let room = allot(body, body.length ?? Math.min(firstBytes, cap))
  let size = 0
  for await (const chunk of body.chunks) {
    const next = size + chunk.length
    if (next > cap) throw tooLarge(cap)
    if (next > room.length) {
      const larger = allot(body, Math.min(cap, Math.max(next, 2 * room.length)))
      larger.set(room.subarray(0, size))
      body.room?.give(room.length)
      room = larger
    }
    room.set(chunk, size)
    seen?.(chunk)
    size = next
  }
  return room.subarray(0, size)
}

/** The bytes are counted before they are there. */
function allot({ room }: RequestBody, bytes: number): Buffer {
  if (room && !room.take(bytes)) throw new ProxyError('overloaded', 'too many bodies that must be read whole are under way')
  return Buffer.allocUnsafe(bytes)
}

function tooLarge(cap: number): ProxyError {
  return new ProxyError('body_too_large', `the body has to be read whole here, and has more than ${cap} bytes`)
}

/** A body that is in memory, in place of the one it was read from. */
export function wholeBody(body: RequestBody, bytes: Uint8Array): RequestBody {
  return { ...body, chunks: new Whole(bytes), length: bytes.length }
}

/** Its bytes are in memory, and counted. */
export function isWhole({ chunks }: RequestBody): boolean {
  return chunks instanceof Whole
}

/** The bytes of a body that is in memory; `undefined`: it is not. */
export function bytesOf({ chunks }: RequestBody): Uint8Array | undefined {
  return chunks instanceof Whole ? chunks.bytes : undefined
}

/** The chunks of a body that is in memory: reading it whole once more copies nothing. */
class Whole implements AsyncIterable<Uint8Array> {
  readonly bytes: Uint8Array

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    if (this.bytes.length > 0) yield this.bytes
  }
}
