import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'

const blockSize = 65_536

// Bytes that no compressor shortens and every run repeats.
const base = Buffer.concat(Array.from({ length: blockSize / 32 }, (_, i) => createHash('sha256').update(`block ${i}`).digest()))

/** Yields `length` bytes that are always the same; every block carries its number, so that none can be lost or swapped unseen. */
export function* pattern(length: number): Generator<Buffer> {
  for (let block = 0; block * blockSize < length; block++) {
    const bytes = Buffer.from(base)
    bytes.writeUInt32BE(block)
    yield bytes.subarray(0, Math.min(blockSize, length - block * blockSize))
  }
}

/** The pattern as a stream, made only as fast as it is read. */
export function patternStream(length: number): Readable {
  return Readable.from(pattern(length), { objectMode: false })
}

/** Hex SHA-256 of the first `length` bytes of the pattern. */
export function patternSha256(length: number): string {
  const hash = createHash('sha256')
  for (const block of pattern(length)) hash.update(block)
  return hash.digest('hex')
}
