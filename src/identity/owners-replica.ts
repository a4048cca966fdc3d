import type { Address } from '#base/address.ts'
import type { Owner, Owners } from '#contracts/owners.ts'

/** All that is known of who has which address, as it crosses to another thread. */
export interface OwnersImage {
  readonly owners: readonly (readonly [Address, Owner])[]
  /** Not all pods are known: whoever is not among these may be one of them. */
  readonly pending: boolean
}

export type Lookups = Readonly<Record<Owner['kind'], number>>

/** Who has which address, for a thread that does not watch the cluster: it is told. */
export class OwnersReplica implements Owners {
  readonly #owners = new Map<Address, Owner>()
  #pending = true
  #lookups = none()

  /** Takes in all there is. */
  take({ owners, pending }: OwnersImage): void {
    this.#owners.clear()
    for (const [address, owner] of owners) this.move(address, owner)
    this.#pending = pending
  }

  move(address: Address, owner: Owner): void {
    if (owner.kind === 'nobody') this.#owners.delete(address)
    else this.#owners.set(address, owner)
  }

  wait(pending: boolean): void {
    this.#pending = pending
  }

  at(address: Address): Owner {
    const owner = this.#owners.get(address) ?? { kind: this.#pending ? 'pending' : 'nobody' }
    this.#lookups[owner.kind] += 1
    return owner
  }

  /** What was asked since the last time this was. */
  drain(): Lookups {
    const lookups = this.#lookups
    this.#lookups = none()
    return lookups
  }
}

function none(): Record<Owner['kind'], number> {
  return { pod: 0, nobody: 0, several: 0, node: 0, doubtful: 0, pending: 0 }
}
