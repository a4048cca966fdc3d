/** What a reply of an OAuth token endpoint means (RFC 6749 sections 5.1 and 5.2). Its body is never quoted. */
import type { LeaseAnswer, LeaseInput, TokenReply } from '../lease.ts'
import { asObject, numberIn, objectIn, pairOf, scopesIn, tokenIn } from './token-pair.ts'

// The errors of RFC 6749 section 5.2 and RFC 8693 section 2.2.2 that asking again does not mend, and OpenAI's names for
// `invalid_grant`. `invalid_request` is not among them: firewalls in front of token endpoints send it too.
const finalErrors: ReadonlySet<unknown> = new Set(
  (
    'invalid_grant invalid_client unauthorized_client unsupported_grant_type invalid_scope invalid_target ' +
    'refresh_token_reused refresh_token_expired refresh_token_invalidated'
  ).split(' '),
)

/** Milliseconds. A life of ten years or more is a way to say nothing. */
const longestLife = 10 * 365 * 24 * 3600 * 1000

/** Never throws. What is not clearly a grant or a final error leaves what was sent in force. */
export function readTokenReply(reply: TokenReply, { pair, now }: Pick<LeaseInput, 'pair' | 'now'>): LeaseAnswer {
  const { status } = reply
  const body = objectIn(reply.body.expose())
  const granted = status === 200 || status === 201
  // Slack and GitHub answer 200 to what they refuse.
  const error = granted || status === 400 || status === 401 ? finalError(body) : undefined
  if (error !== undefined) return { kind: 'refused', reason: error }
  if (!granted) return later(reply, `the token endpoint answered ${status}`)
  if (!body) return later(reply, `the token endpoint answered ${status} with something that is not a JSON object`)
  const access = tokenIn(body['access_token'])
  if (access === undefined) return later(reply, `the token endpoint answered ${status} without an access token`)
  // Required by RFC 6749, left out by some.
  const type = body['token_type'] ?? 'bearer'
  if (typeof type !== 'string' || type.toLowerCase() !== 'bearer') {
    return { kind: 'refused', reason: 'the token endpoint granted a token that is not a bearer token' }
  }
  const life = (numberIn(body['expires_in']) ?? 0) * 1000
  // Without a new refresh token the old one stays good (section 6); without a scope it is the one there was.
  const refresh = tokenIn(body['refresh_token'])
  const next = pairOf(
    access,
    refresh,
    life > 0 && life < longestLife ? now + life : undefined,
    scopesIn(body['scope']) ?? pair?.scopes,
  )
  return { kind: 'granted', pair: refresh === undefined ? { ...next, refresh: pair?.refresh } : next }
}

/** A reply after which the same call may be made again. */
export function later({ retryAfter }: TokenReply, reason: string): LeaseAnswer {
  return { kind: 'later', reason, after: retryAfter }
}

/** The word for a final error: where RFC 6749 has it, or as a code beside or within it as OpenAI does. */
function finalError(body: Readonly<Record<string, unknown>> | undefined): string | undefined {
  const inner = asObject(body?.['error'])
  const word = [body?.['error'], inner?.['code'], inner?.['type'], body?.['code']].find((each) => finalErrors.has(each))
  return typeof word === 'string' ? word : undefined
}
