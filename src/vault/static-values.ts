import { createHash, timingSafeEqual } from 'node:crypto'
import { ProxyError } from '#base/errors.ts'
import { refName } from '#base/secret.ts'
import type { Secret, SecretRef } from '#base/secret.ts'
import type { Credential, Grant } from '#credentials/types.ts'

export interface Value {
  readonly secret: Secret
  readonly generation: number
}

/** Real values that simply stand somewhere, by the name of their reference. */
export type StandingValues = ReadonlyMap<string, Value>

/** The grant of a credential without a lease; `undefined`: its value, or what goes with it, could never be read. */
export function grantFrom(values: StandingValues, credential: Credential): Grant | undefined {
  const { secret, companions } = credential
  const value = secret && values.get(refName(secret))
  if (!value || !companions) return value && { credential, ...value }
  const found = Object.entries(companions).map(([name, ref]) => [name, values.get(refName(ref))?.secret] as const)
  if (found.some(([, each]) => each === undefined)) return undefined
  return { credential, ...value, companions: Object.fromEntries(found) as Record<string, Secret> }
}

/** Compares in constant time, whatever the lengths; `false` also where there is no value. */
export function isValueOf(values: StandingValues, ref: SecretRef, candidate: string): boolean {
  const value = values.get(refName(ref))
  return value !== undefined && timingSafeEqual(digest(value.secret.expose()), digest(candidate))
}

export function unavailable({ id }: Credential): ProxyError {
  return new ProxyError('credential_unavailable', `the real value of ${id} is not available`)
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
