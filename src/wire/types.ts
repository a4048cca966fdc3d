/**
 * wire/ answers: what do these bytes say, as HTTP/1.1, and how is that written? Bytes in, events out, and back; no socket, no clock.
 * Its neighbours: listeners/ and upstream/ drive it, one for each side of the proxy. RFC 9112 is read strictly: what could be read in
 * two ways is refused, never repaired.
 */
import type { ErrorCode } from '#base/errors.ts'

/** Bytes and counts past which a message is refused. */
export interface WireLimits {
  /** Start line and fields, with their line ends. */
  readonly headBytes: number
  readonly headers: number
  readonly targetBytes: number
  /** Chunk extensions of one message. */
  readonly chunkLineBytes: number
  readonly trailerBytes: number
}

export interface WireRefusal {
  readonly code: ErrorCode
  readonly detail: string
}

/** Stands for a fault where a text ends too early to tell; it never leaves the room. */
export const incomplete: WireRefusal = Object.freeze({ code: 'malformed_request', detail: 'the head is not complete' })

/** Field lines in their order. */
export interface FieldBlock {
  /** Flat `[name, value, …]` in latin1: names as they came, values without the white space around them. */
  readonly fields: readonly string[]
  /** The folded id of each name (`names.ts`), half as many as `fields`. */
  readonly ids: readonly number[]
}

/** How the end of a body is known (RFC 9112 section 6.3). `close`: by the end of the connection, of replies alone. */
export type Framing =
  | { readonly kind: 'none' }
  | { readonly kind: 'length'; readonly length: number }
  | { readonly kind: 'chunked' }
  | { readonly kind: 'close' }

export type Version = '1.0' | '1.1'

export interface WireRequestHead extends FieldBlock {
  readonly method: string
  readonly target: string
  readonly version: Version
  readonly framing: Framing
  /** The peer says that it sends nothing after this message. */
  readonly lastOnConnection: boolean
  /** It waits for `100 Continue` before it sends its body. */
  readonly expectContinue: boolean
}

export interface WireReplyHead extends FieldBlock {
  readonly status: number
  /** As it came; often empty. */
  readonly reason: string
  readonly version: Version
  readonly framing: Framing
  readonly lastOnConnection: boolean
}

/** What stands in a body. An exception that a handler throws passes through `read` unchanged. */
export interface BodyEvents {
  /** A view of the bytes that were given to `read`. */
  data(bytes: Buffer): void
  /** The message is complete. */
  end(trailers: readonly string[]): void
  /** Nothing can be read any more. */
  refuse(refusal: WireRefusal): void
}

export interface RequestEvents extends BodyEvents {
  head(head: WireRequestHead): void
}

export interface ReplyEvents extends BodyEvents {
  /** An interim reply, but for 101. */
  informational(head: WireReplyHead): void
  /** The final reply, or 101; `end` follows. */
  head(head: WireReplyHead): void
}
