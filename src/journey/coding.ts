/** Content codings of a whole body that is in memory (RFC 9110 section 8.4). */
import { brotliDecompressSync, constants, gunzipSync, inflateRawSync, inflateSync, zstdDecompressSync } from 'node:zlib'

/** 8 MiB (RFC 9659 section 3). */
const zstdWindow = { params: { [constants.ZSTD_d_windowLogMax]: 23 } } as const

/** Stacked codings past this are no client's wish. */
const most = 3

/**
 * The body without its codings, at most `limit` bytes of it; `undefined`: it is broken, or coded in a way nobody here
 * knows. `codings`: the value of Content-Encoding, empty when there is none.
 */
export function decodeWhole(body: Uint8Array, codings: string, limit: number): Uint8Array | 'too long' | undefined {
  const names = codings
    .split(',')
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== '' && name !== 'identity')
  if (names.length > most) return undefined
  let decoded = body
  for (const name of names.toReversed()) {
    const next = decodeOnce(decoded, name, limit)
    if (!next || next === 'too long') return next
    decoded = next
  }
  return decoded
}

function decodeOnce(body: Uint8Array, name: string, maxOutputLength: number): Uint8Array | 'too long' | undefined {
  try {
    switch (name) {
      case 'gzip':
      case 'x-gzip':
        return gunzipSync(body, { maxOutputLength })
      case 'br':
        return brotliDecompressSync(body, { maxOutputLength })
      case 'zstd':
        return zstdDecompressSync(body, { maxOutputLength, ...zstdWindow })
      case 'deflate':
        // zlib by the letter, raw by some clients: the first byte tells (RFC 1950 section 2.2).
        return ((body[0] ?? 0) & 0x0f) === 8 ? inflateSync(body, { maxOutputLength }) : inflateRawSync(body, { maxOutputLength })
      default:
        return undefined
    }
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE' ? 'too long' : undefined
  }
}
