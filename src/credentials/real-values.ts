import { inspect } from 'node:util'
import type { Secret } from '#base/secret.ts'
import { Finder } from './finder.ts'
import { decodePercent } from './query-string.ts'
import { type Spelling, spellings } from './spellings.ts'

/** A real value in force. */
export interface RealValue {
  readonly credential: string
  readonly secret: Secret
}

interface Known extends Spelling {
  readonly credential: string
}

/**
 * Every real value in force, for finding one where an agent should not have it. Built when the values change, asked on
 * each request. Values under eight bytes are not searched for: they would turn up by chance. It does not print.
 */
export class RealValues {
  readonly #finder: Finder<Known>

  constructor(values: Iterable<RealValue>) {
    this.#finder = new Finder(
      Array.from(values).flatMap(({ credential, secret }) =>
        spellings(secret.expose(), '').map((spelling) => ({ ...spelling, credential })),
      ),
    )
  }

  /** The credential whose real value stands in a text (one character a byte), in any usual spelling. */
  find(text: string): string | undefined {
    if (this.#finder.longest === 0) return undefined
    return this.#search(text, 'latin1') ?? (text.includes('%') ? this.#search(decodePercent(text), 'utf8') : undefined)
  }

  /** The same for all of a request head, in one pass. */
  findInHead(head: { readonly path: string; readonly query: string; readonly headers: readonly string[] }): string | undefined {
    // No part of a head holds a line break, so no value is made up where two parts meet.
    return this.find(`${head.path}${head.query}\n${head.headers.join('\n')}`)
  }

  /** The same for a body as it streams by. */
  watch(): RealValueWatch {
    return new RealValueWatch(this.#finder)
  }

  #search(text: string, encoding: 'latin1' | 'utf8'): string | undefined {
    return this.#finder.find(Buffer.from(text, encoding), 0)?.pattern.credential
  }

  toJSON(): string {
    return '[real values]'
  }

  [inspect.custom](): string {
    return '[real values]'
  }
}

/** Looks for real values in one stream of bytes, across all chunk edges. Nothing is held up. */
export class RealValueWatch {
  readonly #finder: Finder<Known>
  #tail: Uint8Array = new Uint8Array(0)

  constructor(finder: Finder<Known>) {
    this.#finder = finder
  }

  /** The credential whose real value ends in this chunk. */
  feed(chunk: Uint8Array): string | undefined {
    const data = this.#tail.length === 0 ? chunk : Buffer.concat([this.#tail, chunk])
    // A copy: the caller may use its chunk again.
    this.#tail = Uint8Array.from(data.subarray(this.#finder.heldFrom(data, 0)))
    return this.#finder.find(data, 0)?.pattern.credential
  }
}
