import type { Address } from '#base/address.ts'
import type { Owner } from '#contracts/owners.ts'
import type { Pod } from '#policy/pods.ts'
import type { Placed, PodReading } from './pod.ts'

/** Told of each address whose owner is another than a moment ago. */
export type Moved = (address: Address, before: Owner, after: Owner) => void

/**
 * Who has which address. Pods are kept by uid, so that a pod which takes the name or the address of another is never
 * taken for it; an address that two pods claim is nobody's until one of them is gone. Pods of one namespace come in order.
 * A claim from another namespace puts the older claim in doubt until the watch of the older one's namespace speaks again.
 */
export class PodIndex {
  readonly #moved: Moved
  readonly #pods = new Map<string, Placed>()
  readonly #byAddress = new Map<Address, Set<Placed>>()
  /** Addresses of nodes, with how many pods there say so. */
  readonly #nodes = new Map<Address, number>()
  /** Addresses that another namespace has claimed since, by the namespace that has said nothing about it yet. */
  readonly #handed = new Map<string, Set<Address>>()

  constructor(moved: Moved) {
    this.#moved = moved
  }

  /** Who has this address now? */
  at(address: Address): Owner {
    if (this.#nodes.has(address)) return { kind: 'node' }
    const claims = this.#byAddress.get(address)
    const [first, second] = claims ?? []
    if (!claims || !first) return { kind: 'nobody' }
    const handed =
      this.#handed.size > 0 ? [...claims].find(({ pod }) => this.#handed.get(pod.namespace)?.has(address)) : undefined
    if (handed) return { kind: 'doubtful', pod: handed.pod, because: 'handed' }
    return second ? { kind: 'several', pods: [first.pod, second.pod] } : { kind: 'pod', pod: first.pod }
  }

  /** The API has spoken of this namespace: what it says of its pods is newer than any claim so far. */
  confirm(namespace: string): void {
    const addresses = this.#handed.get(namespace)
    if (!addresses) return
    const before = [...addresses].map((address) => [address, this.at(address)] as const)
    this.#handed.delete(namespace)
    for (const [address, owner] of before) this.#compare(address, owner)
  }

  /** Every address that a pod of this namespace has. */
  addressesIn(namespace: string): readonly Address[] {
    return [...new Set(this.#of(namespace).flatMap(({ addresses }) => addresses))]
  }

  /** Every address that has an owner. */
  owners(): readonly (readonly [Address, Owner])[] {
    return [...new Set([...this.#nodes.keys(), ...this.#byAddress.keys()])].map((address) => [address, this.at(address)])
  }

  /** How many pods of a namespace are known. */
  count(namespace: string): number {
    return this.#of(namespace).length
  }

  /** Takes in what a pod is now. */
  put(reading: PodReading): void {
    if (reading.kind === 'gone') return this.remove(reading.uid)
    const before = this.#pods.get(reading.pod.uid)
    // Most events tell of matters that are not ours, such as probes.
    if (before && alike(before, reading)) return
    this.#change([before, reading], () => {
      if (before) this.#take(before)
      this.#pods.set(reading.pod.uid, reading)
      for (const address of reading.addresses) this.#claim(address, reading, before)
      for (const node of reading.node) this.#nodes.set(node, (this.#nodes.get(node) ?? 0) + 1)
    })
  }

  /** Forgets a pod. */
  remove(uid: string): void {
    const before = this.#pods.get(uid)
    if (before) this.#change([before], () => this.#take(before))
  }

  /** These are all the pods of this namespace: who is not among them is gone. The gone go first, so that nobody shares an address with them. */
  replace(namespace: string, readings: readonly PodReading[]): void {
    const present = new Set(readings.flatMap((each) => (each.kind === 'placed' ? [each.pod.uid] : [])))
    for (const { pod } of this.#of(namespace)) if (!present.has(pod.uid)) this.remove(pod.uid)
    for (const reading of readings) this.put(reading)
  }

  #of(namespace: string): readonly Placed[] {
    return [...this.#pods.values()].filter(({ pod }) => pod.namespace === namespace)
  }

  #claim(address: Address, placed: Placed, before: Placed | undefined): void {
    const owners = this.#byAddress.get(address)
    if (!owners) return void this.#byAddress.set(address, new Set([placed]))
    const isNew = before?.addresses.includes(address) !== true
    for (const { pod } of isNew ? owners : []) {
      if (pod.namespace === placed.pod.namespace) continue
      const handed = this.#handed.get(pod.namespace)
      if (handed) handed.add(address)
      else this.#handed.set(pod.namespace, new Set([address]))
    }
    owners.add(placed)
  }

  #take(placed: Placed): void {
    this.#pods.delete(placed.pod.uid)
    const handed = this.#handed.get(placed.pod.namespace)
    for (const address of placed.addresses) {
      const owners = this.#byAddress.get(address)
      owners?.delete(placed)
      if (owners?.size === 0) this.#byAddress.delete(address)
      handed?.delete(address)
    }
    if (handed?.size === 0) this.#handed.delete(placed.pod.namespace)
    for (const node of placed.node) {
      const left = (this.#nodes.get(node) ?? 1) - 1
      if (left > 0) this.#nodes.set(node, left)
      else this.#nodes.delete(node)
    }
  }

  #change(concerned: readonly (Placed | undefined)[], act: () => void): void {
    const addresses = new Set(concerned.flatMap((each) => (each ? [...each.addresses, ...each.node] : [])))
    const before = [...addresses].map((address) => [address, this.at(address)] as const)
    act()
    for (const [address, owner] of before) this.#compare(address, owner)
  }

  #compare(address: Address, owner: Owner): void {
    const now = this.at(address)
    if (owner.kind !== now.kind || owner.kind === 'several' || podOf(owner) !== podOf(now)) this.#moved(address, owner, now)
  }
}

function podOf(owner: Owner): Pod | undefined {
  return owner.kind === 'pod' ? owner.pod : undefined
}

function alike(one: Placed, other: Placed): boolean {
  return JSON.stringify(facts(one)) === JSON.stringify(facts(other))
}

function facts({ pod, addresses, node }: Placed): unknown {
  const { uid, namespace, name, labels, serviceAccount } = pod
  const sorted = Object.entries(labels).toSorted(([one], [other]) => (one < other ? -1 : 1))
  return [uid, namespace, name, serviceAccount, sorted, addresses, node]
}
