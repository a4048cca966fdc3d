import type { ErrorCode } from '#base/errors.ts'
import { parseAuthority } from '#base/host.ts'
import type { HostAuthority } from '#base/host.ts'
import { decodeBase64 } from '#base/bytes.ts'
import { foldName } from '#base/header-name.ts'
import { isRunId, runIdForm } from '#base/run-id.ts'
import { traceIdOf } from '#base/trace-id.ts'
import { Secret } from '#base/secret.ts'
import { refusePath } from '#policy/path.ts'
import type { ProxyAuth, RawHeaders, RequestHead, Scheme } from '#contracts/request.ts'
import { isFieldText, isToken } from '#wire/characters.ts'
import type { Connection } from './connection.ts'

/** A head as a parser handed it over, for HTTP/1.x and HTTP/2 alike. */
export interface RawHead {
  /** As the peer wrote it; HTTP/2 is `2`. */
  readonly version: string
  readonly method: string
  /** Request target (HTTP/1.x) or `:path`. */
  readonly target: string
  readonly headers: RawHeaders
  /** HTTP/2 only. */
  readonly authority?: string | undefined
  readonly scheme?: string | undefined
}

export interface Screened {
  readonly kind: 'screened'
  readonly head: RequestHead
  readonly upgrade: boolean
  readonly hasBody: boolean
  readonly length: number | undefined
  readonly proxyAuth: ProxyAuth | undefined
  readonly runId: string | undefined
  readonly traceId: string | undefined
}

export interface HeadRefusal {
  readonly kind: 'refused'
  readonly code: ErrorCode
  readonly detail: string
}

const most = { headers: 200, headBytes: 16 * 1024, target: 16 * 1024, method: 32 } as const

/** DNS over HTTPS by its media types: RFC 8484, RFC 9230, and the JSON that public resolvers speak. */
const dnsMedia = /application\/(?:oblivious-)?dns-(?:message|json)/i

const formMedia = 'application/x-www-form-urlencoded'

const versions = new Set(['1.0', '1.1', '2'])

/** Names a Connection header may not declare to be of this hop: doing so would strip them behind our back. */
const notNominable = new Set([
  'api-key',
  'authorization',
  'content-encoding',
  'content-length',
  'content-type',
  'cookie',
  'host',
  'transfer-encoding',
  'x-api-key',
  'x-goog-api-key',
])

/** Echoed by servers to whoever asks (TRACE, TRACK), or a tunnel where none may be (CONNECT). */
const neverForwarded = new Set(['TRACE', 'TRACK', 'CONNECT'])

/**
 * The one screen every request head passes, before anything looks at it: RFC 9110, 9112 and 9113 read strictly, where
 * parsers are lenient. Refuses, never repairs; what passes goes out byte for byte.
 */
export function screen(raw: RawHead, connection: Connection): Screened | HeadRefusal {
  if (!versions.has(raw.version)) return refused('malformed_request', 'the protocol version is not HTTP/1.0 or HTTP/1.1')
  const method = checkMethod(raw.method)
  if (method) return method
  if (raw.version === '2' && raw.scheme !== connection.scheme)
    return refused('malformed_request', 'the :scheme is not the connection’s')
  if (raw.target.length > most.target) return refused('head_too_large', 'the request target is too long')

  const fields = readFields(raw)
  if (fields.kind === 'refused') return fields
  const target = readTarget(raw, fields, connection)
  if (target.kind === 'refused') return target
  const place = agree(target.authority, connection)
  if (place.kind === 'refused') return place

  const { path, query } = target
  const fault = refusePath(path)
  if (fault !== undefined) return refused('bad_path', fault)
  if (query !== '' && !/^\?[\x21\x22\x24-\x7e]*$/.test(query))
    return refused('bad_path', 'the query holds a control, non-ASCII or # character')

  const { host, port } = place
  return {
    kind: 'screened',
    head: {
      method: raw.method,
      scheme: target.scheme,
      host,
      port,
      path,
      query,
      headers: raw.headers,
      ...(fields.dnsMessage && { dnsMessage: true }),
      ...(fields.form && { form: true }),
    },
    upgrade: fields.upgrade,
    hasBody: fields.chunked || (fields.length ?? 0) > 0 || raw.version === '2',
    length: fields.length,
    proxyAuth: fields.proxyAuth ?? connection.proxyAuth,
    runId: fields.runId,
    traceId: fields.traceId,
  }
}

/** The head of a CONNECT: its authority is the target, and Host must agree with it when there is one. */
export function readConnect(raw: RawHead): { readonly kind: 'connect'; readonly proxyAuth: ProxyAuth | undefined } | HeadRefusal {
  if (raw.version === '2') return refused('method_not_allowed', 'CONNECT over HTTP/2 is not offered')
  const fields = readFields(raw)
  if (fields.kind === 'refused') return fields
  if (fields.chunked || fields.length !== undefined) return refused('bad_framing', 'CONNECT has no body')
  const named = fields.host === undefined ? undefined : parseAuthority(fields.host)
  const target = parseAuthority(raw.target)
  if (fields.host !== undefined && named?.host !== target?.host) return refused('bad_host', 'Host is not the target of CONNECT')
  return { kind: 'connect', proxyAuth: fields.proxyAuth }
}

