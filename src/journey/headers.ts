/**
 * What a head loses on its way through the proxy, in both directions. Order, case and repeats of what stays are kept.
 */
import type { RawHeaders } from './types.ts'

// RFC 9110 section 7.6.1, and the older names that peers still act on.
const hopByHop = new Set([
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
])

// What an agent could set to make an upstream believe another host, path, method or client than the one we judged; and
// what it says to us alone.
const misleading = new Set([
  'expect',
  'forwarded',
  'http2-settings',
  'via',
  'x-forwarded',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-port',
  'x-forwarded-prefix',
  'x-forwarded-proto',
  'x-forwarded-scheme',
  'x-forwarded-server',
  'x-forwarded-uri',
  'x-http-method',
  'x-http-method-override',
  'x-method-override',
  'x-original-host',
  'x-original-url',
  'x-real-ip',
  'x-rewrite-url',
  'x-run-id',
])

// Replies must not teach an agent a way around the proxy (HTTP/3, other ports) or upgrade behind its back.
const unwelcome = new Set(['alt-svc', 'proxy-status', 'alternate-protocol'])

/** Names listed in Connection headers, lower case: they end at this hop (RFC 9110 section 7.6.1). */
export function nominated(headers: RawHeaders): ReadonlySet<string> {
  const names = new Set<string>()
  for (let i = 0; i < headers.length; i += 2) {
    if (headers[i]?.toLowerCase() !== 'connection') continue
    for (const name of (headers[i + 1] ?? '').split(',')) names.add(name.trim().toLowerCase())
  }
  return names
}

/**
 * The headers a request leaves with, without Host, which the caller writes. `TE: trailers` stays when asked for, since
 * gRPC servers require it. When the reply will be searched, an Accept-Encoding is narrowed to codings we can undo, and a part
 * of it can be asked for only with `parts`.
 */
export function requestHeaders(headers: RawHeaders, options: { readonly decode: boolean; readonly parts?: boolean }): string[] {
  const dropped = nominated(headers)
  const kept: string[] = []
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? ''
    const value = headers[i + 1] ?? ''
    const lower = name.toLowerCase()
    if (lower === 'te' && /(?:^|,)\s*trailers\s*(?:,|$)/i.test(value)) kept.push('te', 'trailers')
    else if (lower === 'host' || hopByHop.has(lower) || misleading.has(lower) || dropped.has(lower)) continue
    // A value could be fetched in pieces, each too short to be known: the whole reply or nothing.
    else if (options.decode && !options.parts && (lower === 'range' || lower === 'if-range')) continue
    else if (lower === 'accept-encoding' && options.decode) kept.push(name, decodable(value))
    else kept.push(name, value)
  }
  return kept
}

/** The same headers for a body of another length. */
export function resized(headers: readonly string[], length: number): string[] {
  const kept: string[] = []
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? ''
    if (name.toLowerCase() !== 'content-length') kept.push(name, headers[i + 1] ?? '')
  }
  return [...kept, 'content-length', String(length)]
}

/** The headers a reply goes back with. With `reframed`, its length is no longer known. */
export function replyHeaders(headers: RawHeaders, options: { readonly reframed: boolean }): string[] {
  const dropped = nominated(headers)
  const kept: string[] = []
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? ''
    const lower = name.toLowerCase()
    if (hopByHop.has(lower) || unwelcome.has(lower) || dropped.has(lower)) continue
    if (options.reframed && lower === 'content-length') continue
    kept.push(name, headers[i + 1] ?? '')
  }
  return kept
}

/** The first value of a header, by its lower-case name. */
export function headerValue(headers: RawHeaders, name: string): string | undefined {
  for (let i = 0; i < headers.length; i += 2) {
    if (headers[i]?.toLowerCase() === name) return headers[i + 1]
  }
  return undefined
}

/** Content codings (RFC 9110 section 8.4.1) whose replies can be searched for real values as they stream. */
const decodableCodings = ['gzip', 'x-gzip', 'deflate', 'br', 'zstd', 'identity'] as const

function decodable(acceptEncoding: string): string {
  const kept = acceptEncoding.split(',').filter((item) => {
    const coding = item.split(';', 1)[0]?.trim().toLowerCase() ?? ''
    return (decodableCodings as readonly string[]).includes(coding)
  })
  return kept.length > 0 ? kept.map((item) => item.trim()).join(', ') : 'identity'
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
