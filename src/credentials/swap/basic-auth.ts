import { decodeBase64, encodeBase64 } from '#base/bytes.ts'

/** A username and password as Basic authentication carries them (RFC 7617), one character a byte. */
export interface BasicAuth {
  /** As sent; schemes are case-insensitive (RFC 9110 section 11.1). */
  readonly scheme: string
  readonly user: string
  readonly password: string
}

/**
 * Reads the value of an Authorization header. `undefined`: another scheme. `'malformed'`: Basic, but not one space, one
 * strict base64 text, a colon in it and no control character, so that two readers could take it for two things.
 */
export function readBasic(value: string): BasicAuth | 'malformed' | undefined {
  const scheme = value.slice(0, 5)
  if (scheme.toLowerCase() !== 'basic') return undefined
  const after = value.charAt(5)
  if (after !== ' ') return after === '' || after === '\t' ? 'malformed' : undefined
  const decoded = decodeBase64(value.slice(6))
  const colon = decoded?.indexOf(':') ?? -1
  if (decoded === undefined || colon < 0 || hasControl(decoded)) return 'malformed'
  return { scheme, user: decoded.slice(0, colon), password: decoded.slice(colon + 1) }
}

/** Writes it back, padded. */
export function writeBasic({ scheme, user, password }: BasicAuth): string {
  return `${scheme} ${encodeBase64(`${user}:${password}`)}`
}

/** Whether a text has one of the control characters that RFC 7617 section 2 forbids; in a header they would end it. */
export function hasControl(text: string): boolean {
  for (let i = 0; i < text.length; i += 1) {
    const code = text.charCodeAt(i)
    if (code < 0x20 || code === 0x7f) return true
  }
  return false
}
