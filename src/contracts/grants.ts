/** Real values: who gives them, and what survives a restart. */
import type { SecretRef } from '#base/secret.ts'
import type { Pair, TokenEndpoint } from '#credentials/lease.ts'
import type { RealValues } from '#credentials/scrub/real-values.ts'
import type { ScrubPatterns } from '#credentials/scrub/restub.ts'
import type { Credential, Grant } from '#credentials/types.ts'

export interface Vault {
  /** The live value of a credential. Throws `credential_unavailable`. */
  grant(credential: Credential): Grant | Promise<Grant>
  /**
   * A newer value than the one an upstream has just refused. `undefined`: there is none to be had by asking. Shared by
   * all who ask at once; never asks again for a value that was already replaced. Throws `needs_login` or
   * `credential_unavailable` when none will come by itself.
   */
  renew(refused: Grant): Promise<Grant | undefined>
  /** Compares in constant time; `false` also when the reference has no value. */
  verify(ref: SecretRef, candidate: string): boolean
  /** Whether it could be given now; asks nobody. */
  health(credential: Credential): 'ok' | 'needs_login' | 'unavailable'
  /** Every real value in force, for finding them where they do not belong. */
  realValues(): RealValues
  /** What turns these credentials' real values back into stubs; `undefined` when none of them has a value. */
  scrub(credentials: readonly Credential[]): ScrubPatterns | undefined
}

/** Takes over the login of whoever logs in through the proxy. */
export interface LoginTaker {
  /**
   * Makes the call in the agent's place and keeps what it grants, on disk, before it gives the reply with stubs in place of the
   * tokens. Throws `token_call_refused` where the provider refuses, and `credential_unavailable`.
   */
  capture(
    credential: Credential,
    endpoint: TokenEndpoint,
    login: { readonly contentType: string; readonly body: string },
  ): Promise<string>
}

/** What must survive a restart of a rotating grant. Every write is durable before its promise resolves. */
export interface GrantStore {
  /** `undefined`: nothing was ever kept under this name. Throws `StoreError`. */
  read(credential: string): Promise<KeptGrant | undefined>
  /** Marks that the pair of this generation is being spent. `false`: someone else has another generation or marked it first. */
  begin(credential: string, generation: number, now: number): Promise<boolean>
  /**
   * The same where the call of an earlier mark was never seen to end: the mark of `since` becomes one of `now`, which
   * must differ. `false`: the generation has moved on, or the mark is another one by now, so someone else took it over.
   */
  takeOver(credential: string, generation: number, since: number, now: number): Promise<boolean>
  /** Keeps the next pair under the next generation and takes the mark off. `false`: the generation has moved on; nothing is written. */
  commit(credential: string, generation: number, next: Pair, now: number): Promise<boolean>
  /** Takes the mark off: the call is known not to have spent anything. */
  release(credential: string, generation: number): Promise<boolean>
  /** Writes down that only a new login helps. Cleared by `login` alone. */
  fail(credential: string, generation: number, reason: string, now: number): Promise<boolean>
  /** A first pair, or a new login: takes the next generation whatever was there. Gives that generation. */
  login(credential: string, pair: Pair, now: number): Promise<number>
  /**
   * A login from a seed, once for each content of it: `digest` tells contents apart, and the last one is kept beside the
   * grant, whatever becomes of that. Gives the generation as `login` does; `undefined`: this was the last content
   * taken, and nothing is written. Read and write are one step, so that of two replicas one takes it.
   */
  seed(credential: string, pair: Pair, digest: string, now: number): Promise<number | undefined>
  close(): Promise<void>
}

export interface KeptGrant {
  readonly generation: number
  readonly pair: Pair
  /** Milliseconds since the epoch when a call that spends this pair began and was not seen to end. */
  readonly inFlightSince: number | undefined
  /** Why only a new login helps. */
  readonly needsLogin: string | undefined
  /** Milliseconds since the epoch of the last write. */
  readonly writtenAt: number
}
