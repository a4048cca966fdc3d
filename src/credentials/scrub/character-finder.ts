import { inspect } from 'node:util'
import { type Character, characterOf, type Place } from './character.ts'
import type { Match } from './finder.ts'

/** A value to look for, each of its characters in any spelling. */
interface Value<Kind> {
  readonly characters: readonly Character[]
  readonly kind: Kind
}

/**
 * Looks for many values at once, each character of them in any of its spellings (`characterOf`). No match holds two bytes
 * side by side that no spelling does, and most pairs of bytes are of that sort: where one ends the shortest match that could
 * begin here, all up to it is passed over unread. What is left is compared byte by byte, every pair is looked at once, and the
 * cost is linear whatever the bytes are. The values are real: none of this prints.
 */
export class CharacterFinder<Kind> {
  /** No match is longer, in bytes. */
  readonly longest: number
  readonly #window: number
  /** 1 for each two bytes that may stand side by side in a match. */
  readonly #pairs = new Uint8Array(65536)
  /** 1 for each byte that a match may begin with. */
  readonly #firsts = new Uint8Array(256)
  /** Values by the first two bytes of a match and by their first character, which most have in common with others. */
  readonly #byStart = new Map<number, Map<Character, Value<Kind>[]>>()
  /** 1 for each two bytes that a match may begin with. */
  readonly #starts = new Uint8Array(65536)
  /** Whether the last comparison came to the end of the bytes with a spelling that may go on. */
  #open = false

  /** Values of at least two characters. Of those that begin at one place the longest is found. */
  constructor(values: readonly { readonly text: string; readonly kind: Kind }[]) {
    const alphabet = new Map<string, Letter>()
    const letterOf = (text: string): Letter => {
      const letter = alphabet.get(text) ?? readLetter(text)
      alphabet.set(text, letter)
      return letter
    }
    const neighbours = new Set<string>()
    let [shortest, longest] = [64, 0]
    for (const { text, kind } of values) {
      const letters = Array.from(text, letterOf)
      shortest = Math.min(shortest, letters.length)
      longest = Math.max(longest, letters.length)
      this.#addStarts({ characters: letters.map(({ character }) => character), kind }, letters)
      letters.forEach((letter, at) => {
        const after = letters[at + 1]
        const pair = `${letter.text}${after?.text}`
        if (after && !neighbours.has(pair)) this.#addNeighbours(letter, after)
        neighbours.add(pair)
      })
    }
    for (const { pairs } of alphabet.values()) for (const pair of pairs) this.#pairs[pair] = 1
    for (const pair of softBreak) this.#pairs[pair] = 1
    this.#window = longest === 0 ? 0 : shortest
    this.longest = longest * longestSpelling
  }

