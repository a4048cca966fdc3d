import type { ErrorCode } from '#base/errors.ts'
import type { WireRefusal } from './types.ts'

export function refusal(code: ErrorCode, detail: string): WireRefusal {
  return Object.freeze({ code, detail })
}

/** What either side refuses in the parts that requests and replies share. */
export interface SharedFaults {
  readonly headTooLarge: WireRefusal
  readonly trailersTooLarge: WireRefusal
  readonly emptyLine: WireRefusal
  readonly chunk: WireRefusal
  readonly extension: WireRefusal
  readonly ended: WireRefusal
  /** A fault of a field line, as this side reports it. */
  readonly ofFields: (fault: WireRefusal) => WireRefusal
}

export const requestFaults: SharedFaults = {
  headTooLarge: refusal('head_too_large', 'the request head is too large'),
  trailersTooLarge: refusal('head_too_large', 'the trailers of the request are too large'),
  emptyLine: refusal('malformed_request', 'the request is not well-formed HTTP'),
  chunk: refusal('bad_framing', 'the message length is ambiguous'),
  extension: refusal('bad_framing', 'a chunk extension is not well-formed'),
  ended: refusal('bad_framing', 'the connection ended within the message'),
  ofFields: (fault) => fault,
}

export const replyFaults: SharedFaults = {
  headTooLarge: refusal('upstream_protocol', 'the reply head is too large'),
  trailersTooLarge: refusal('upstream_protocol', 'the trailers of the reply are too large'),
  emptyLine: refusal('upstream_protocol', 'the reply is not well-formed HTTP'),
  chunk: refusal('upstream_protocol', 'a chunk of the reply is not well-formed'),
  extension: refusal('upstream_protocol', 'a chunk extension of the reply is not well-formed'),
  ended: refusal('upstream_reset', 'the host broke its reply off'),
  ofFields: ({ detail }) => refusal('upstream_protocol', detail),
}
