import { ProxyError } from '#base/errors.ts'
import type { RequestBody } from './ports.ts'

/** Reads a body to its end. Throws `body_too_large` as soon as it is known to have more than `cap` bytes. */
export async function readWhole(body: RequestBody, cap: number): Promise<Uint8Array> {
  if ((body.length ?? 0) > cap) throw tooLarge(cap)
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of body.chunks) {
    size += chunk.length
    if (size > cap) throw tooLarge(cap)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function tooLarge(cap: number): ProxyError {
  return new ProxyError('body_too_large', `the body has to be read whole here, and has more than ${cap} bytes`)
}

/** A body that is in memory, in place of the one it was read from. */
export function wholeBody(body: RequestBody, bytes: Uint8Array): RequestBody {
  return { ...body, chunks: once(bytes), length: bytes.length }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  if (bytes.length > 0) yield bytes
}
