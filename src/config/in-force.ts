import type { Snapshot } from '#contracts/snapshot.ts'
import type { Issue } from './issue.ts'
import type { PolicyFile } from './load.ts'

/** The policy in force, with the files it was read from, and the mistakes that the last reading found. */
export class InForce {
  snapshot: Snapshot | undefined
  sources: readonly PolicyFile[] = []
  issues: readonly Issue[] = []

  /** The snapshot with its files; `undefined` while no policy is in force. */
  get policy(): { readonly snapshot: Snapshot; readonly sources: readonly PolicyFile[] } | undefined {
    return this.snapshot && { snapshot: this.snapshot, sources: this.sources }
  }
}
