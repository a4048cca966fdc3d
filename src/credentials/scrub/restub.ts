import type { Secret } from '#base/secret.ts'
import { ValueFinder } from './value-finder.ts'

/** A real value that must not come back, and what to show in its place. */
export interface Scrub {
  readonly credential: string
  readonly stub: string
  readonly secret: Secret
}

/** What a `Scrubber` looks for. It holds real values and does not print. */
export type ScrubPatterns = ValueFinder

/** Prepares the search for these values: keep the result for as long as they stay. Values under eight bytes are not searched for. */
export function compileScrub(scrubs: readonly Scrub[]): ScrubPatterns {
  return new ValueFinder(scrubs)
}

/**
 * Puts stubs in place of real values in one stream of bytes, across all chunk edges. A chunk without any passes
 * through uncopied. Kept back are only the last bytes of a chunk that may be the beginning of a spelling, fewer than the
 * longest spelling has. The peer may be waiting for just those bytes: whoever drives the stream calls `flush` when
 * nothing more comes for a while.
 */
export class Scrubber {
  /** How often each credential's value was taken out. */
  readonly hits: Map<string, number>
  readonly #patterns: ScrubPatterns
  /** The beginning of a possible match, of which the first `#shown` bytes went out by `flush`. */
  #tail: Uint8Array = nothing
  #shown = 0
  /** Set when a match ended with a chunk: what becomes of the next byte. */
  #edge: Uint8Array | undefined

  constructor(patterns: ScrubPatterns, hits: Map<string, number> = new Map()) {
    this.#patterns = patterns
    this.hits = hits
  }

  /** Bytes that are kept back. */
  get held(): number {
    return this.#tail.length - this.#shown
  }

  /** Takes in the next bytes and gives what may go out now. */
  push(chunk: Uint8Array): Uint8Array {
    if (this.#tail.length === 0 && !this.#edge && !this.#patterns.isIn(chunk)) return this.#passClean(chunk)
    return this.#pass(this.#tail.length === 0 ? chunk : Buffer.concat([this.#tail, chunk]), 'more')
  }

  /** A chunk without any value, but for one that may begin at its end. */
  #passClean(chunk: Uint8Array): Uint8Array {
    const open = this.#patterns.heldFrom(chunk, 0)
    if (open === chunk.length) return chunk
    // A copy: the caller may use its chunk again.
    this.#tail = Uint8Array.from(chunk.subarray(open))
    return chunk.subarray(0, open)
  }

  /**
   * Gives what is kept back although more may come, as long as it is too short to be more than a coincidence. Should it
   * have been the beginning of a real value after all, that much is out, and the stub takes the place of the rest. What
   * is longer stays: a host that drips a value byte by byte must not get it through.
   */
  flush(): Uint8Array {
    const whole = this.#patterns.find(this.#tail, 0)?.end ?? 0
    if (this.#tail.length - whole > coincidence) return nothing
    return this.#pass(this.#tail, 'flush')
  }

  /** The stream is over: gives what is kept back. */
  end(): Uint8Array {
    return this.#tail.length === 0 ? nothing : this.#pass(this.#tail, 'end')
  }

  /** Whether there is nothing to take out of any of these texts. */
  isClean(texts: readonly string[]): boolean {
    for (let i = 0; i < texts.length; i += 1) if (this.#patterns.isInText(texts[i] as string)) return false
    return true
  }

  /** The same for a text that is complete, such as a header value, one character a byte. The stream is not touched. */
  scrubText(text: string): string {
    const bytes = Buffer.from(text, 'latin1')
    if (!this.#patterns.find(bytes, 0)) return text
    const once = new Scrubber(this.#patterns, this.hits)
    return Buffer.concat([once.push(bytes), once.end()]).toString('latin1')
  }

  #pass(data: Uint8Array, then: 'more' | 'flush' | 'end'): Uint8Array {
    const patterns = this.#patterns
    const search = patterns.search(data)
    const out: Uint8Array[] = []
    const openFrom = (at: number): number => (then === 'more' ? patterns.heldFrom(data, at) : data.length)
    // Up to `searched` nothing can match any more; up to `written` all has gone out.
    let searched = this.#finishEdge(data, 0, out)
    let written = Math.max(searched, this.#shown)
    let open = openFrom(searched)
    for (;;) {
      const match = search.next(searched)
      if (!match) break
      const { start, end, pattern } = match
      const lead = start > written ? pattern.lead?.[data[start - 1] as number] : undefined
      if (start >= open) {
        // Where a longer match may still come this one waits, and the byte before it too.
        if (lead) open = Math.min(open, start - 1)
        break
      }
      out.push(data.subarray(written, Math.max(written, lead ? start - 1 : start)))
      if (lead) out.push(Uint8Array.of(lead))
      out.push(pattern.stub)
      this.hits.set(pattern.credential, (this.hits.get(pattern.credential) ?? 0) + 1)
      this.#edge = pattern.trail
      searched = this.#finishEdge(data, end, out)
      written = searched
      if (open < searched) open = openFrom(searched)
    }
    const rest = data.subarray(written, Math.max(written, open))
    const keep = then === 'flush' ? patterns.heldFrom(data, searched) : open
    // A copy: the caller may use its chunk again.
    this.#tail = keep === data.length ? nothing : Uint8Array.from(data.subarray(keep))
    this.#shown = Math.max(0, Math.max(written, open) - keep)
    if (out.length > 0) return Buffer.concat([...out, rest])
    return rest.length === data.length ? data : rest
  }

  /** Rewrites the base64 character after a match, which may be the first of the next chunk. Gives how far that went. */
  #finishEdge(data: Uint8Array, at: number, out: Uint8Array[]): number {
    if (!this.#edge || at >= data.length) return at
    const byte = this.#edge[data[at] as number]
    this.#edge = undefined
    if (!byte) return at
    out.push(Uint8Array.of(byte))
    return at + 1
  }
}

const nothing = new Uint8Array(0)
/** Bytes that may well begin a spelling by chance. */
const coincidence = 4
