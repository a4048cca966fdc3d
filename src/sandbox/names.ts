/** DNS inside a sandbox whose agent the proxy does not know by address: every name is at the doors, and the proxy refuses what it must. */
import type { Socket } from 'node:net'

const header = 12
const typeA = 1
/** Seconds: a sandbox has one address as long as it is there. */
const ttl = 60

/** Calls back with each message of a stream (RFC 1035 section 4.2.2), without its length. */
export function framesIn(socket: Socket, take: (message: Buffer) => void): void {
  let bytes = Buffer.alloc(0)
  socket.on('data', (chunk: Buffer) => {
    bytes = Buffer.concat([bytes, chunk])
    while (bytes.length >= 2 && bytes.length >= 2 + bytes.readUInt16BE(0)) {
      const length = bytes.readUInt16BE(0)
      take(bytes.subarray(2, 2 + length))
      bytes = bytes.subarray(2 + length)
    }
  })
}

/** A message with its length before it. */
export function framed(message: Buffer): Buffer {
  const length = Buffer.alloc(2)
  length.writeUInt16BE(message.length)
  return Buffer.concat([length, message])
}

/** An answer of 127.0.0.1 to a question of type A, and an empty one to every other; framed. `undefined`: it is no single question. */
export function answerLocally(query: Buffer): Buffer | undefined {
  const end = questionEnd(query)
  if (end === undefined || query.readUInt16BE(4) !== 1 || ((query[2] ?? 0) & 0xf8) !== 0) return undefined
  const isA = query.readUInt16BE(end - 4) === typeA
  const head = Buffer.alloc(header)
  query.copy(head, 0, 0, 2)
  // A response, recursion as asked, recursion available.
  head.writeUInt16BE(0x8080 | (query.readUInt16BE(2) & 0x0100), 2)
  head.writeUInt16BE(1, 4)
  head.writeUInt16BE(isA ? 1 : 0, 6)
  const record = Buffer.from([0xc0, header, 0, typeA, 0, 1, 0, 0, 0, ttl, 0, 4, 127, 0, 0, 1])
  return framed(Buffer.concat([head, query.subarray(header, end), ...(isA ? [record] : [])]))
}

/** Offset behind the first question; `undefined`: there is none whole. */
function questionEnd(query: Buffer): number | undefined {
  let at = header
  while (at < query.length && query[at] !== 0) {
    if ((query[at] ?? 0) > 63) return undefined
    at += 1 + (query[at] ?? 0)
  }
  const end = at + 5
  return end <= query.length ? end : undefined
}
