/**
 * The one parser of host names, used by every door: DNS, SNI, CONNECT, Host and `:authority`. What two parsers read
 * differently is how products of this class fell, so there is one, and it takes ASCII LDH names only.
 */

/** A lower-case DNS name without a final dot, made only by `parseHost`. */
export type Host = string & { readonly __brand: 'Host' }

export interface HostAuthority {
  readonly host: Host
  /** As written; absent when the authority names none. */
  readonly port: number | undefined
}

const label = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/

/**
 * Reads a DNS name as it came over the wire (RFC 1123 section 2.1, with the underscore of RFC 8552).
 * One final dot and any case are the same name. Refused with `undefined`: empty, over 253 bytes, an empty or over-long
 * label, anything but letters, digits, hyphen, underscore and dot, and every spelling a resolver could take for an
 * address (`127.1`, `0x7f.1`, `2130706433`): no top-level domain is numeric (RFC 3696 section 2).
 */
export function parseHost(text: string): Host | undefined {
  const name = (text.endsWith('.') ? text.slice(0, -1) : text).toLowerCase()
  if (name.length === 0 || name.length > 253) return undefined
  const labels = name.split('.')
  if (!labels.every((each) => label.test(each))) return undefined
  const top = labels.at(-1) ?? ''
  if (/^(?:\d+|0x[0-9a-f]*)$/.test(top)) return undefined
  return name as Host
}

/**
 * Reads `host` or `host:port` (RFC 9110 section 7.2). No userinfo, no IP literal, no percent, and a port only as plain
 * decimal digits from 1 to 65535 without a leading zero.
 */
export function parseAuthority(text: string): HostAuthority | undefined {
  const colon = text.indexOf(':')
  if (colon < 0) {
    const host = parseHost(text)
    return host && { host, port: undefined }
  }
  const host = parseHost(text.slice(0, colon))
  const port = parsePort(text.slice(colon + 1))
  return host && port ? { host, port } : undefined
}

function parsePort(text: string): number | undefined {
  if (!/^[1-9]\d{0,4}$/.test(text)) return undefined
  const port = Number(text)
  return port <= 65535 ? port : undefined
}

/** An exact name, or every name at any depth below a zone but not the zone itself. */
export type HostPattern = { readonly kind: 'exact'; readonly host: Host } | { readonly kind: 'below'; readonly zone: Host }

/** Whether a name is covered by a pattern; the boundary is always a label. */
export function matchesHost(pattern: HostPattern, host: Host): boolean {
  if (pattern.kind === 'exact') return host === pattern.host
  const dot = host.length - pattern.zone.length - 1
  return dot > 0 && host.charCodeAt(dot) === 46 && host.endsWith(pattern.zone)
}

/** The pattern as a policy writes it. */
export function patternText(pattern: HostPattern): string {
  return pattern.kind === 'exact' ? pattern.host : `*.${pattern.zone}`
}
