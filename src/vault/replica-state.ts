import { refName, Secret } from '#base/secret.ts'
import type { SecretRef } from '#base/secret.ts'
import type { Grant } from '#credentials/types.ts'

/**
 * What another thread of this process must know of the vault to look for values and to place them. It holds real values in
 * the clear, as threads can pass nothing else: for a message port, and for nothing that prints or keeps.
 */
export interface VaultImage {
  /** Values that stand somewhere and passwords of agents, by the name of their reference. What only token calls need stays behind. */
  readonly values: readonly (readonly [ref: string, value: string, generation: number])[]
  /** Every real value in force or under way. */
  readonly known: readonly KnownImage[]
  /** How each credential is. */
  readonly health: readonly (readonly [credential: string, health: 'ok' | 'needs_login' | 'unavailable'])[]
}

export interface KnownImage {
  readonly credential: string
  readonly name: string
  readonly value: string
  readonly stub: string | undefined
}

/** A grant on its way between threads; the credential is known on both sides. */
export interface GrantImage {
  readonly name: string
  readonly value: string
  readonly generation: number
  /** See `Grant`. */
  readonly until?: number | undefined
}

export function imageOfValue({ secret, generation, until }: Omit<Grant, 'credential'>): GrantImage {
  return { name: secret.name, value: secret.expose(), generation, until }
}

export function valueOfImage({ name, value, generation }: GrantImage) {
  return { secret: new Secret(name, value), generation }
}

/** The values of a vault by reference, without those that never leave it. */
export function imageOfValues(
  refs: ReadonlyMap<string, SecretRef>,
  materials: ReadonlySet<string>,
  read: (name: string) => { readonly secret: Secret; readonly generation: number } | undefined,
): VaultImage['values'] {
  return [...refs.values()].flatMap((ref) => {
    const name = refName(ref)
    const found = materials.has(name) ? undefined : read(name)
    return found ? [[name, imageOfValue(found).value, found.generation] as const] : []
  })
}
