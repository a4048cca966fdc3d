import type { Denial } from '#policy/types.ts'
import type { Live, LiveEntry } from './ports.ts'
import type { Snapshot } from '#contracts/snapshot.ts'

/** What is running now. Short exchanges finish on the snapshot they began with; what runs long is re-decided. */
export class LiveSet implements Live {
  readonly #entries = new Set<LiveEntry>()
  /** What ends with a run and carries nothing by itself. */
  readonly #tied = new Set<{ readonly run: string; readonly close: () => void }>()

  get size(): number {
    return this.#entries.size
  }

  enter(entry: LiveEntry): () => void {
    this.#entries.add(entry)
    return () => this.#entries.delete(entry)
  }

  tie(run: string, close: () => void): () => void {
    const tied = { run, close }
    this.#tied.add(tied)
    return () => this.#tied.delete(tied)
  }

  /** Cuts everything of a run, and then closes its connections. */
  endRun(run: string, denial: Denial): void {
    for (const entry of this.#entries) if (entry.run() === run) entry.cut('policy', denial)
    for (const tied of this.#tied) if (tied.run === run) tied.close()
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
