import { ProxyError } from '#base/errors.ts'
import { MemoryAccount } from '#base/memory-account.ts'
import type { RequestBody } from './ports.ts'

/** Bytes of all bodies together that are kept at once: agents choose how many requests they send, and how long. */
export const mostKept = 512 << 20

/** The memory that all exchanges share for bodies that must be read whole. */
export class BodyMemory {
  readonly #account: MemoryAccount

  constructor(most = mostKept) {
    // One share for all: the caller does not pass the agent yet, so no part may be smaller than the whole.
    this.#account = new MemoryAccount({ bytes: most, unknownBytes: most })
  }

  /** Bytes that are kept now. */
  get kept(): number {
    return this.#account.held
  }

  /** The part of one exchange, which gives everything back when it is disposed. */
  open(): Disposable & Required<Pick<RequestBody, 'keep'>> {
    const share = this.#account.open(undefined)
    return {
      keep: (bytes) => {
        if (!share.take(bytes)) throw new ProxyError('overloaded', 'too many bodies that must be read whole are under way')
      },
      [Symbol.dispose]: () => share[Symbol.dispose](),
    }
  }
}

/** Reads a body to its end. Throws `body_too_large` as soon as it is known to have more than `cap` bytes, and what `keep` throws. */
export async function readWhole(body: RequestBody, cap: number): Promise<Uint8Array> {
  if ((body.length ?? 0) > cap) throw tooLarge(cap)
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of body.chunks) {
    size += chunk.length
    if (size > cap) throw tooLarge(cap)
    body.keep?.(chunk.length)
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
