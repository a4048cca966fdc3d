/** Which answers of a host mean that it took the value for dead: by then it is renewed, and the answer never reaches an agent. */
import type { RequestHead } from '#contracts/request.ts'

type Asked = Pick<RequestHead, 'host' | 'path'>

/** A reply that the proxy acts on, and that never reaches an agent. */
export interface RefusedReply {
  readonly status: number | '4xx'
  /** What its body says; left out: the status says it. */
  readonly body?: RegExp
}

export interface RefusedValue extends RefusedReply {
  readonly provider: string
  /** Left out: every request. */
  readonly asks?: (asked: Asked) => boolean
}

export const refusedValues: readonly RefusedValue[] = [
  // RFC 9110 section 15.5.2; GitHub, OpenAI, Google's APIs and most others.
  { provider: 'any', status: 401 },
  // Anthropic: `OAuth token has been revoked`, and not `… does not meet scope requirement`. AWS: `The security token … is expired`.
  { provider: 'anthropic, aws', status: 403, body: /token[^"]{0,60}\b(?:revoked|expired)\b/i },
  // Google's word on a token: Gemini CLI asks there before anything else, and takes 400 for a login that has ended.
  {
    provider: 'google',
    status: 400,
    asks: ({ host, path }) => host.endsWith('.googleapis.com') && /^(?:\/oauth2\/v[123])?\/tokeninfo$/.test(path),
    body: /"invalid_token"|"Invalid Value"/,
  },
]

/** The rows that an answer to this request may meet. */
export function refusalsFor(asked: Asked): readonly RefusedValue[] {
  return refusedValues.filter((row) => row.asks?.(asked) ?? true)
}
