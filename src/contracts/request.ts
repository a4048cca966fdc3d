/** What an agent sends, as the doors read it: heads, bodies, and arrivals that are ready to be judged. */
import type { Address } from '#base/address.ts'
import type { ErrorCode } from '#base/errors.ts'
import type { Host } from '#base/host.ts'
import type { MemoryShare } from '#base/memory-account.ts'
import type { Secret } from '#base/secret.ts'

/** `self`: the proxy's own calls. */
export type Door = 'dns' | 'http' | 'https' | 'proxy' | 'self'
export type Scheme = 'http' | 'https'

/** Flat `[name, value, name, value, …]`, as it came over the wire: order, case and repeats are kept. */
export type RawHeaders = readonly string[]

export interface Peer {
  readonly address: Address
  readonly port: number
}

export interface Target {
  readonly scheme: Scheme
  readonly host: Host
  readonly port: number
}

/** A request head that passed the screen: canonical enough to judge, and otherwise as it came. */
export interface RequestHead extends Target {
  readonly method: string
  readonly path: string
  /** With its question mark, or empty. */
  readonly query: string
  readonly headers: RawHeaders
  /** Its media types say that it carries, or wants, a DNS message. */
  readonly dnsMessage?: boolean
  /** Its body is a form, `application/x-www-form-urlencoded`. */
  readonly form?: boolean
}

/** What `Proxy-Authorization: Basic` carried. */
export interface ProxyAuth {
  readonly username: string
  readonly password: Secret
}

interface ArrivalBase {
  readonly door: Door
  readonly peer: Peer
  readonly proxyAuth?: ProxyAuth | undefined
  /** Id of the tunnel this came through. */
  readonly parent?: string | undefined
}

/** A request whose head was read and passed the screen. */
export interface RequestArrival extends ArrivalBase {
  /** `upgrade`: a WebSocket handshake. */
  readonly kind: 'request' | 'upgrade'
  readonly protocol: 'http/1.0' | 'http/1.1' | 'h2'
  readonly head: RequestHead
  /** What the agent calls the run it is on (`X-Run-Id`): goes into the record and no further. */
  readonly runId?: string | undefined
  /** Of its `traceparent` (W3C Trace Context), which goes on unchanged. */
  readonly traceId?: string | undefined
}

/** A CONNECT, or a TLS connection of the transparent door known only by its SNI. */
export interface TunnelArrival extends ArrivalBase {
  readonly kind: 'tunnel'
  readonly target: Target
}

/** What could not be read into a request. */
export interface BrokenArrival extends ArrivalBase {
  readonly kind: 'broken'
  readonly code: ErrorCode
  readonly detail: string
  readonly protocol: string
  /** As far as it was understood; for the record only. */
  readonly host?: string | undefined
}

export type Arrival = RequestArrival | TunnelArrival | BrokenArrival

/** A request body on its way from the agent. */
export interface RequestBody {
  /** Ending early leaves the agent's connection open, so that it can still be answered. */
  readonly chunks: AsyncIterable<Uint8Array>
  /** Bytes announced by Content-Length. */
  readonly length: number | undefined
  /** Trailer fields; complete only once the stream has ended. */
  trailers(): RawHeaders
  /** Counts the bytes of it that are kept until the exchange has ended. */
  readonly room?: MemoryShare
}
