import type { Clock } from '#base/clock.ts'
import type { MemoryAccount } from '#base/memory-account.ts'
import type { Admissions } from '#metering/admissions.ts'
import type { Hashes } from '#credentials/types.ts'
import type { Denial } from '#policy/types.ts'
import type { RefusedFields } from './refused-fields.ts'
import type { Policies, Snapshot } from '#contracts/snapshot.ts'
import type { Audit, Ids } from '#contracts/audit-record.ts'
import type { Upstream } from '#contracts/upstream.ts'
import type { LoginTaker, Vault } from '#contracts/grants.ts'
import type { Runs } from '#contracts/runs.ts'
import type { Owners } from '#contracts/owners.ts'

/** Everything the journey needs from outside, and nothing more. */
export interface Ports {
  readonly clock: Clock
  readonly ids: Ids
  readonly policies: Policies
  /** Which pod has an address; left out: no cluster is watched. */
  readonly owners?: Owners | undefined
  /** The public bundle of certificates as PEM; remembers that this agent has it. */
  readonly bundle?: (agent: string) => string
  /** Counts what exchanges hold outside the heap. */
  readonly memory: MemoryAccount
  readonly vault: Vault
  readonly runs: Runs
  readonly logins: LoginTaker
  readonly upstream: Upstream
  readonly live: Live
  /** Agents take turns; left out: all begin at once. */
  readonly turns?: Turns
  /** Servers that refuse what meters add to requests; left out: none is remembered. */
  readonly refusedFields?: RefusedFields
  readonly audit: Audit
  /** Where metered requests are held to budgets. */
  readonly desk: Admissions
  readonly hashes: Hashes
}

export interface Turns {
  /** Resolves when it is this agent's turn to begin a request; `undefined`: now. */
  take(agent: string): Promise<void> | undefined
}

/** What is running now: re-decided when the policy changes, cut when the proxy must stop. */
export interface Live {
  /** The returned function takes the entry out again. */
  enter(entry: LiveEntry): () => void
  /** Ties a connection to a run: it is closed when that ends. The returned function unties it. */
  tie(run: string, close: () => void): () => void
}

export interface LiveEntry {
  /** The run it belongs to, once that is known. */
  run(): string | undefined
  /** The denial this exchange would meet under another snapshot. */
  redecide(snapshot: Snapshot): Denial | undefined
  cut(by: 'policy' | 'shutdown', denial?: Denial): void
}
