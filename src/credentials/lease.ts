import type { Host } from '#base/host.ts'
import type { Secret, SecretRef } from '#base/secret.ts'

/**
 * How a credential's value is had when it does not simply stand somewhere: by a call to a token endpoint, again and again.
 * A kind says what to ask and how to read the answer; the vault does the asking, once for everyone.
 */
export interface GrantLease {
  /**
   * `true`: the call spends what it is made with (a single-use refresh token). It is written down before it is made, and
   * what comes back is on disk before it is used. `false`: the call can be made again at no loss.
   */
  readonly rotating: boolean
  readonly endpoint: TokenEndpoint
  /** Secrets the call needs, by the names `ask` gets them under. */
  readonly refs: Readonly<Record<string, SecretRef>>
  /** What a first grant is read from, when there is one. */
  readonly seed: SecretRef | undefined
  /** What the policy asks for, to be compared with what is granted; left out: nothing in particular. */
  readonly scopes?: readonly string[] | undefined
  /** Reads the content of `seed`. Throws `credential_unavailable` without quoting what it read. */
  readSeed(content: string): Pair
  /** The call to make. Throws `credential_unavailable` when something it needs is missing. */
  ask(given: LeaseInput): TokenCall
  /** What the reply means. Never throws. */
  read(reply: TokenReply, given: LeaseInput): LeaseAnswer
  /** Which stub stands for which half of the pair when a real value has to be taken out of a reply. */
  readonly stubs: { readonly access: string; readonly refresh?: string }
  /** Token endpoints whose calls by agents are answered here, and how. */
  readonly answers: readonly TokenEndpoint[]
  /** How a person logs in anew; `undefined`: not by a link. */
  readonly login?: LeaseLogin | undefined
  /** What an agent reads of the reply to its login: the stubs where the tokens stand, and no word that could be one. */
  disguise(reply: TokenReply): string
  /** The local answer to an agent's call to one of them; never anything real. */
  answer(request: { readonly contentType: string; readonly body: string }): LocalAnswer
}

/** The authorization code grant with PKCE (RFC 6749 section 4.1, RFC 7636). */
export interface LeaseLogin {
  /** Where the person goes. */
  url(input: { readonly state: string; readonly challenge: string }): string
  exchange(input: { readonly code: string; readonly state: string; readonly verifier: string }): TokenCall
}

export interface TokenEndpoint {
  readonly host: Host
  readonly port: number
  readonly path: string
}

/** A live pair. Times in milliseconds since the epoch. */
export interface Pair {
  readonly access: Secret
  readonly refresh: Secret | undefined
  /** `undefined`: not said; the value is used until it is refused. */
  readonly expiresAt: number | undefined
  /** As granted, when it was said. */
  readonly scopes: readonly string[] | undefined
}

export interface LeaseInput {
  /** The pair in force; `undefined`: there is none yet. */
  readonly pair: Pair | undefined
  /** Values of `refs` that could be read. */
  readonly secrets: Readonly<Record<string, Secret>>
  /** Milliseconds since the epoch. */
  readonly now: number
  readonly tools: LeaseTools
}

/** What a kind may not do itself: keys and chance are the vault's. */
export interface LeaseTools {
  /** A compact JWS (RFC 7515) over the claims, signed with the PEM key. */
  signJwt(
    header: { readonly alg: 'RS256' | 'ES256'; readonly kid?: string },
    claims: Readonly<Record<string, unknown>>,
    key: Secret,
  ): string
  /** Unguessable, for `jti` and the like. */
  nonce(): string
}

export interface TokenCall {
  readonly method: 'POST'
  readonly path: string
  /** Flat name, value pairs; Host and Content-Length are added. */
  readonly headers: readonly string[]
  readonly body: Secret
}

export interface TokenReply {
  readonly status: number
  readonly contentType: string
  /** At most 1 MiB; longer ones never get here. */
  readonly body: Secret
  /** Milliseconds since the epoch as the server's Date header says; `undefined`: it says none. */
  readonly serverTime: number | undefined
  readonly retryAfter: number | undefined
}

export type LeaseAnswer =
  | { readonly kind: 'granted'; readonly pair: Pair }
  /** Final: only a new login or another configuration helps. */
  | { readonly kind: 'refused'; readonly reason: string }
  /** The endpoint is in trouble; what was sent still holds. Milliseconds to wait at least. */
  | { readonly kind: 'later'; readonly reason: string; readonly after: number | undefined }

export type LocalAnswer =
  | { readonly kind: 'answered'; readonly status: number; readonly body: string }
  /** A login that the policy lets pass: to be made in the agent's place, and what it grants kept here. */
  | { readonly kind: 'login' }
  /** Anything else. */
  | { readonly kind: 'refused'; readonly reason: string }
