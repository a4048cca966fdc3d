/**
 * journey/ is the way of a request through the proxy: identify, decide, admit, grant, swap, send, settle. No I/O of its
 * own: what it needs from outside it is handed through `ports.ts`. Listeners make Arrivals, `run.ts` shows the order.
 */
import type { Address } from '#base/address.ts'
import type { ErrorCode } from '#base/errors.ts'
import type { Host } from '#base/host.ts'
import type { Secret } from '#base/secret.ts'
import type { TokenClass } from '#base/usage.ts'
import type { StubIndex } from '#credentials/stubs.ts'
import type { Credential, Swap } from '#credentials/types.ts'
import type { Basis } from '#metering/charge.ts'
import type { PriceList } from '#metering/price.ts'
import type { Budget } from '#metering/types.ts'
import type { Agent, Denial, Policy, Verdict } from '#policy/types.ts'
import type { Run } from './ephemeral.ts'

/** `self`: the proxy's own calls. */
export type Door = 'dns' | 'http' | 'https' | 'proxy' | 'self'
export type Scheme = 'http' | 'https'

/** Flat `[name, value, name, value, …]`, as it came over the wire: order, case and repeats are kept. */
export type RawHeaders = readonly string[]

export interface Peer {
  readonly address: Address
  readonly port: number
}

/** Policy, credentials and identity, compiled, immutable, taken once per Exchange. */
export interface Snapshot {
  /** Hex SHA-256 of the files it was made from. */
  readonly hash: string
  readonly policy: Policy
  readonly credentials: ReadonlyMap<string, Credential>
  /** Credentials by the token endpoints that are answered here for them: `host:port/path`. */
  readonly answers: ReadonlyMap<string, readonly Credential[]>
  /** The stubs of those credentials, arranged for looking up. */
  readonly stubs: StubIndex
  readonly budgets: ReadonlyMap<string, Budget>
  /** What models cost, where the policy says it. */
  readonly prices: PriceList
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

/** Who speaks and under which snapshot. */
export interface Exchange {
  readonly agent: Agent
  readonly snapshot: Snapshot
  /** The run of an ephemeral agent, which agent and snapshot are narrowed to. */
  readonly run?: Run | undefined
  /** That run, or the one its agent was bound to when this began. */
  readonly runId?: string | undefined
}

/** Who broke an exchange off. */
export type CutBy = 'agent' | 'policy' | 'budget' | 'shutdown'

/** How an exchange ended. */
export type Outcome =
  | { readonly kind: 'replied' }
  | { readonly kind: 'denied'; readonly denial: Denial }
  | { readonly kind: 'failed'; readonly code: ErrorCode; readonly detail?: string | undefined }
  | { readonly kind: 'aborted'; readonly by: CutBy }

/**
 * One line of audit: where, never what. Everything an agent chose is bounded and escaped by the writer; no header value,
 * query or body byte is ever in it. Durations in milliseconds.
 */
export interface AuditRecord {
  readonly id: string
  /** ISO 8601, UTC. */
  readonly time: string
  readonly type: 'request' | 'upgrade' | 'tunnel' | 'tls' | 'dns' | 'credential' | 'budget' | 'run' | 'operator'
  /**
   * Tunnels and upgrades are written when they open and when they close; a credential when only a login helps it and
   * when it is well again; a run when it begins and ends, and when an agent is bound to one; an operator when they act; all else once.
   */
  readonly event:
    | 'exchange'
    | 'open'
    | 'close'
    | 'needs_login'
    | 'recovered'
    | 'warning'
    | 'exhausted'
    | 'minted'
    | 'bound'
    | 'ended'
    | 'reloaded'
    | 'budget_set'
    | 'login_begun'
  readonly agent: string | null
  readonly peer: string
  readonly door: Door
  readonly protocol: string
  readonly method?: string | undefined
  readonly scheme?: Scheme | undefined
  readonly host?: string | undefined
  readonly port?: number | undefined
  /** Without query. */
  readonly path?: string | undefined
  /** What a clone or a push asks about first, in place of the query that says it. */
  readonly git?: 'fetch' | 'push' | undefined
  readonly rule?: string | undefined
  readonly verdict: 'allow' | 'deny' | 'would_deny' | 'error'
  /** An error code of the table, when the verdict is not `allow` or the exchange broke off. */
  readonly code?: ErrorCode | undefined
  readonly reason?: string | undefined
  readonly swaps: readonly Swap[]
  /** Credentials whose real value was taken out of the reply, with how often. */
  readonly scrubbed?: Readonly<Record<string, number>> | undefined
  /** Credential whose stub or real value was misused, that a token call was for, or whose stub report mode let pass unswapped. */
  readonly credential?: string | undefined
  /** A token call that was answered here, with stubs. */
  readonly answered?: true | undefined
  /** It was a login: made in the agent's place, and what it granted is kept here. */
  readonly captured?: true | undefined
  /** The budget that refused or ended it. */
  readonly budget?: string | undefined
  /** Milliseconds for which it waited for room in its budgets. */
  readonly waited?: number | undefined
  /** How far the limits of the subscription behind it are used, each as a share; 1 is all. */
  readonly limits?: Readonly<Record<string, number>> | undefined
  /** What a metered exchange used. */
  readonly usage?: MeteredUsage | undefined
  /** The model of a metered exchange that has no price: as its agent named it. */
  readonly unpriced?: Unpriced | undefined
  readonly status?: number | undefined
  readonly bytesUp: number
  readonly bytesDown: number
  readonly duration: number
  /** Until the upstream's reply head. */
  readonly ttfb?: number | undefined
  readonly upstream?: string | undefined
  readonly parent?: string | undefined
  readonly runId?: string | undefined
  /** The trace that the agent's request belongs to. */
  readonly traceId?: string | undefined
  readonly policyHash?: string | undefined
  /** DNS only. */
  readonly dns?:
    | { readonly qtype: string; readonly rcode: string; readonly outcome: string; readonly proto: 'udp' | 'tcp' }
    | undefined
  /** How often this was seen since it was last written (DNS). */
  readonly count?: number | undefined
}

export interface Unpriced {
  readonly meter: string
  readonly model: string
}

/** What was counted and charged: tokens, and US dollars where the price is known. */
export interface MeteredUsage extends Readonly<Partial<Record<TokenClass, number | undefined>>> {
  readonly meter: string
  /** As the price table or the policy calls it; `other` when neither knows it. */
  readonly model: string
  /** Part of `output` that was thought. */
  readonly reasoning?: number | undefined
  readonly usd?: number | undefined
  /** The provider did not report it all: what is written is reckoned, or the whole hold was charged. */
  readonly estimated?: true | undefined
  /** What the charge goes by, where it is no report of the provider. */
  readonly charged?: Basis | undefined
}

export type { Verdict }
