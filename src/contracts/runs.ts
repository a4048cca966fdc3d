/** Ephemeral agents: who knows them, and how they are kept. */
import type { HostPattern } from '#base/host.ts'
import type { Budget } from '#metering/types.ts'
import type { ProxyAuth } from './request.ts'

/** Which runs there are, and which one an agent is on. */
export interface Runs {
  /**
   * The live run with this name and password. `refused`: it is the name of a run, and there is none with both. `pending`: there is
   * none with that name here, and others may know of one.
   */
  find(auth: ProxyAuth): Run | 'refused' | 'pending' | undefined
  /** The run that an agent was last said to be on. */
  boundTo(agent: string): string | undefined
}

/** A run as it is kept: what it takes to know it again after a restart, or elsewhere. Times in milliseconds since the epoch. */
export interface KeptRun {
  readonly id: string
  readonly agent: string
  readonly label: string | undefined
  /** Host patterns; `undefined`: all that its agent may reach. */
  readonly hosts: readonly string[] | undefined
  /** Money in US dollars. */
  readonly budget: { readonly tokens?: number | undefined; readonly usd?: number | undefined } | undefined
  /** By credential. */
  readonly stubs: Readonly<Record<string, string>>
  /** SHA-256, as hex. */
  readonly passwordDigest: string
  readonly startedAt: number
  readonly expiresAt: number
}

/** All that is kept of runs. */
export interface KeptRuns {
  /** Whether it can be asked now: what is not among these is nowhere. */
  readonly current: boolean
  /** Those that nobody has ended, though their time may be over. */
  readonly runs: readonly KeptRun[]
  readonly bound: readonly (readonly [agent: string, run: string])[]
}

/** How far the end of a run has come. */
export interface Ended {
  /** Whether it was ended here first, however often that is asked. `undefined`: nobody can know yet. */
  readonly mine: boolean | undefined
  /** It is kept, and everyone who is there knows of it. What is not told is told later. */
  readonly told: boolean
}

/** The runs of ephemeral agents, where a restart and other replicas find them. */
export interface RunStore {
  /** Told of every change, whoever has made it; who waits for `put` waits for this too. */
  follow(changed: (kept: KeptRuns) => void | Promise<void>): void
  /** Reads what is there. Rejects with `StoreError`: it is read once that can be. */
  open(): Promise<void>
  /** Resolves when it is kept, and everyone who is there knows it. Rejects with `StoreError`: there is no such run. */
  put(run: KeptRun): Promise<void>
  /** A run that has ended stays so. Counts here at once, whether it can be told or not. */
  end(run: Pick<KeptRun, 'id' | 'expiresAt'>): Promise<Ended>
  /** Says which run an agent is on; `undefined`: on none. Counts here at once. `false`: the others hear of it later. */
  bind(agent: string, run: string | undefined): Promise<boolean>
  close(): Promise<void>
}

/** One run of an ephemeral agent: less than its base agent may, for a while, under stubs of its own. */
export interface Run {
  readonly id: string
  /** The base agent. */
  readonly agent: string
  /** `undefined`: every host its agent may reach. */
  readonly hosts: readonly HostPattern[] | undefined
  /** On top of those of its agent. */
  readonly budget: Budget | undefined
  /** By credential. */
  readonly stubs: ReadonlyMap<string, string>
}

/** Money in US dollars. */
export interface RunOrder {
  readonly agent: string
  readonly ttlSeconds: number
  readonly label?: string | undefined
  /** Host patterns; left out: all that the agent may reach. */
  readonly hosts?: readonly string[] | undefined
  readonly budget?: KeptRun['budget']
}
