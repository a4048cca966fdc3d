import type { Address } from '#base/address.ts'
import type { Clock } from '#base/clock.ts'
import type { IdentityGauges, Owner, Owners } from '#contracts/owners.ts'
import { agentsOfPod, namespacesOf } from '#policy/pods.ts'
import type { Policy } from '#policy/types.ts'
import { SilentWatch } from './api.ts'
import type { PodApi } from './api.ts'
import type { OwnersImage } from './owners-replica.ts'
import { PodIndex } from './pod-index.ts'
import { bounds, Watcher } from './watcher.ts'

export interface ClusterOptions {
  readonly api: Pick<PodApi, 'list' | 'watch' | 'close'>
  readonly clock: Clock
  /** From 0 to 1. */
  readonly random: () => number
  readonly say: (level: 'info' | 'warn' | 'error', fields: object, message: string) => void
  /** Whoever had this address has it no more, or is another agent now: what it left open must close. */
  readonly left: (address: Address) => void
  /** An address has another owner. */
  readonly moved?: (address: Address, owner: Owner) => void
  /** The pods of a namespace became known, or what is known of them grew too old. */
  readonly synced?: () => void
}

/** The pods of every namespace the policy names. */
export class Cluster implements Owners {
  readonly #options: ClusterOptions
  readonly #index: PodIndex
  readonly #watchers = new Map<string, Watcher>()
  /** Calls off the look at each namespace whose knowledge is good now; a namespace that is not among these is in doubt. */
  readonly #looks = new Map<string, () => void>()
  readonly #lookups: Record<Owner['kind'], number> = { pod: 0, nobody: 0, several: 0, node: 0, doubtful: 0, pending: 0 }
  readonly #failures: Record<string, number> = {}
  #policy: Policy | undefined
  #ready = false

  constructor(options: ClusterOptions) {
    this.#options = options
    this.#index = new PodIndex((address, before, after) => {
      options.moved?.(address, this.#trusted(after))
      if (before.kind !== 'nobody' && !this.#sameAgents(before, after)) options.left(address)
    })
  }

  at(address: Address): Owner {
    const found = this.#trusted(this.#index.at(address))
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
      this.#looks.get(namespace)?.()
      this.#looks.delete(namespace)
      void watcher.close().then(() => {
        if (!this.#watchers.has(namespace)) this.#index.replace(namespace, [])
      })
    }
    for (const namespace of wanted) if (!this.#watchers.has(namespace)) this.#watchers.set(namespace, this.#watch(namespace))
  }

  /**
   * The first lists are through. A namespace that the API refuses to list, or fails to list for as long as the bound, does
   * not hold back the agents of the others; one that an edit brings later takes no readiness away.
   */
  get ready(): boolean {
    this.#ready ||= this.#policy !== undefined && this.#canServe(this.#policy)
    return this.#ready
  }

  /** Namespaces whose pods are not known, or not known any more. */
  get waiting(): readonly string[] {
    return [...this.#watchers].flatMap(([namespace, { isCurrent }]) => (isCurrent ? [] : [namespace]))
  }

  /** For a copy on another thread. */
  image(): OwnersImage {
    const owners = this.#index.owners().map(([address, owner]) => [address, this.#trusted(owner)] as const)
    return { owners, pending: this.pending }
  }

  /** Not all pods are known. */
  get pending(): boolean {
    for (const { isCurrent } of this.#watchers.values()) if (!isCurrent) return true
    return false
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
      ready: Object.fromEntries(watchers.map(([namespace, { isCurrent }]) => [namespace, isCurrent ? 1 : 0])),
      failures: this.#failures,
    }
  }

  async close(): Promise<void> {
    for (const cancel of this.#looks.values()) cancel()
    this.#looks.clear()
    await Promise.all([...this.#watchers.values()].map((watcher) => watcher.close()))
    this.#options.api.close()
  }

  #watch(namespace: string): Watcher {
    const { api, clock, random, say } = this.#options
    return new Watcher({
      namespace,
      api,
      index: this.#index,
      clock,
      random,
      heard: () => this.#heard(namespace),
      failed: (error, wait) => {
        this.#failures[error.reason] = (this.#failures[error.reason] ?? 0) + 1
        if (wait > 0 || error instanceof SilentWatch)
          say('warn', { event: 'kubernetes', namespace, wait: Math.round(wait) }, error.message)
      },
    })
  }

  /** What is known of a pod is good for as long as the bound says. */
  #trusted(owner: Owner): Owner {
    if (owner.kind !== 'pod' || this.#watchers.get(owner.pod.namespace)?.isCurrent) return owner
    return { kind: 'doubtful', pod: owner.pod, because: 'silent' }
  }

  #heard(namespace: string): void {
    this.#index.confirm(namespace)
    if (this.#looks.has(namespace)) return
    this.#look(namespace)
    this.#tell(namespace)
  }

  /** Looks again at the moment when the knowledge of a namespace would be too old. */
  #look(namespace: string): void {
    const watcher = this.#watchers.get(namespace)
    // A word that comes while the watch is being closed.
    if (!watcher) return
    const cancel = this.#options.clock.later(watcher.currentFor + 1, () => {
      if (watcher.isCurrent) return this.#look(namespace)
      this.#looks.delete(namespace)
      this.#tell(namespace)
      this.#options.say(
        'error',
        { event: 'kubernetes', namespace },
        `the API has not spoken of the pods of namespace ${namespace} for ${bounds.knowledge / 1000} s: its agents get 503 agent_pending until it does`,
      )
    })
    this.#looks.set(namespace, cancel)
  }

  /** Tells the copies on other threads that a namespace is to be trusted again, or no more. */
  #tell(namespace: string): void {
    for (const address of this.#index.addressesIn(namespace))
      this.#options.moved?.(address, this.#trusted(this.#index.at(address)))
    this.#options.synced?.()
  }

  #canServe({ agents }: Policy): boolean {
    const watchers = [...this.#watchers.values()]
    if (!watchers.every(({ isSettled }) => isSettled)) return false
    return (
      watchers.length === 0 || watchers.some(({ synced }) => synced) || [...agents.values()].some(({ pods }) => pods.length === 0)
    )
  }

  #sameAgents(before: Owner, after: Owner): boolean {
    if (!this.#policy || before.kind !== 'pod' || after.kind !== 'pod' || before.pod.uid !== after.pod.uid) return false
    const [one, other] = [agentsOfPod(this.#policy, before.pod), agentsOfPod(this.#policy, after.pod)]
    return one.length === other.length && one.every((agent) => other.includes(agent))
  }
}
