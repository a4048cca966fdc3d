/** The way back to the agent: what sends a reply, and what takes it. */
import type { StopSignal } from '#base/async.ts'
import type { ProxyError } from '#base/errors.ts'
import type { RawHeaders } from './request.ts'
import type { Duplex } from 'node:stream'

/** What comes back, in the order it comes. */
export interface ReplySink {
  informational(status: number, headers: RawHeaders): void
  /** `last`: the reply ends with its head, and says so there. gRPC tells its status in such a head. */
  head(status: number, headers: RawHeaders, last?: boolean, phrase?: string): void
  /** `false`: wait for `onDrain` before sending more. */
  data(chunk: Uint8Array): boolean
  end(trailers: RawHeaders): void
  /** Set by the sender, called by the sink once it can take more. */
  onDrain: () => void
  /** Set by the sender, called by a sink that cannot make anything of what it gets: nothing more is sent to it. */
  onStop?: (error: ProxyError) => void
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
  relay(upgraded: Upgraded, signal: StopSignal): Promise<Relayed>
}

export interface Upgraded {
  readonly headers: RawHeaders
  readonly socket: Duplex
}

export interface Relayed {
  readonly bytesUp: number
  readonly bytesDown: number
}