function checkMethod(method: string): HeadRefusal | undefined {
  if (method.length > most.method || !/^[A-Z][A-Z-]*$/.test(method))
    return refused('method_not_allowed', 'the method is not a standard one in upper case')
  if (neverForwarded.has(method)) return refused('method_not_allowed', `${method} is never forwarded`)
  return undefined
}

/** Names that decide how a message is read: a server that folds another spelling to one of them would read another message. */
const ofThisHop = new Set([
  'connection',
  'content-encoding',
  'content-length',
  'expect',
  'host',
  'proxy-authorization',
  'transfer-encoding',
  'upgrade',
])

const keepAlive: readonly string[] = ['keep-alive']

/** The options of a Connection header, in lower case. Mostly there is one. */
function optionsOf(value: string): readonly string[] {
  if (value === 'keep-alive') return keepAlive
  return value
    .toLowerCase()
    .split(',')
    .map((option) => option.trim())
}

interface Fields {
  readonly kind: 'fields'
  readonly host: string | undefined
  readonly length: number | undefined
  readonly chunked: boolean
  readonly upgrade: boolean
  readonly dnsMessage: boolean
  readonly form: boolean
  readonly proxyAuth: ProxyAuth | undefined
  readonly runId: string | undefined
  readonly traceId: string | undefined
}

/** One pass over the header fields: framing, Host and Connection are the ones that smuggling is made of. */
function readFields({ version, headers, method }: RawHead): Fields | HeadRefusal {
  if (headers.length > most.headers * 2) return refused('head_too_large', `more than ${most.headers} header fields`)
  let host: string | undefined
  let length: number | undefined
  let chunked = false
  let upgrade: string | undefined
  let proxyAuth: ProxyAuth | undefined
  let options: readonly string[] = []
  let runId: string | undefined
  let traceId: string | undefined
  let dnsMessage = false
  let form = false
  let expects = false
  let bytes = 0
  for (let i = 0; i < headers.length; i += 2) {
    const sent = headers[i] ?? ''
    const name = foldName(sent)
    const value = headers[i + 1] ?? ''
    // Node holds an HTTP/2 client to our limit only once it has acknowledged it (RFC 9113 section 6.5.3).
    bytes += name.length + value.length
    if (bytes > most.headBytes) return refused('head_too_large', 'the header fields are too long')
    if (!isToken(sent)) return refused('bad_header', 'a header name is not a token')
    if (!isFieldText(value)) return refused('bad_header', `${name} holds a control character`)
    if (version === '2' && isPadded(value)) return refused('bad_header', `${name} has white space around its value`)
    if (ofThisHop.has(name) && sent.toLowerCase() !== name)
      return refused('bad_header', `a header name is another spelling of ${name}`)
    switch (name) {
      case 'host':
        if (host !== undefined) return refused('bad_host', 'Host is there twice')
        host = value
        break
      case 'content-length':
        if (length !== undefined || !/^\d{1,15}$/.test(value))
          return refused('bad_framing', 'Content-Length must be one decimal number')
        length = Number(value)
        break
      case 'transfer-encoding':
        if (version !== '1.1' || chunked || value !== 'chunked')
          return refused('bad_framing', 'Transfer-Encoding may only be chunked, once, in HTTP/1.1')
        chunked = true
        break
      case 'connection':
        if (version === '2') return refused('bad_header', 'Connection does not exist in HTTP/2')
        options = [...options, ...optionsOf(value)]
        break
      case 'upgrade':
        upgrade = value.toLowerCase()
        break
      case 'expect':
        if (expects || value.toLowerCase() !== '100-continue')
          return refused('expectation_failed', 'Expect may only be 100-continue, once')
        expects = true
        break
      case 'proxy-authorization': {
        const read = readProxyAuth(value)
        if (proxyAuth || !read) return refused('bad_credential', 'Proxy-Authorization must be one Basic credential')
        proxyAuth = read
        break
      }
      case 'accept':
      case 'content-type':
        dnsMessage ||= value.includes('dns-') && dnsMedia.test(value)
        form ||= name === 'content-type' && value.slice(0, formMedia.length).toLowerCase() === formMedia
        break
      case 'x-run-id':
        if (!isRunId(value)) return refused('bad_header', `X-Run-Id takes ${runIdForm}`)
        runId = value
        break
      case 'traceparent':
        // Two of them name no trace; it is passed on as it came.
        traceId = traceId === undefined ? traceIdOf(value) : ''
        break
      default:
    }
  }
  if (chunked && length !== undefined) return refused('bad_framing', 'both Content-Length and Transfer-Encoding')
  const nominated = options.find((option) => notNominable.has(foldName(option)))
  if (nominated) return refused('bad_header', `Connection may not name ${nominated}`)
  const upgrading = options.includes('upgrade') && upgrade !== undefined
  if (upgrading && upgrade !== 'websocket') return refused('bad_header', 'the only upgrade is websocket')
  if (upgrading && (version !== '1.1' || method !== 'GET' || chunked || (length ?? 0) > 0)) {
    return refused('malformed_request', 'a websocket handshake is a GET of HTTP/1.1 without a body')
  }
  return {
    kind: 'fields',
    host,
    length,
    chunked,
    upgrade: upgrading,
    dnsMessage,
    form,
    proxyAuth,
    runId,
    traceId: traceId === '' ? undefined : traceId,
  }
}

