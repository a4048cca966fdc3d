import { Scrubber } from './restub.ts'
import type { ScrubPatterns } from './restub.ts'

/**
 * Puts stubs in place of real values in one reply for as long as it lasts: of those that were in force when it began, and of
 * those that are now. Between the two a value may have been renewed many times, and this host knows the newest as well.
 */
export class ScrubChain {
  /** How often each credential's value was taken out. */
  readonly hits = new Map<string, number>()
  readonly #first: Scrubber
  readonly #latest: () => ScrubPatterns | undefined
  #patterns: ScrubPatterns
  #second: Scrubber | undefined

  constructor(patterns: ScrubPatterns, latest: () => ScrubPatterns | undefined) {
    this.#patterns = patterns
    this.#latest = latest
    this.#first = new Scrubber(patterns, this.hits)
  }

  /** Bytes that are kept back. */
  get held(): number {
    return this.#first.held + (this.#second?.held ?? 0)
  }

  /** Takes in the next bytes and gives what may go out now. */
  push(chunk: Uint8Array): Uint8Array {
    const kept = this.#follow()
    const passed = this.#first.push(chunk)
    if (!this.#second) return passed
    return this.#second.push(kept.length === 0 ? passed : Buffer.concat([kept, passed]))
  }

  /** Gives what is kept back although more may come; see `Scrubber`. */
  flush(): Uint8Array {
    const passed = this.#first.flush()
    return this.#second ? Buffer.concat([this.#second.push(passed), this.#second.flush()]) : passed
  }

  /** The stream is over: gives what is kept back. */
  end(): Uint8Array {
    const passed = this.#first.end()
    return this.#second ? Buffer.concat([this.#second.push(passed), this.#second.end()]) : passed
  }

  /** Whether there is nothing to take out of these texts. */
  isClean(texts: readonly string[]): boolean {
    return this.#first.isClean(texts) && (this.#second?.isClean(texts) ?? true)
  }

  scrubText(text: string): string {
    const once = this.#first.scrubText(text)
    return this.#second ? this.#second.scrubText(once) : once
  }

  /** Looks for the values in force from here on; gives what was kept back for older ones. */
  #follow(): Uint8Array {
    const latest = this.#latest()
    if (!latest || latest === this.#patterns) return nothing
    this.#patterns = latest
    const kept = this.#second?.end() ?? nothing
    this.#second = new Scrubber(latest, this.hits)
    return kept
  }
}

const nothing = new Uint8Array(0)
