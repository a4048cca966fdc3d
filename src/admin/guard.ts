/** Who may use the admin listener. */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { inCidr, parseAddress, parseCidr } from '#base/address.ts'
import type { Secret } from '#base/secret.ts'

const loopback = ['127.0.0.0/8', '::1'].map(parseCidr)

/** Whether an address can be reached from this machine alone. */
export function isLoopback(address: string): boolean {
  const parsed = parseAddress(address)
  return parsed !== undefined && loopback.some((range) => range !== undefined && inCidr(parsed, range))
}

/**
 * Whether Host names this machine by address or as localhost. A page that rebinds its own name to our address sends that
 * name, and is refused.
 */
export function isLocalHost(host: string | undefined): boolean {
  const name = host?.replace(/:\d{1,5}$/, '') ?? ''
  if (name.toLowerCase() === 'localhost') return true
  const bracketed = /^\[(.+)\]$/.exec(name)
  return parseAddress(bracketed?.[1] ?? name) !== undefined && (bracketed !== null) === name.includes(':')
}

/** Whether a browser sent this for a page of another origin. Requests without Origin come from programs. */
export function isCrossSite({ origin, host }: IncomingHttpHeaders): boolean {
  return origin !== undefined && origin !== `http://${host}` && origin !== `https://${host}`
}

/** Whether `Authorization: Bearer` holds the token; compared in constant time. */
export function holdsToken(authorization: string | undefined, token: Secret): boolean {
  const given = /^Bearer +([\x21-\x7e]+)$/i.exec(authorization ?? '')?.[1]
  return given !== undefined && isToken(given, token)
}

/** Whether this is the token; compared in constant time. */
export function isToken(given: string, token: Secret): boolean {
  return timingSafeEqual(digest(given), digest(token.expose()))
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