/** White space around a value, which HTTP/1.1 takes off and HTTP/2 forbids (RFC 9113 section 8.2.1). */
export function isPadded(value: string): boolean {
  return isBlank(value.charCodeAt(0)) || isBlank(value.charCodeAt(value.length - 1))
}

function isBlank(code: number): boolean {
  return code === 32 || code === 9
}

interface TargetRead {
  readonly kind: 'target'
  readonly scheme: Scheme
  readonly authority: HostAuthority
  readonly path: string
  readonly query: string
}

/** Origin form, or absolute form whose authority is the Host (RFC 9112 section 3.2); in HTTP/2 `:authority` and `:path`. */
function readTarget(raw: RawHead, fields: Fields, connection: Connection): TargetRead | HeadRefusal {
  const named = raw.version === '2' ? raw.authority : fields.host
  if (named === undefined) return refused('bad_host', raw.version === '2' ? 'no :authority' : 'no Host')
  if (raw.version === '2' && fields.host !== undefined && fields.host !== named)
    return refused('bad_host', 'Host is not :authority')
  // The name of the connection was read before.
  const authority =
    connection.bound && named === connection.bound.host ? { host: connection.bound.host, port: undefined } : parseAuthority(named)
  if (!authority) return refused('bad_host', 'the host is not a plain DNS name with an optional port')
  if (raw.target.startsWith('/')) return { kind: 'target', scheme: connection.scheme, authority, ...split(raw.target) }
  if (connection.door === 'proxy' && !connection.bound && /^https:\/\//i.test(raw.target))
    return refused('bad_path', 'an https URL is asked for in a tunnel; use CONNECT')
  const absolute = /^http:\/\/([^/?#]*)(.*)$/s.exec(raw.target)
  if (!absolute || raw.version === '2' || connection.scheme !== 'http')
    return refused('bad_path', 'the request target is not a path')
  const inTarget = parseAuthority(absolute[1] ?? '')
  if (!inTarget) return refused('bad_host', 'the host of the request target is not a plain DNS name')
  if (inTarget.host !== authority.host || (inTarget.port ?? 80) !== (authority.port ?? 80))
    return refused('bad_host', 'Host is not the host of the request target')
  const rest = absolute[2] ?? ''
  return { kind: 'target', scheme: 'http', authority, ...split(rest.startsWith('/') ? rest : `/${rest}`) }
}

function split(target: string): { readonly path: string; readonly query: string } {
  const mark = target.indexOf('?')
  return mark < 0 ? { path: target, query: '' } : { path: target.slice(0, mark), query: target.slice(mark) }
}

/** SNI or CONNECT, and Host, must name one host and one port (RFC 9110 section 7.4). */
function agree(
  authority: HostAuthority,
  { bound, scheme, localPort, door }: Connection,
): ({ readonly kind: 'place' } & Required<HostAuthority> & { port: number }) | HeadRefusal {
  const standard = scheme === 'https' ? 443 : 80
  if (bound && authority.host !== bound.host) return refused('misdirected', 'the connection was opened for another host')
  const expected = bound?.port ?? standard
  const port = authority.port ?? (door === 'proxy' && !bound ? standard : expected)
  if (door === 'proxy' && !bound) return { kind: 'place', host: authority.host, port }
  if (port !== expected && port !== localPort) return refused('misdirected', 'the connection was opened for another port')
  return { kind: 'place', host: authority.host, port: expected }
}

/** Reads `Basic base64(username:password)` (RFC 7617). */
export function readProxyAuth(value: string): ProxyAuth | undefined {
  const encoded = /^basic ([A-Za-z0-9+/=]+)$/i.exec(value)?.[1]
  const text = encoded === undefined ? undefined : decodeBase64(encoded)
  const colon = text?.indexOf(':') ?? -1
  if (text === undefined || colon < 0) return undefined
  return { username: text.slice(0, colon), password: new Secret('proxy password', text.slice(colon + 1)) }
}

function refused(code: ErrorCode, detail: string): HeadRefusal {
  return { kind: 'refused', code, detail }
}
