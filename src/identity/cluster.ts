import type { Address } from '#base/address.ts'
import type { Clock } from '#base/clock.ts'
import type { Owner, Owners } from '#journey/ports.ts'
import { agentsOfPod, namespacesOf } from '#policy/pods.ts'
import type { Policy } from '#policy/types.ts'
import type { PodApi } from './api.ts'
import type { OwnersImage } from './owners-copy.ts'
import { PodIndex } from './pod-index.ts'
import { Watcher } from './watcher.ts'

export interface ClusterOptions {
  readonly api: PodApi
  readonly clock: Clock
  /** From 0 to 1. */
  readonly random: () => number
  readonly say: (level: 'info' | 'warn', fields: object, message: string) => void
  /** Whoever had this address has it no more, or is another agent now: what it left open must close. */
  readonly left: (address: Address) => void
  /** An address has another owner. */
  readonly moved?: (address: Address, owner: Owner) => void
  /** All pods of a namespace are known. */
  readonly synced?: () => void
}

/** For whoever scrapes; times in milliseconds since the epoch, the rest counts. */
export interface IdentityGauges {
  readonly lookups: Readonly<Record<string, number>>
  /** By namespace. */
  readonly pods: Readonly<Record<string, number>>
  readonly lastSync: Readonly<Record<string, number>>
  readonly failures: Readonly<Record<string, number>>
}

/** The pods of every namespace the policy names. */
export class Cluster implements Owners {
  readonly #options: ClusterOptions
  readonly #index: PodIndex
  readonly #watchers = new Map<string, Watcher>()
  readonly #lookups: Record<Owner['kind'], number> = { pod: 0, nobody: 0, several: 0, node: 0, pending: 0 }
  readonly #failures: Record<string, number> = {}
  #policy: Policy | undefined
  #ready = false

  constructor(options: ClusterOptions) {
    this.#options = options
    this.#index = new PodIndex((address, before, after) => {
      options.moved?.(address, after)
      if (before.kind !== 'nobody' && !this.#sameAgents(before, after)) options.left(address)
    })
  }

  at(address: Address): Owner {
    const found = this.#index.at(address)
    const owner: Owner = found.kind === 'nobody' && this.pending ? { kind: 'pending' } : found
    this.#lookups[owner.kind] += 1
    return owner
  }

  /** Watches what this policy names and nothing else. */
  follow(policy: Policy): void {
    this.#policy = policy
    const wanted = namespacesOf(policy)
    for (const [namespace, watcher] of this.#watchers) {
      if (wanted.includes(namespace)) continue
      this.#watchers.delete(namespace)
      void watcher.close().then(() => {
        if (!this.#watchers.has(namespace)) this.#index.replace(namespace, [])
      })
    }
    for (const namespace of wanted) if (!this.#watchers.has(namespace)) this.#watchers.set(namespace, this.#watch(namespace))
  }

  /** All pods were known once. A namespace that an edit brings later takes no readiness away from the others. */
  get ready(): boolean {
    this.#ready ||= this.#policy !== undefined && this.#waiting().length === 0
    return this.#ready
  }

  /** Namespaces whose pods are not known yet. */
  #waiting(): readonly string[] {
    return [...this.#watchers].flatMap(([namespace, { synced }]) => (synced ? [] : [namespace]))
  }

  /** For a copy on another thread. */
  image(): OwnersImage {
    return { owners: this.#index.owners(), pending: this.pending }
  }

  /** Not all pods are known. */
  get pending(): boolean {
    return this.#waiting().length > 0
  }

  /** Lookups that were answered by a copy. */
  count(lookups: Readonly<Record<Owner['kind'], number>>): void {
    for (const kind of Object.keys(lookups) as Owner['kind'][]) this.#lookups[kind] += lookups[kind]
  }

  gauges(): IdentityGauges {
    const watchers = [...this.#watchers]
    return {
      lookups: this.#lookups,
      pods: Object.fromEntries(watchers.map(([namespace]) => [namespace, this.#index.count(namespace)])),
      // Never: 0, which is as stale as can be.
      lastSync: Object.fromEntries(watchers.map(([namespace, { lastSync = 0 }]) => [namespace, lastSync])),
      failures: this.#failures,
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#watchers.values()].map((watcher) => watcher.close()))
    this.#options.api.close()
  }

  #watch(namespace: string): Watcher {
    const { api, clock, random, say, synced } = this.#options
    return new Watcher({
      namespace,
      api,
      index: this.#index,
      clock,
      random,
      ...(synced && { synced }),
      failed: ({ status, message }, wait) => {
        const reason = status === 0 ? 'unreachable' : String(status)
        this.#failures[reason] = (this.#failures[reason] ?? 0) + 1
        if (wait > 0) say('warn', { event: 'kubernetes', namespace, wait: Math.round(wait) }, message)
      },
    })
  }

  #sameAgents(before: Owner, after: Owner): boolean {
    if (!this.#policy || before.kind !== 'pod' || after.kind !== 'pod' || before.pod.uid !== after.pod.uid) return false
    const [one, other] = [agentsOfPod(this.#policy, before.pod), agentsOfPod(this.#policy, after.pod)]
    return one.length === other.length && one.every((agent) => other.includes(agent))
  }
}
