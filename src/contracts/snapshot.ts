/** The policy in force, compiled, and an exchange under it. */
import type { StubIndex } from '#credentials/swap/stubs.ts'
import type { Credential } from '#credentials/types.ts'
import type { PriceList } from '#metering/price.ts'
import type { Budget } from '#metering/types.ts'
import type { Agent, Policy } from '#policy/types.ts'
import type { Run } from './runs.ts'

/** Policy, credentials and identity, compiled, immutable, taken once per Exchange. */
export interface Snapshot {
  /** Hex SHA-256 of the files it was made from. */
  readonly hash: string
  readonly policy: Policy
  readonly credentials: ReadonlyMap<string, Credential>
  /** Credentials by the token endpoints that are answered here for them: `host:port/path`. */
  readonly answers: ReadonlyMap<string, readonly Credential[]>
  /** The stubs of those credentials, arranged for looking up. */
  readonly stubs: StubIndex
  readonly budgets: ReadonlyMap<string, Budget>
  /** What models cost, where the policy says it. */
  readonly prices: PriceList
}

/** Who speaks and under which snapshot. */
export interface Exchange {
  readonly agent: Agent
  readonly snapshot: Snapshot
  /** The run of an ephemeral agent, which agent and snapshot are narrowed to. */
  readonly run?: Run | undefined
  /** That run, or the one its agent was bound to when this began. */
  readonly runId?: string | undefined
}

export interface Policies {
  /** The snapshot in force; `undefined`: nothing was ever loaded, so deny everything. */
  current(): Snapshot | undefined
}
