import type { Duplex } from 'node:stream'
import type { Clock } from '#base/clock.ts'
import type { SecretRef } from '#base/secret.ts'
import type { RealValues } from '#credentials/real-values.ts'
import type { ScrubPatterns } from '#credentials/restub.ts'
import type { Credential, Grant } from '#credentials/types.ts'
import type { Denial } from '#policy/types.ts'
import type { AuditRecord, RawHeaders, RequestHead, Snapshot } from './types.ts'

/** Everything the journey needs from outside, and nothing more. */
export interface Ports {
  readonly clock: Clock
  readonly ids: Ids
  readonly policies: Policies
  readonly vault: Vault
  readonly upstream: Upstream
  readonly live: Live
  readonly audit: Audit
}

export interface Ids {
  /** A new exchange id: sortable by time, unguessable. */
  next(): string
}

export interface Policies {
  /** The snapshot in force; `undefined`: nothing was ever loaded, so deny everything. */
  current(): Snapshot | undefined
}

export interface Vault {
  /** The live value of a credential. Throws `credential_unavailable`. */
  grant(credential: Credential): Grant | Promise<Grant>
  /** Compares in constant time; `false` also when the reference has no value. */
  verify(ref: SecretRef, candidate: string): boolean
  /** Every real value in force, for finding them where they do not belong. */
  realValues(): RealValues
  /** What turns these credentials' real values back into stubs; `undefined` when none of them has a value. */
  scrub(credentials: readonly Credential[]): ScrubPatterns | undefined
}

/** A request as it leaves: stubs exchanged, hop-by-hop headers gone. */
export interface Outbound {
  readonly head: RequestHead
  /** Flat; Host is among them. */
  readonly headers: RawHeaders
  /** Ids of the credentials in it; connections are not shared between different ones. */
  readonly credentials: readonly string[]
  /** The reply will be searched: undo its content coding, refuse what cannot be undone. */
  readonly decode: boolean
  readonly upgrade: boolean
}

/** A request body on its way from the agent. */
export interface RequestBody {
  /** Ending early leaves the agent's connection open, so that it can still be answered. */
  readonly chunks: AsyncIterable<Uint8Array>
  /** Bytes announced by Content-Length. */
  readonly length: number | undefined
  /** Trailer fields; complete only once the stream has ended. */
  trailers(): RawHeaders
}

/** What comes back, in the order it comes. */
export interface ReplySink {
  informational(status: number, headers: RawHeaders): void
  /** `last`: the reply ends with its head, and says so there. gRPC tells its status in such a head. */
  head(status: number, headers: RawHeaders, last?: boolean): void
  /** `false`: wait for `onDrain` before sending more. */
  data(chunk: Uint8Array): boolean
  end(trailers: RawHeaders): void
  /** Set by the sender, called by the sink once it can take more. */
  onDrain: () => void
}

/** The agent's side of an exchange, as a listener offers it. */
export interface Client extends ReplySink {
  /** A final reply head was written: nothing else can be said any more. */
  readonly begun: boolean
  /** Tells the agent to go on with its body (`100 Continue`), if it waits for that. */
  proceed(): void
  /** Breaks the reply off so that it cannot be taken for complete. */
  abort(): void
  /** Switches to the upgraded protocol and relays until either side is done. */
  relay(upgraded: Upgraded, signal: AbortSignal): Promise<Relayed>
}

export interface Upgraded {
  readonly headers: RawHeaders
  readonly socket: Duplex
}

export interface Relayed {
  readonly bytesUp: number
  readonly bytesDown: number
}

export interface Sent {
  /** `address:port` of the connection used. */
  readonly address: string
  /** Present when the upstream switched protocols (101). */
  readonly upgraded?: Upgraded
}

export interface Upstream {
  /**
   * Sends a request and streams its reply into the sink; resolves when the reply is complete, or when the upstream
   * switched protocols. Throws `ProxyError`.
   */
  send(outbound: Outbound, body: RequestBody | undefined, sink: ReplySink, signal: AbortSignal): Promise<Sent>
  /** A checked TCP connection for a spliced tunnel. Throws `ProxyError`. */
  connect(target: { readonly host: RequestHead['host']; readonly port: number }, signal: AbortSignal): Promise<Duplex>
}

/** What is running now: re-decided when the policy changes, cut when the proxy must stop. */
export interface Live {
  /** The returned function takes the entry out again. */
  enter(entry: LiveEntry): () => void
}

export interface LiveEntry {
  /** The denial this exchange would meet under another snapshot. */
  redecide(snapshot: Snapshot): Denial | undefined
  cut(by: 'policy' | 'shutdown', denial?: Denial): void
}

export interface Audit {
  write(record: AuditRecord): void
}