  #addStarts(value: Value<Kind>, [first, second]: readonly Letter[]): void {
    if (!first || !second) return
    const across = [...first.whole].flatMap((byte) => [...second.firsts].map((next) => (byte << 8) | next))
    for (const byte of first.firsts) this.#firsts[byte] = 1
    for (const pair of new Set([...first.starts, ...across])) {
      this.#starts[pair] = 1
      const here = this.#byStart.get(pair) ?? new Map<Character, Value<Kind>[]>()
      this.#byStart.set(pair, here)
      const known = here.get(first.character)
      if (known) known.push(value)
      else here.set(first.character, [value])
    }
  }

  #addNeighbours({ lasts }: Letter, { firsts }: Letter): void {
    for (const first of firsts) {
      this.#pairs[(newline << 8) | first] = 1
      for (const last of lasts) this.#pairs[(last << 8) | first] = 1
    }
    for (const last of lasts) this.#pairs[(last << 8) | equals] = 1
  }

  /** The first match that begins at `from` or later. */
  find(bytes: Uint8Array, from: number): Match<Kind> | undefined {
    const window = this.#window
    if (window < 2) return undefined
    const pairs = this.#pairs
    const starts = this.#starts
    const last = bytes.length - window
    let start = from
    // Up to here no pair is impossible.
    let known = from
    while (start <= last) {
      const floor = known > start ? known : start
      let at = start + window - 1
      while (at > floor && pairs[((bytes[at - 1] as number) << 8) | (bytes[at] as number)] === 1) at -= 1
      known = start + window - 1
      if (at > floor) {
        start = at
        continue
      }
      const pair = ((bytes[start] as number) << 8) | (bytes[start + 1] as number)
      if (starts[pair] === 1) {
        const match = this.#matchAt(bytes, start, pair)
        if (match) return match
      }
      start += 1
    }
    return undefined
  }

  /** `false` where no value is in a text, one character a byte; the search is that of `find`, and compares nothing. */
  mayBeIn(text: string): boolean {
    const window = this.#window
    if (window < 2) return false
    const pairs = this.#pairs
    const last = text.length - window
    let start = 0
    let known = 0
    while (start <= last) {
      const floor = known > start ? known : start
      let at = start + window - 1
      while (at > floor && pairs[pairIn(text, at)] === 1) at -= 1
      known = start + window - 1
      if (at > floor) {
        start = at
        continue
      }
      if (this.#starts[pairIn(text, start + 1)] === 1) return true
      start += 1
    }
    return false
  }

  #matchAt(bytes: Uint8Array, start: number, pair: number): Match<Kind> | undefined {
    let best: Match<Kind> | undefined
    for (const [first, values] of this.#byStart.get(pair) ?? none) {
      if (!this.#begins(first, bytes, start)) continue
      for (const { characters, kind } of values) {
        const end = this.#endOf(characters, bytes, start)
        if (end > (best?.end ?? 0)) best = { start, end, pattern: kind }
      }
    }
    return best
  }

  /** Where, at `from` or later, a match may have begun that would end past these bytes; their length, if nowhere. */
  heldFrom(bytes: Uint8Array, from: number): number {
    const { length } = bytes
    if (length <= from) return length
    const pairs = this.#pairs
    const floor = Math.max(from, length - this.longest)
    let start = length - 1
    while (start > floor && pairs[((bytes[start - 1] as number) << 8) | (bytes[start] as number)] === 1) start -= 1
    for (; start < length - 1; start += 1) {
      const pair = ((bytes[start] as number) << 8) | (bytes[start + 1] as number)
      if (this.#starts[pair] !== 1) continue
      for (const [first, values] of this.#byStart.get(pair) ?? none) {
        if (!this.#begins(first, bytes, start)) continue
        for (const { characters } of values) {
          this.#endOf(characters, bytes, start)
          if (this.#open) return start
        }
      }
    }
    return this.#firsts[bytes[length - 1] as number] === 1 ? length - 1 : length
  }

  /** Whether a character stands here in any spelling, or may once there are more bytes. */
  #begins(character: Character, bytes: Uint8Array, start: number): boolean {
    this.#open = false
    const reached: number[] = []
    for (const spelling of character) this.#spell(spelling, bytes, start, reached)
    return reached.length > 0 || this.#open
  }

  /** Where a value ends that begins here, in its longest spelling; -1: it does not begin here, or is not complete. */
  #endOf(characters: readonly Character[], bytes: Uint8Array, start: number): number {
    this.#open = false
    // Two spellings of one character may begin alike, so a value may have come to several places at once.
    let places = [start]
    for (let each = 0; each < characters.length; each += 1) {
      const character = characters[each] as Character
      const reached: number[] = []
      for (const place of places) {
        for (const spelling of character) this.#spell(spelling, bytes, place, reached)
        if (each > 0) {
          const resumed = this.#afterSoftBreak(bytes, place)
          if (resumed > place) for (const spelling of character) this.#spell(spelling, bytes, resumed, reached)
        }
      }
      if (reached.length === 0) return -1
      places = reached.length === 1 ? reached : [...new Set(reached)]
    }
    return Math.max(...places)
  }

  /** Adds to `reached` where a spelling that begins at `at` may end. */
  #spell(spelling: Place, bytes: Uint8Array, at: number, reached: number[]): void {
    let place: Place | undefined = spelling
    for (let i = at; ; i += 1) {
      if (place.end) reached.push(i)
      if (place.next.size === 0) return
      if (i >= bytes.length) {
        this.#open = true
        return
      }
      place = place.next.get(bytes[i] as number)
      if (place === undefined) return
    }
  }

  /** RFC 2045 section 6.7: in quoted-printable an equals sign at the end of a line takes the line break away. */
  #afterSoftBreak(bytes: Uint8Array, at: number): number {
    if (bytes[at] !== equals) return at
    const next = at + (bytes[at + 1] === carriageReturn ? 2 : 1)
    if (next >= bytes.length) this.#open = true
    return bytes[next] === newline ? next + 1 : at
  }

  toJSON(): string {
    return '[values]'
  }

  [inspect.custom](): string {
    return '[values]'
  }
}

/** The character at a place and the one before it, as one number. */
function pairIn(text: string, at: number): number {
  return ((text.charCodeAt(at - 1) & 0xff) << 8) | (text.charCodeAt(at) & 0xff)
}

const none: readonly never[] = []
/** Bytes of the longest spelling of one character, `&DiacriticalGrave;`, behind a soft line break. */
const longestSpelling = 21
const newline = 0x0a
const carriageReturn = 0x0d
const equals = 0x3d
const softBreak = [(equals << 8) | carriageReturn, (equals << 8) | newline, (carriageReturn << 8) | newline]

/** A character with what its spellings look like from outside. Two bytes side by side are one number. */
interface Letter {
  readonly text: string
  readonly character: Character
  readonly firsts: ReadonlySet<number>
  readonly lasts: ReadonlySet<number>
  /** Bytes that are a spelling on their own. */
  readonly whole: ReadonlySet<number>
  /** Two bytes side by side, at the beginning of a spelling and anywhere in one. */
  readonly starts: ReadonlySet<number>
  readonly pairs: ReadonlySet<number>
}

function readLetter(text: string): Letter {
  const character = characterOf(text.codePointAt(0) ?? 0)
  const firsts = new Set<number>()
  const lasts = new Set<number>()
  const whole = new Set<number>()
  const starts = new Set<number>()
  const pairs = new Set<number>()
  const seen = new Set<Place>()
  const read = (from: Place): void => {
    if (seen.has(from)) return
    seen.add(from)
    for (const [byte, to] of from.next) {
      if (to.end) lasts.add(byte)
      for (const next of to.next.keys()) pairs.add((byte << 8) | next)
      read(to)
    }
  }
  for (const family of character) {
    read(family)
    for (const [byte, to] of family.next) {
      firsts.add(byte)
      if (to.end) whole.add(byte)
      for (const next of to.next.keys()) starts.add((byte << 8) | next)
    }
  }
  return { text, character, firsts, lasts, whole, starts, pairs }
}
