/**
 * Finds real values in bytes, in every usual spelling. Ciphers, compression, split or re-ordered text and encodings of encodings
 * (but for base64 in a URL or in JSON) are not among them, and neither is UTF-7, which no browser reads any more.
 */
import { inspect } from 'node:util'
import type { Secret } from '#base/secret.ts'
import { CharacterFinder } from './character-finder.ts'
import { Finder, type Match } from './finder.ts'
import { type Spelling, spellings } from './spellings.ts'

/** A real value in force. */
export interface RealValue {
  readonly credential: string
  readonly secret: Secret
  /** What to show in its place; left out where it is only looked for. */
  readonly stub?: string | undefined
}

/** A value that was found, and what to write in its place: the stub as it is, or encoded as the value was. */
export interface FoundValue extends Pick<Spelling, 'stub' | 'lead' | 'trail'> {
  readonly credential: string
}

/** Shorter values, in bytes, are not searched for: they would turn up by chance, and betray themselves by vanishing. */
export const shortestSearched = 8

export class ValueFinder {
  readonly #whole: Finder<Spelling & FoundValue>
  readonly #characters: CharacterFinder<FoundValue>
  readonly isEmpty: boolean

  /** Costs a few milliseconds, and a tenth of one for each value: keep it for as long as the values stay. */
  constructor(values: Iterable<RealValue>) {
    const searched = Array.from(values, ({ credential, secret, stub = '' }) => ({
      credential,
      stub,
      text: secret.expose(),
    })).filter(({ text }) => Buffer.byteLength(text) >= shortestSearched)
    this.isEmpty = searched.length === 0
    this.#whole = new Finder(
      searched.flatMap(({ credential, stub, text }) => spellings(text, stub).map((spelling) => ({ ...spelling, credential }))),
    )
    this.#characters = new CharacterFinder(
      searched.map(({ credential, stub, text }) => ({ text, kind: { credential, stub: Buffer.from(stub, 'latin1') } })),
    )
  }

  /** The first match that begins at `from` or later; of those that begin at one place the longest. */
  find(bytes: Uint8Array, from: number): Match<FoundValue> | undefined {
    return this.search(bytes).next(from)
  }

  /** Whether there is a match at all: what most chunks are asked, and are done with. */
  isIn(bytes: Uint8Array): boolean {
    return this.#whole.find(bytes, 0) !== undefined || this.#characters.find(bytes, 0) !== undefined
  }

  /** The same of a text, one character a byte. */
  isInText(text: string): boolean {
    // Texts that may hold one are few: only those become bytes.
    return (this.#whole.mayBeIn(text) || this.#characters.mayBeIn(text)) && this.isIn(Buffer.from(text, 'latin1'))
  }

  /** Gives one match after another of the same bytes, and looks at none of them twice. */
  search(bytes: Uint8Array): Search {
    return new Search(this.#whole, this.#characters, bytes)
  }

  /**
   * Where, at `from` or later, a match may have begun that would end past these bytes, or the byte before that belongs to it;
   * their length, if nowhere. What stands before that place can be passed on.
   */
  heldFrom(bytes: Uint8Array, from: number): number {
    return Math.min(this.#whole.heldFrom(bytes, from), this.#characters.heldFrom(bytes, from))
  }

  toJSON(): string {
    return '[real values]'
  }

  [inspect.custom](): string {
    return '[real values]'
  }
}

/** One pass over some bytes. */
export class Search {
  readonly #finders: readonly [Finder<Spelling & FoundValue>, CharacterFinder<FoundValue>]
  readonly #bytes: Uint8Array
  // `undefined`: there is none any more.
  #whole: Match<FoundValue> | undefined
  #spelled: Match<FoundValue> | undefined
  #begun = false

  constructor(whole: Finder<Spelling & FoundValue>, characters: CharacterFinder<FoundValue>, bytes: Uint8Array) {
    this.#finders = [whole, characters]
    this.#bytes = bytes
  }

  /** The first match that begins at `from` or later. `from` never goes back. */
  next(from: number): Match<FoundValue> | undefined {
    const [whole, characters] = this.#finders
    if (!this.#begun || (this.#whole && this.#whole.start < from)) this.#whole = whole.find(this.#bytes, from)
    if (!this.#begun || (this.#spelled && this.#spelled.start < from)) this.#spelled = characters.find(this.#bytes, from)
    this.#begun = true
    if (!this.#whole || !this.#spelled) return this.#whole ?? this.#spelled
    const earlier = this.#whole.start - this.#spelled.start || this.#spelled.end - this.#whole.end
    return earlier < 0 ? this.#whole : this.#spelled
  }
}
