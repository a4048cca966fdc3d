/**
 * What a head loses on its way through the proxy, in both directions. Order, case and repeats of what stays are kept.
 */
import { foldName } from '#base/header-name.ts'
import { misleadsHost } from '#base/misleading-header.ts'
import type { RawHeaders } from '#contracts/request.ts'

// RFC 9110 section 7.6.1, and the older names that peers still act on.
const hopByHop = [
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-authentication-info',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
] as const

// Replies must not teach an agent a way around the proxy (HTTP/3, other ports) or upgrade behind its back.
const unwelcome = ['alt-svc', 'proxy-status', 'alternate-protocol'] as const

/** What becomes of a header on its way to an upstream, by its folded name; it stays where nothing is said. */
const outgoing: ReadonlyMap<string, 'drop' | 'te' | 'range' | 'accept-encoding'> = new Map([
  ...[...hopByHop, 'host'].map((name) => [name, 'drop'] as const),
  ['te', 'te'],
  ['range', 'range'],
  ['if-range', 'range'],
  ['accept-encoding', 'accept-encoding'],
])

/** Folded names of reply headers that end here. */
const ending: ReadonlySet<string> = new Set([...hopByHop, ...unwelcome])

const nothing: ReadonlySet<string> = new Set()

/** Names listed in Connection headers, folded: they end at this hop (RFC 9110 section 7.6.1). */
export function nominated(headers: RawHeaders): ReadonlySet<string> {
  let names: Set<string> | undefined
  for (let i = 0; i < headers.length; i += 2) {
    // `keep-alive`, which most peers send, names a header that ends at this hop anyway.
    if (!isNamed(headers[i] ?? '', 'connection') || headers[i + 1] === 'keep-alive') continue
    names ??= new Set()
    for (const name of (headers[i + 1] ?? '').split(',')) names.add(foldName(name.trim()))
  }
  return names ?? nothing
}

/**
 * The headers a request leaves with: `host` first, if it is given, in place of the agent's. `TE: trailers` stays when asked for, since
 * gRPC servers require it. When the reply will be searched, an Accept-Encoding is narrowed to codings we can undo, and a part
 * of it can be asked for only with `parts`.
 */
export function requestHeaders(
  headers: RawHeaders,
  options: { readonly decode: boolean; readonly parts?: boolean; readonly host?: string },
): string[] {
  const dropped = nominated(headers)
  const kept: string[] = options.host === undefined ? [] : ['host', options.host]
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? ''
    const value = headers[i + 1] ?? ''
    const folded = foldName(name)
    const fate = outgoing.get(folded)
    if (fate === 'te' && /(?:^|,)\s*trailers\s*(?:,|$)/i.test(value)) kept.push('te', 'trailers')
    else if (fate === 'drop' || fate === 'te' || misleadsHost(folded) || dropped.has(folded)) continue
    // A value could be fetched in pieces, each too short to be known: the whole reply or nothing.
    else if (fate === 'range' && options.decode && !options.parts) continue
    else if (fate === 'accept-encoding' && options.decode) kept.push(name, decodable(value))
    else kept.push(name, value)
  }
  return kept
}

/** The same headers for a body of another length. */
export function resized(headers: readonly string[], length: number): string[] {
  const kept: string[] = []
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? ''
    if (!isNamed(name, 'content-length')) kept.push(name, headers[i + 1] ?? '')
  }
  return [...kept, 'content-length', String(length)]
}

/** The headers a reply goes back with. With `reframed`, its length is no longer known. */
export function replyHeaders(headers: RawHeaders, options: { readonly reframed: boolean }): string[] {
  const dropped = nominated(headers)
  const kept: string[] = []
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? ''
    const folded = foldName(name)
    if (ending.has(folded) || dropped.has(folded)) continue
    if (options.reframed && folded === 'content-length') continue
    kept.push(name, headers[i + 1] ?? '')
  }
  return kept
}

/** The first value of a header, by its lower-case name. */
export function headerValue(headers: RawHeaders, name: string): string | undefined {
  for (let i = 0; i < headers.length; i += 2) {
    if (isNamed(headers[i] ?? '', name)) return headers[i + 1]
  }
  return undefined
}

/** Whether a name is this one, given in lower case. */
function isNamed(name: string, lower: string): boolean {
  return name.length === lower.length && (name === lower || name.toLowerCase() === lower)
}

/** Content codings (RFC 9110 section 8.4.1) whose replies can be searched for real values as they stream. */
const decodableCodings = ['gzip', 'x-gzip', 'deflate', 'br', 'zstd', 'identity'] as const

/** What was narrowed before, as sent: clients send one of a few. */
const narrowed = new Map<string, string>()

function decodable(acceptEncoding: string): string {
  const found = narrowed.get(acceptEncoding)
  if (found !== undefined) return found
  const known = acceptEncoding.split(',').filter((item) => (decodableCodings as readonly string[]).includes(codingOf(item)))
  const small = known.filter((item) => !largeWindows.has(codingOf(item)))
  // The agent reads plain text either way, and a window of gzip is 32 KiB.
  const kept = small.some((item) => codingOf(item).endsWith('gzip') && !/;\s*q=0(?:\.0*)?\s*$/.test(item)) ? small : known
  const answer = kept.length > 0 ? kept.map((item) => item.trim()).join(', ') : 'identity'
  if (narrowed.size < 100 && acceptEncoding.length <= 100) narrowed.set(acceptEncoding, answer)
  return answer
}

/** A reply in one of these may ask for 8 or 16 MiB to decode it. */
const largeWindows: ReadonlySet<string> = new Set(['br', 'zstd'])

function codingOf(item: string): string {
  return item.split(';', 1)[0]?.trim().toLowerCase() ?? ''
}

/** Flat pairs as Node's HTTP/2 wants them: lower-case names, repeats as arrays. */
export function nested(headers: RawHeaders): Record<string, string | string[]> {
  const grouped: Record<string, string | string[]> = Object.create(null) as Record<string, string | string[]>
  for (let i = 0; i < headers.length; i += 2) {
    const name = (headers[i] ?? '').toLowerCase()
    const value = headers[i + 1] ?? ''
    const known = grouped[name]
    grouped[name] = known === undefined ? value : [...(Array.isArray(known) ? known : [known]), value]
  }
  return grouped
}
