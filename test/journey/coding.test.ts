import { randomBytes } from 'node:crypto'
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { decodeWhole } from '#journey/coding.ts'

const body = Buffer.from(`{"model":"m","text":"${randomBytes(200).toString('hex')}"}`)

describe('a body in memory', () => {
  it.each([
    ['', body],
    ['identity', body],
    ['gzip', gzipSync(body)],
    ['X-GZIP', gzipSync(body)],
    ['deflate', deflateSync(body)],
    ['deflate', deflateRawSync(body)],
    ['br', brotliCompressSync(body)],
    ['zstd', zstdCompressSync(body)],
    ['gzip, zstd', zstdCompressSync(gzipSync(body))],
  ])('coded as %j is read', (codings, sent) => {
    expect(Buffer.from(decodeWhole(sent, codings, 10_000) ?? '').equals(body)).toBe(true)
  })

  it.each([
    ['in a coding nobody knows', 'compress', body],
    ['that is not what it says', 'gzip', body],
    ['that is cut off', 'gzip', gzipSync(body).subarray(0, 40)],
    ['in more codings than anybody wants', 'gzip, gzip, gzip, gzip', body],
  ])('%s is not', (_what, codings, sent) => {
    expect(decodeWhole(sent, codings, 10_000)).toBeUndefined()
  })

  it.each([
    ['zstd', zstdCompressSync(Buffer.alloc(1 << 20))],
    ['gzip, br', brotliCompressSync(gzipSync(Buffer.alloc(1 << 20)))],
  ])('that grows past the limit in %s is too long', (codings, sent) => {
    expect(decodeWhole(sent, codings, 10_000)).toBe('too long')
  })

  it('asks in vain for a zstd window past 8 MiB (RFC 9659)', () => {
    // A frame of one raw block, with a window of 16 MiB (RFC 8878 section 3.1.1).
    const frame = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 14 << 3, 0x11, 0x00, 0x00, 0x68, 0x69])
    expect(decodeWhole(frame, 'zstd', 10_000)).toBeUndefined()
  })
})
