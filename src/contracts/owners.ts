/** Which pod has an address. */
import type { Address } from '#base/address.ts'
import type { Pod } from '#policy/pods.ts'

export interface Owners {
  /** Asked of every arrival: answers from memory and at once. */
  at(address: Address): Owner
}

export type Owner =
  | { readonly kind: 'pod'; readonly pod: Pod }
  /** Two pods claim it, and the API says of both that they have it. */
  | { readonly kind: 'several'; readonly pods: readonly [Pod, Pod] }
  /**
   * This pod had it. `handed`: a pod of another namespace has claimed it since. `silent`: the API has not spoken of its
   * namespace for longer than the bound.
   */
  | { readonly kind: 'doubtful'; readonly pod: Pod; readonly because: 'handed' | 'silent' }
  /** A node speaks for whoever is on its network, and for all whose address was masqueraded. */
  | { readonly kind: 'node' }
  | { readonly kind: 'nobody' }
  /** Nobody yet, and not all pods are known. */
  | { readonly kind: 'pending' }

/** For whoever scrapes; times in milliseconds since the epoch, the rest counts. */
export interface IdentityGauges {
  readonly lookups: Readonly<Record<string, number>>
  /** By namespace. */
  readonly pods: Readonly<Record<string, number>>
  readonly lastSync: Readonly<Record<string, number>>
  /** By namespace: 1 if its pods are known and the API has spoken of them within the bound, else 0. */
  readonly ready: Readonly<Record<string, number>>
  readonly failures: Readonly<Record<string, number>>
}
