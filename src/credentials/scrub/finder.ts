import { inspect } from 'node:util'

/** Bytes to look for. */
export interface Pattern {
  readonly bytes: Uint8Array
  /** Nonzero for each byte that, standing right before the pattern, belongs to it. */
  readonly lead?: Uint8Array | undefined
}

export interface Match<Kind> {
  readonly start: number
  readonly end: number
  readonly pattern: Kind
}

/**
 * Looks for many patterns at once in one pass (after Wu and Manber, 1994): two bytes at a time say how far no pattern can
 * begin, so most bytes are never read, and the cost hardly grows with the number of patterns. The patterns hold real
 * values: none of this prints.
 */
export class Finder<Kind extends Pattern> {
  /** Length of the longest pattern, in bytes. */
  readonly longest: number
  readonly #window: number
  readonly #shifts = new Uint8Array(65536)
  readonly #byWindowEnd = new Map<number, Kind[]>()
  readonly #byFirst: (Kind[] | undefined)[] = []
  /** 1 for each two bytes that a pattern begins with. */
  readonly #starts = new Uint8Array(65536)
  readonly #leads = new Uint8Array(256)

  /** Patterns of at least two bytes. Of patterns that begin at one place the longest is found. */
  constructor(patterns: readonly Kind[]) {
    const sorted = patterns.toSorted((a, b) => b.bytes.length - a.bytes.length)
    this.longest = sorted[0]?.bytes.length ?? 0
    this.#window = Math.min(sorted.at(-1)?.bytes.length ?? 0, 64)
    this.#shifts.fill(Math.max(this.#window - 1, 0))
    for (const pattern of sorted) this.#add(pattern)
  }

  #add(pattern: Kind): void {
    const { bytes, lead } = pattern
    const last = this.#window - 1
    for (let i = 1; i <= last; i += 1) {
      const pair = pairAt(bytes, i)
      this.#shifts[pair] = Math.min(this.#shifts[pair] ?? 0, last - i)
    }
    const windowEnd = pairAt(bytes, last)
    this.#byWindowEnd.set(windowEnd, [...(this.#byWindowEnd.get(windowEnd) ?? []), pattern])
    this.#starts[pairAt(bytes, 1)] = 1
    const first = bytes[0] ?? 0
    this.#byFirst[first] = [...(this.#byFirst[first] ?? []), pattern]
    lead?.forEach((belongs, byte) => {
      if (belongs !== 0) this.#leads[byte] = 1
    })
  }

  /** The first match that begins at `from` or later. */
  find(bytes: Uint8Array, from: number): Match<Kind> | undefined {
    const shifts = this.#shifts
    const last = this.#window - 1
    if (last < 1) return undefined
    const { length } = bytes
    let i = from + last
    while (i < length) {
      const shift = shifts[((bytes[i - 1] as number) << 8) | (bytes[i] as number)] as number
      if (shift > 0) {
        i += shift
        continue
      }
      const start = i - last
      // By index: an iterator would cost more than the comparison.
      const ending = this.#byWindowEnd.get(pairAt(bytes, i))
      const candidates = ending ? ending.length : 0
      for (let each = 0; each < candidates; each += 1) {
        const pattern = ending?.[each] as Kind
        const end = start + pattern.bytes.length
        if (end <= length && agree(bytes, start, pattern.bytes, pattern.bytes.length)) return { start, end, pattern }
      }
      i += 1
    }
    return undefined
  }

  /** `false` where no pattern is in a text, one character a byte: so most texts need not become bytes. */
  mayBeIn(text: string): boolean {
    const shifts = this.#shifts
    const last = this.#window - 1
    if (last < 1) return false
    const { length } = text
    let i = last
    while (i < length) {
      const shift = shifts[((text.charCodeAt(i - 1) & 0xff) << 8) | (text.charCodeAt(i) & 0xff)] as number
      if (shift === 0) return true
      i += shift
    }
    return false
  }

  /**
   * Where, at `from` or later, a pattern may have begun that would end past these bytes, or the byte before that belongs
   * to it; their length, if nowhere. What stands before that place can be passed on.
   */
  heldFrom(bytes: Uint8Array, from: number): number {
    const { length } = bytes
    for (let i = Math.max(from, length - this.longest + 1); i < length; i += 1) {
      if (i + 1 < length && this.#starts[pairAt(bytes, i + 1)] !== 1) continue
      const beginning = this.#byFirst[bytes[i] as number]
      if (!beginning) continue
      let held = length
      for (let each = 0; each < beginning.length; each += 1) {
        const { bytes: wanted, lead } = beginning[each] as Kind
        if (wanted.length <= length - i || !agree(bytes, i, wanted, length - i)) continue
        // Several may have begun here, and the byte before may belong to any of them.
        if (i > from && lead?.[bytes[i - 1] as number]) return i - 1
        held = i
      }
      if (held < length) return held
    }
    return length > from && this.#leads[bytes[length - 1] as number] === 1 ? length - 1 : length
  }

  toJSON(): string {
    return '[patterns]'
  }

  [inspect.custom](): string {
    return '[patterns]'
  }
}

function pairAt(bytes: Uint8Array, i: number): number {
  return ((bytes[i - 1] as number) << 8) | (bytes[i] as number)
}

function agree(bytes: Uint8Array, at: number, wanted: Uint8Array, length: number): boolean {
  for (let i = 0; i < length; i += 1) {
    if (bytes[at + i] !== wanted[i]) return false
  }
  return true
}
