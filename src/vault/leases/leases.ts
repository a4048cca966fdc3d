import { createHash } from 'node:crypto'
import type { Clock } from '#base/clock.ts'
import { ProxyError } from '#base/errors.ts'
import { refName } from '#base/secret.ts'
import type { Secret, SecretRef } from '#base/secret.ts'
import type { GrantLease, LeaseInput, LeaseTools, Pair } from '#credentials/lease.ts'
import type { Credential } from '#credentials/types.ts'
import type { GrantStore } from '#contracts/grants.ts'
import type { TokenCaller } from '#contracts/calls.ts'
import type { Renewal } from './renewal.ts'
import { Keeper } from './keeper.ts'
import type { LeaseEvent, LeaseStatus, LeaseValue } from './lease-status.ts'
import { Minting } from './minting.ts'
import { Rotation } from './rotation.ts'
import { Seed } from './seed.ts'
import type { Calling } from './token-call.ts'

/** What keeping leases takes from outside. */
export interface LeasePorts {
  readonly store: GrantStore
  readonly caller: TokenCaller
  readonly clock: Clock
  readonly tools: LeaseTools
  /** From 0 to 1. */
  readonly random: () => number
  readonly onEvent: (event: LeaseEvent) => void
  /** See `RotationOptions`. */
  readonly abandonedAfter: number
  /** See `RotationOptions`. */
  readonly marksByOurClock?: boolean | undefined
}

/** What the vault knows and a lease needs. */
export interface LeaseMaterials {
  readonly valueOf: (ref: SecretRef) => Secret | undefined
  /** Called after each change of a real value. */
  readonly onChange: () => void
}

interface Kept {
  /** As the policy in force has it. */
  readonly current: { lease: GrantLease }
  readonly keeper: Keeper
  seedDigest: string
  refsDigest: string
}

/** Milliseconds to wait, when stopping, for a call that is under way: what comes back is the only copy. */
const closingMs = 10_000

/** The keepers of all leases in the policy, by credential id. */
export class Leases {
  readonly #ports: LeasePorts
  readonly #materials: LeaseMaterials
  readonly #kept = new Map<string, Kept>()
  /** Keepers that are gone but may have a call under way; who comes after them waits. */
  readonly #leaving = new Map<string, Promise<void>>()

  constructor(ports: LeasePorts, materials: LeaseMaterials) {
    this.#ports = ports
    this.#materials = materials
  }

  /** Takes in the credentials of a policy. Leases that stay keep what they have; those that went stop. */
  use(credentials: readonly Credential[]): void {
    const leased = new Map(
      credentials.flatMap((credential) => (credential.lease ? [[credential.id, credential.lease] as const] : [])),
    )
    for (const [id, { current }] of this.#kept) if (leased.get(id)?.rotating !== current.lease.rotating) this.#leave(id)
    for (const credential of credentials) {
      const kept = this.#kept.get(credential.id)
      if (!credential.lease) continue
      if (!kept) {
        this.#enter(credential, credential.lease)
        continue
      }
      kept.current.lease = credential.lease
      kept.keeper.update(credential)
    }
    this.look()
  }

  /** Looks whether seeds or secrets have changed. */
  look(): void {
    for (const kept of this.#kept.values()) {
      const { seedDigest, refsDigest } = this.#digests(kept.current.lease)
      if (refsDigest !== kept.refsDigest) void kept.keeper.reopen()
      if (seedDigest !== kept.seedDigest) kept.keeper.reseed()
      kept.seedDigest = seedDigest
      kept.refsDigest = refsDigest
    }
  }

  /** `undefined`: no lease of this credential is kept. */
  keeper(id: string): Keeper | undefined {
    return this.#kept.get(id)?.keeper
  }

  values(id: string): readonly LeaseValue[] {
    return this.#kept.get(id)?.keeper.values() ?? []
  }

  status(): readonly LeaseStatus[] {
    return [...this.#kept.values()].map(({ keeper }) => keeper.status())
  }

  /** A new login. Gives its generation. Throws `credential_unavailable` for a credential without a lease, and StoreError. */
  login(id: string, pair: Pair): Promise<number> {
    const kept = this.#kept.get(id)
    if (!kept) throw new ProxyError('credential_unavailable', `there is no credential ${id} that one logs in to`)
    return kept.keeper.login(pair)
  }

  /** Stops all timers and waits for calls that are under way, within a bound. */
  async close(): Promise<void> {
    for (const id of this.#kept.keys()) this.#leave(id)
    await Promise.all(this.#leaving.values())
  }

  #enter(credential: Credential, lease: GrantLease): void {
    const { id } = credential
    const { clock, random, onEvent } = this.#ports
    const current = { lease }
    const course = this.#course(id, current)
    const keeper = new Keeper(credential, { course, clock, random, onEvent, onChange: this.#materials.onChange })
    this.#kept.set(id, { current, keeper, ...this.#digests(lease) })
    keeper.open(this.#leaving.get(id))
  }

  #course(id: string, current: { readonly lease: GrantLease }): Renewal {
    const { store, caller, clock, tools, abandonedAfter, marksByOurClock } = this.#ports
    const lease = (): GrantLease => current.lease
    const calling: Calling = { credential: id, lease, caller, clock, tools, secrets: () => this.#secrets(lease()) }
    const seed = new Seed(lease, () => {
      const ref = lease().seed
      return ref && this.#materials.valueOf(ref)
    })
    return lease().rotating ? new Rotation({ calling, store, seed, abandonedAfter, marksByOurClock }) : new Minting(calling, seed)
  }

  #leave(id: string): void {
    const kept = this.#kept.get(id)
    if (!kept) return
    this.#kept.delete(id)
    const before = this.#leaving.get(id)
    const left: Promise<void> = Promise.all([before, kept.keeper.close(closingMs)]).then(() => {
      if (this.#leaving.get(id) === left) this.#leaving.delete(id)
    })
    this.#leaving.set(id, left)
  }

  #secrets(lease: GrantLease): LeaseInput['secrets'] {
    return Object.fromEntries(
      Object.entries(lease.refs).flatMap(([name, ref]) => {
        const secret = this.#materials.valueOf(ref)
        return secret ? [[name, secret]] : []
      }),
    )
  }

  #digests({ seed, refs }: GrantLease): Pick<Kept, 'seedDigest' | 'refsDigest'> {
    return { seedDigest: this.#digest(seed ? [seed] : []), refsDigest: this.#digest(Object.values(refs)) }
  }

  /** Tells contents apart, of which none leaves the vault. */
  #digest(refs: readonly SecretRef[]): string {
    const hash = createHash('sha256')
    for (const ref of refs) hash.update(JSON.stringify([refName(ref), this.#materials.valueOf(ref)?.expose() ?? null]))
    return hash.digest('hex')
  }
}
