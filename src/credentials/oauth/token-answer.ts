/** What agents read from a token endpoint: their stubs again, good for ten years, and nothing real. */
import type { LocalAnswer, TokenReply } from '../lease.ts'
import { asObject, objectIn } from './token-pair.ts'

/** Seconds. Claude Code 2 takes it and does not ask again. */
const farLife = 315_360_000

interface Stubs {
  readonly access: string
  readonly refresh?: string | undefined
}

/** What the policy says about the token endpoint of a credential. */
export interface Answering {
  readonly stubs: Stubs
  readonly scopes: readonly string[] | undefined
  /** `capture`: a login with this client is made in the agent's place. */
  readonly other: 'deny' | 'capture'
  readonly clientId: string | undefined
}

/** Grants by which a person logs in (RFC 6749 section 4.1.3, RFC 8628 section 3.4). A refresh token is never one of them. */
const logins: ReadonlySet<unknown> = new Set(['authorization_code', 'urn:ietf:params:oauth:grant-type:device_code'])

/** Answers `grant_type=refresh_token` with the refresh stub, as JSON or a form; anything else is a login or refused. */
export function answerTokens(
  { contentType, body }: { readonly contentType: string; readonly body: string },
  { stubs: { access, refresh }, scopes, other, clientId }: Answering,
): LocalAnswer {
  const sent = parametersOf(contentType, body)
  if (!sent) return refused('the body is neither JSON nor a form with each parameter once')
  if (other === 'capture' && logins.has(sent['grant_type'])) {
    // What another client is granted, ours could not refresh.
    return sent['client_id'] === clientId ? { kind: 'login' } : refused('the login is that of another client')
  }
  if (sent['grant_type'] !== 'refresh_token') return refused('only refresh_token is answered; a login is the operator’s')
  if (refresh === undefined || sent['refresh_token'] !== refresh) return refused('the refresh token is not the stub')
  return { kind: 'answered', status: 200, body: JSON.stringify(stubReply({ access, refresh }, scopes)) }
}

// Claude Code 2 keeps an answer in its file only when it has a scope; Codex takes the same fields.
function stubReply({ access, refresh }: Stubs, scopes: readonly string[] | undefined): object {
  const scope = scopes && { scope: scopes.join(' ') }
  return { token_type: 'Bearer', access_token: access, refresh_token: refresh, expires_in: farLife, ...scope }
}

/** Members of a login's reply that say whose it is, which clients keep beside the tokens; all others may be secrets. */
const harmless = ['account', 'organization'] as const

/** The reply to a login as its agent may read it. */
export function disguiseLogin(reply: TokenReply, { stubs, scopes }: Pick<Answering, 'stubs' | 'scopes'>): string {
  const said = objectIn(reply.body.expose()) ?? {}
  const tokens: ReadonlySet<unknown> = new Set(Object.values(said))
  const kept = harmless.flatMap((name) => {
    const about = asObject(said[name])
    // Only plain words, and none that stands elsewhere as a token.
    const words = Object.entries(about ?? {}).filter(([, value]) => typeof value === 'string' && !tokens.has(value))
    return about ? [[name, Object.fromEntries(words)] as const] : []
  })
  const granted = typeof said['scope'] === 'string' ? said['scope'].split(' ') : scopes
  return JSON.stringify({ ...stubReply(stubs, granted), ...Object.fromEntries(kept) })
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
