import type { Live, LiveEntry } from './ports.ts'
import type { Snapshot } from './types.ts'

/** What is running now. Short exchanges finish on the snapshot they began with; what runs long is re-decided. */
export class LiveSet implements Live {
  readonly #entries = new Set<LiveEntry>()

  get size(): number {
    return this.#entries.size
  }

  enter(entry: LiveEntry): () => void {
    this.#entries.add(entry)
    return () => this.#entries.delete(entry)
  }

  /** Everything running at this moment, for asking again later which of it still is. */
  present(): readonly LiveEntry[] {
    return [...this.#entries]
  }

  /** Cuts those of `entries` that still run and that the snapshot in force would refuse. */
  redecide(entries: readonly LiveEntry[], snapshot: Snapshot): void {
    for (const entry of entries) {
      if (!this.#entries.has(entry)) continue
      const denial = entry.redecide(snapshot)
      if (denial) entry.cut('policy', denial)
    }
  }

  cutAll(): void {
    for (const entry of this.#entries) entry.cut('shutdown')
  }
}
