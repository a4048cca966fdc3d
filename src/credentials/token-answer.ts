/** The answer to an agent that refreshes its stubs: the same stubs again, good for ten years. Nothing real is near it. */
import type { LocalAnswer } from './lease.ts'
import { objectIn } from './token-pair.ts'

/** Seconds. Claude Code 2 takes it and does not ask again. */
const farLife = 315_360_000

/** Answers `grant_type=refresh_token` with the refresh stub, as JSON or a form; anything else is refused. */
export function answerRefresh(
  { contentType, body }: { readonly contentType: string; readonly body: string },
  { access, refresh }: { readonly access: string; readonly refresh?: string | undefined },
  scopes: readonly string[] | undefined,
): LocalAnswer {
  const sent = parametersOf(contentType, body)
  if (!sent) return refused('the body is neither JSON nor a form with each parameter once')
  if (sent['grant_type'] !== 'refresh_token') return refused('only refresh_token is answered; a login is the operator’s')
  if (refresh === undefined || sent['refresh_token'] !== refresh) return refused('the refresh token is not the stub')
  // Claude Code 2 keeps an answer in its file only when it has a scope; Codex takes the same fields.
  const scope = scopes && { scope: scopes.join(' ') }
  const reply = { token_type: 'Bearer', access_token: access, refresh_token: refresh, expires_in: farLife, ...scope }
  return { kind: 'answered', status: 200, body: JSON.stringify(reply) }
}

function parametersOf(contentType: string, body: string): Readonly<Record<string, unknown>> | undefined {
  const type = contentType.split(';')[0]?.trim().toLowerCase()
  if (type === 'application/json') return objectIn(body)
  if (type !== 'application/x-www-form-urlencoded') return undefined
  const pairs = [...new URLSearchParams(body)]
  // RFC 6749 section 3.2: a parameter that stands twice makes the request invalid.
  return new Set(pairs.map(([name]) => name)).size === pairs.length ? Object.fromEntries(pairs) : undefined
}

function refused(reason: string): LocalAnswer {
  return { kind: 'refused', reason }
}
