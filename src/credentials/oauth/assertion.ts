/** Signed statements in place of a password (RFC 7523), made for one call each. */
import { ProxyError } from '#base/errors.ts'
import type { Secret } from '#base/secret.ts'
import type { LeaseInput, LeaseTools } from '../lease.ts'

/** Seconds before and after now in which an assertion holds: clocks differ by a minute. */
export interface ValidityWindow {
  readonly before: number
  readonly after: number
}

/** A JWT over the claims, with `iat` and `exp` around now. Throws `credential_unavailable` when the key is missing or cannot sign. */
export function signAssertion(
  header: Parameters<LeaseTools['signJwt']>[0],
  claims: Readonly<Record<string, unknown>>,
  { before, after }: ValidityWindow,
  { secrets, now, tools }: LeaseInput,
): string {
  const key = needSecret(secrets, 'privateKey')
  const second = Math.floor(now / 1000)
  return tools.signJwt(header, { ...claims, iat: second - before, exp: second + after }, key)
}

/** One of the secrets of a call. Throws `credential_unavailable`. */
export function needSecret(secrets: LeaseInput['secrets'], name: string): Secret {
  const secret = secrets[name]
  if (!secret) throw new ProxyError('credential_unavailable', `the value of ${name} is not available`)
  return secret
}
