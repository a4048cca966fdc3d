/**
 * workers/ answers: how do several threads serve as one? Each has its own doors, connections and leaf certificates; the main
 * thread keeps what there must be one of: policy, vault, ledger, CA, runs, audit. `Plane` serves on this thread, `Workers` on
 * others; app.ts takes either. Here stands what the two sides of a line ask of each other.
 */
import type { Address } from '#base/address.ts'
import type { LeafKey } from '#ca/leaf.ts'
import type { AuthorityImage } from '#ca/authority-replica.ts'
import type { Settings } from '#config/settings-schema.ts'
import type { TokenEndpoint } from '#credentials/lease.ts'
import type { Lookups, OwnersImage } from '#identity/owners-replica.ts'
import type { RunsImage } from '#runs/table.ts'
import type { LoginTaker } from '#contracts/grants.ts'
import type { Owner } from '#contracts/owners.ts'
import type { BudgetEvent } from '#metering/notice.ts'
import type { Account, Blind, Budget } from '#metering/types.ts'
import type { LedgerOrder } from '#store/sqlite/ledger.ts'
import type { OwnSocket } from '#upstream/own.ts'
import type { GrantImage, VaultImage } from '#vault/replica-state.ts'
import type { Lines } from './records.ts'

export type DoorPorts = { readonly [Door in 'http' | 'https' | 'proxy']?: number }

/** What a worker is made with, and what does not change while it lives. */
export interface WorkerAssignment {
  readonly upstream: Omit<Settings['upstream'], 'allowPrivate'> & { readonly allowPrivate: readonly string[] }
  readonly listen: Settings['listen']
  readonly advertise: Address
  readonly extraRoots: readonly string[]
  readonly leafKey: LeafKey
  /** 48 bytes: a TLS session that began with one worker goes on with any. */
  readonly ticketKeys: Uint8Array
  /** How many workers there are: what agents may use up is divided by it. */
  readonly workers: number
}

/** A policy with its secrets: in force together, or not at all. */
export interface PolicyImage {
  readonly directory: string
  readonly files: readonly { readonly file: string; readonly bytes: Uint8Array }[]
  readonly vault: VaultImage
}

export interface TrustImage {
  readonly issuer: AuthorityImage
  /** Our certificates for agents, as PEM. */
  readonly ours: string
}

/** All that a worker must know before it opens its doors. */
export interface WorkerState {
  readonly policy: PolicyImage
  readonly trust: TrustImage
  readonly runs: RunsImage
  /** `undefined`: no cluster is watched. */
  readonly owners: OwnersImage | undefined
  /** Our own sockets, which nobody may be led back to. */
  readonly own: readonly OwnSocket[]
  /** Ports that other workers have taken already; none: as the settings say. */
  readonly ports: DoorPorts
}

/** How a worker is, told once a second. */
export interface Pulse {
  readonly running: number
  readonly connections: Readonly<Record<string, number>>
  readonly leafs: number
  /** Requests that wait for room, by budget. */
  readonly waiting: Readonly<Record<string, number>>
  /** Seconds: how late it was with what it had to do, for one of a hundred moments. */
  readonly lag: number
  readonly lookups: Lookups | undefined
}

/** What the main thread asks of a worker and tells it. */
export interface WorkerSide {
  /** Opens the doors. Throws the system's error of the one that cannot be bound. */
  begin(world: WorkerState): Promise<DoorPorts>
  policy(image: PolicyImage): void
  values(image: VaultImage): void
  trust(image: TrustImage): void
  runs(image: RunsImage): void
  endRun(run: string, reason: string): void
  moved(address: Address, owner: Owner): void
  pending(pending: boolean): void
  /** No request may begin: its record would be lost. */
  auditRefuses(refuses: boolean): void
  closeFrom(address: Address): void
  own(sockets: readonly OwnSocket[]): void
  /** Another worker has settled something: who waits for room asks again. */
  room(): void
  /** Another worker has used an account up. */
  spent(budget: Budget, account: Account): void
  /** Answers once everything told before is in force here. */
  settled(): Promise<void>
  /** Milliseconds. Answers when nothing runs any more, and all of it was told. */
  stop(deadline: number): Promise<void>
}

/** What a worker asks of the main thread and tells it. */
export interface MainSide {
  grant(credential: string): Promise<GrantImage>
  renew(credential: string, generation: number): Promise<GrantImage | undefined>
  capture(credential: string, endpoint: TokenEndpoint, login: Parameters<LoginTaker['capture']>[2]): Promise<string>
  ledger(order: LedgerOrder): Promise<{ readonly now: number; readonly result: unknown }>
  records(lines: Lines): void
  news(event: BudgetEvent): void
  blind(budget: string, how: Blind | 'refused'): void
  minted(result: 'allowed' | 'denied' | 'refused'): void
  /** An agent has the bundle. */
  bundled(agent: string): void
  pulse(pulse: Pulse): void
}
