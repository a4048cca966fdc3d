/** What tokens look like, whoever wrote them down: a token endpoint, a file of a client, another proxy. */
import { Secret } from '#base/secret.ts'
import type { Pair } from '../lease.ts'

/** A pair of tokens that were read. `expiresAt` in milliseconds since the epoch; a JWT says it itself when nothing else does. */
export function pairOf(
  access: string,
  refresh: string | undefined,
  expiresAt: number | undefined,
  scopes: readonly string[] | undefined,
): Pair {
  return {
    access: new Secret('access token', access),
    refresh: refresh === undefined ? undefined : new Secret('refresh token', refresh),
    expiresAt: expiresAt ?? jwtExpiry(access),
    scopes,
  }
}

/** A token that can stand in a header and in a form (RFC 6749 appendix A.12, without the space). No length limit. */
export function tokenIn(value: unknown): string | undefined {
  return typeof value === 'string' && /^[\x21-\x7e]+$/.test(value) ? value : undefined
}

/** Scopes separated by spaces (RFC 6749 section 3.3); `undefined`: none is said. */
export function scopesIn(value: unknown): readonly string[] | undefined {
  const scopes = typeof value === 'string' ? value.split(' ').filter((each) => each !== '') : []
  return scopes.length > 0 ? scopes : undefined
}

/** A number, or one that is written as a text; some servers quote `expires_in`. */
export function numberIn(value: unknown): number | undefined {
  if (typeof value === 'number') return Number.isFinite(value) ? value : undefined
  return typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : undefined
}

/** The JSON object that a text is; `undefined`: it is none. */
export function objectIn(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    return asObject(JSON.parse(text))
  } catch {
    return undefined
  }
}

export function asObject(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined
}

/** Latest time taken for one in seconds, the year 5138: what is later was written in milliseconds. */
export const latestSecond = 100_000_000_000

/** When a JWT says that it ends (RFC 7519 section 4.1.4), in milliseconds. Its signature is its issuer's business. */
function jwtExpiry(token: string): number | undefined {
  const [, payload = '', ...rest] = token.split('.')
  const expiry = rest.length === 1 ? objectIn(Buffer.from(payload, 'base64url').toString('utf8'))?.['exp'] : undefined
  return typeof expiry === 'number' && expiry > 0 && expiry < latestSecond ? expiry * 1000 : undefined
}
