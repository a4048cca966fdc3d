import { randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import type { ProxyError } from '#base/errors.ts'
import { Secret } from '#base/secret.ts'
import type { GrantLease, LeaseInput, Pair, TokenCall, TokenReply } from '#credentials/lease.ts'
import type { Credential } from '#credentials/types.ts'

/** Noon, as the vault would say it. */
export const now = Date.UTC(2026, 0, 1, 12)

export interface Given {
  readonly access?: string
  readonly refresh?: string | undefined
  readonly expiresAt?: number
  readonly scopes?: readonly string[]
  /** Values of `refs`. */
  readonly secrets?: Readonly<Record<string, string>>
}

/** What a vault gives a lease. Signing shows what is signed and not with what; every nonce is `nonce`. */
export function leaseInput(given: Given = {}): LeaseInput {
  return {
    pair: pair(given),
    secrets: Object.fromEntries(Object.entries(given.secrets ?? {}).map(([name, value]) => [name, new Secret(name, value)])),
    now,
    tools: { signJwt: (header, claims) => `signed:${JSON.stringify([header, claims])}`, nonce: () => 'nonce' },
  }
}

function pair({ access, refresh, expiresAt, scopes }: Given): Pair | undefined {
  if (access === undefined && refresh === undefined) return undefined
  return {
    access: new Secret('access', access ?? ''),
    refresh: refresh === undefined ? undefined : new Secret('refresh', refresh),
    expiresAt,
    scopes,
  }
}

export function leaseOf({ id, lease }: Credential): GrantLease {
  if (!lease) throw new Error(`${id} has no lease`)
  return lease
}

/** A reply with a JSON body, or with a text as it is. */
export function tokenReply(status: number, body: unknown, more: Partial<TokenReply> = {}): TokenReply {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return {
    status,
    contentType: 'application/json',
    body: new Secret('reply', text),
    serverTime: undefined,
    retryAfter: undefined,
    ...more,
  }
}

/** The call as a table of its headers and the text of its body. */
export function shown({ method, path, headers, body }: TokenCall) {
  const pairs = headers.flatMap((name, index) => (index % 2 === 0 ? [[name, headers[index + 1]]] : []))
  return { start: `${method} ${path}`, headers: Object.fromEntries(pairs) as Record<string, string>, body: body.expose() }
}

/** The pair in the clear, to be compared. */
export function plain({ access, refresh, expiresAt, scopes }: Pair) {
  return { access: access.expose(), refresh: refresh?.expose(), expiresAt, scopes }
}

/** An unsigned JSON Web Token. */
export function jwt(claims: unknown): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
  return `${part({ alg: 'none' })}.${part(claims)}.signature`
}

/** A token made for this run, of the characters that tokens have. */
export function canaryToken(): string {
  return `canary-${randomBytes(24).toString('base64url')}`
}

/** What an act throws: its code, its message, and everything that prints of it. */
export function thrownBy(act: () => unknown): { readonly code: unknown; readonly message: string; readonly printed: string } {
  try {
    act()
  } catch (error) {
    const { code, message } = error as ProxyError
    return { code, message, printed: inspect(error, { depth: 9, showHidden: true }) }
  }
  throw new Error('nothing was thrown')
}
