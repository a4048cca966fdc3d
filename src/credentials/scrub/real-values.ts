import { inspect } from 'node:util'
import { decodePercent } from '../swap/query-string.ts'
import { type RealValue, ValueFinder } from './value-finder.ts'

export type { RealValue }

/**
 * Every real value in force, for finding one where an agent should not have it. Built when the values change, asked on
 * each request. It does not print.
 */
export class RealValues {
  readonly #finder: ValueFinder

  constructor(values: Iterable<RealValue>) {
    this.#finder = new ValueFinder(values)
  }

  /** The credential whose real value stands in a text (one character a byte), in any usual spelling. */
  find(text: string): string | undefined {
    if (this.#finder.isEmpty) return undefined
    return this.#search(text, 'latin1') ?? (text.includes('%') ? this.#search(decodePercent(text), 'utf8') : undefined)
  }

  /** The same for all of a request head. No part of it holds a line break, so no value goes over two of them. */
  findInHead({
    path,
    query,
    headers,
  }: {
    readonly path: string
    readonly query: string
    readonly headers: readonly string[]
  }): string | undefined {
    if (this.#finder.isEmpty) return undefined
    let found = this.#findInPart(query === '' ? path : path + query)
    for (let i = 0; found === undefined && i < headers.length; i += 1) found = this.#findInPart(headers[i] as string)
    return found
  }

  /** The same for a body as it streams by. */
  watch(): RealValueWatch {
    return new RealValueWatch(this.#finder)
  }

  #findInPart(text: string): string | undefined {
    // Most parts hold neither a value nor a percent sign, and are done with here.
    return this.#finder.isInText(text) || text.includes('%') ? this.find(text) : undefined
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
  readonly #finder: ValueFinder
  #tail: Uint8Array = new Uint8Array(0)

  constructor(finder: ValueFinder) {
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
