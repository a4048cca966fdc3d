/** The way out: a request as it leaves, and who sends it. */
import type { StopSignal } from '#base/async.ts'
import type { ReplySink, Upgraded } from './reply.ts'
import type { RawHeaders, RequestBody, RequestHead } from './request.ts'
import type { Duplex } from 'node:stream'

/** A request as it leaves: stubs exchanged, hop-by-hop headers gone. */
export interface Outbound {
  readonly head: RequestHead
  /** Whose room the decoding of the reply takes; `undefined`: the proxy asks for itself. */
  readonly agent?: string | undefined
  /** Flat; Host is among them. */
  readonly headers: RawHeaders
  /** Ids of the credentials in it; connections are not shared between different ones. */
  readonly credentials: readonly string[]
  /** The reply will be searched: undo its content coding, refuse what cannot be undone. */
  readonly decode: boolean
  readonly upgrade: boolean
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
  send(outbound: Outbound, body: RequestBody | undefined, sink: ReplySink, signal: StopSignal): Promise<Sent>
  /** A checked TCP connection for a spliced tunnel. Throws `ProxyError`. */
  connect(target: { readonly host: RequestHead['host']; readonly port: number }, signal: StopSignal): Promise<Duplex>
}
