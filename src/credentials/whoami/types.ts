/**
 * credentials/whoami/ answers: whose is a value, and what may it do? One file and one line in `index.ts` for each provider
 * that can be asked. No I/O: vault/ makes the call with the value in force, as the proxy's own.
 */
import type { Host } from '#base/host.ts'

export interface IdentityProvider {
  /** As a policy writes it. */
  readonly name: string
  /** Credentials scoped to exactly this host are asked here unless the policy says otherwise. */
  readonly host: string
  /** What to ask at a host of the credential: a GET, with the value as its bearer token. */
  question(host: Host): WhoamiQuestion
  /** Never throws. */
  read(reply: WhoamiReply): WhoamiAnswer
  /** Whether whoever holds `held` may do what `wanted` stands for. */
  includes(held: string, wanted: string): boolean
  /** How much an agent must be allowed before this scope is of use to it. */
  need(scope: string): Need
}

/** What a scope is good for: see `Use` of the policy, and `nobody` for what no agent should have. */
export type Need = 'reads' | 'writes' | 'all' | 'nobody'

export interface WhoamiQuestion {
  /** With its query. */
  readonly path: string
  /** Flat name, value pairs; Host and Authorization are added. */
  readonly headers: readonly string[]
}

export interface WhoamiReply {
  readonly status: number
  /** The value of a header by its lower-case name. */
  readonly header: (name: string) => string | undefined
  readonly body: string
}

export type WhoamiAnswer =
  | {
      readonly kind: 'known'
      /** A login, an e-mail address, the owner of an installation. */
      readonly who: string
      /** What else is told and worth showing: organization, plan, when it expires. */
      readonly about: readonly string[]
      /** `undefined`: the provider does not say here. */
      readonly scopes: readonly string[] | undefined
    }
  | { readonly kind: 'unknown'; readonly reason: string }

/** Whom a credential is asked at. */
export interface Whoami {
  readonly provider: IdentityProvider
  readonly host: Host
}
