/**
 * credentials/ answers: how does a stub become the real thing, and how does the real thing become a stub again? No I/O.
 * A kind is one file and one line in `index.ts`. Its neighbours: the vault hands in real values, journey/ asks
 * `findStubs` and `place` for the way out, upstream/ runs a `Scrubber` over what comes back.
 */
import type { z } from 'zod'
import type { HostPattern } from '#base/host.ts'
import type { Secret, SecretRef } from '#base/secret.ts'
import type { GrantLease } from './lease.ts'
import type { Whoami } from './whoami/types.ts'

/** One credential of the policy, compiled. What is special to its kind is behind `placer`. */
export interface Credential {
  readonly id: string
  readonly kind: string
  readonly hosts: readonly HostPattern[]
  /** `undefined`: every agent. */
  readonly agents: ReadonlySet<string> | undefined
  readonly stubs: readonly string[]
  readonly foreign: 'refuse' | 'allow'
  /** Where the value stands; `undefined`: it does not simply stand somewhere, see `lease`. */
  readonly secret: SecretRef | undefined
  /** What goes with the value, by the names `sign` asks for it; it comes and changes with the value. */
  readonly companions?: Readonly<Record<string, SecretRef>> | undefined
  /** How the value is had by calls to a token endpoint; `undefined`: it stands somewhere. */
  readonly lease: GrantLease | undefined
  readonly placer: Placer
  /** Who can say whose the value is; `undefined`: nobody is asked. */
  readonly whoami?: Whoami | undefined
  /** The same credential for whoever holds this stub in place of its first one. */
  withStub(stub: string): Credential
}

/** A live real value. */
export interface Grant {
  readonly credential: Credential
  readonly secret: Secret
  /** As the credential names them. */
  readonly companions?: Readonly<Record<string, Secret>>
  /** Grows with every new value; tells a refused value from one that has been renewed meanwhile. */
  readonly generation: number
  /** Milliseconds since the epoch: from then on it is not given any more. */
  readonly until?: number
}

/** Where a value was placed: never what. `header:authorization`, `query:key`, `body:/auth/token`. */
export interface Swap {
  readonly credential: string
  readonly place: `header:${string}` | `query:${string}` | `body:${string}`
}

/**
 * How one configured credential finds its stub and places its value. `real` is called only once the stub was found, so
 * a kind never sees a value it does not place.
 */
export interface Placer {
  /** Lower-case names of the headers this credential may arrive in. */
  readonly headers: readonly string[]
  /** Names of the query parameters this credential may arrive in. */
  readonly params: readonly string[]
  /** Lower-case names of query parameters that go with these and are thrown away; left out: none. */
  readonly discards?: readonly string[]
  /**
   * The header's value with the stub exchanged; `undefined`: the stub is not in it as it should be. Both values, and
   * what `real` returns, are one character a byte.
   */
  header?(name: string, value: string, real: () => string): string | undefined
  /** The decoded parameter's value with the stub exchanged; `undefined`: the stub is not in it as it should be. */
  param?(name: string, value: string, real: () => string): string | undefined
  /** The header as an agent sends it, with the stub in it; `undefined`: not in that header. */
  sample?(name: string): string | undefined
  /** What is wrong where neither of these takes a stub, for people; `undefined`: it is just not used there. */
  fault?(place: 'header' | 'query', value: string): string | undefined
  /** Where this credential may arrive in a body; left out: nowhere. */
  readonly body?: BodyPlacer
  /**
   * Signs a request of which all values are in their places. `real` gives the value, or the companion of that name. Throws `bad_credential` for what cannot be signed,
   * `malformed_request` for a body that is not what its head says, and what `whole` throws.
   */
  sign?(request: Unsigned, real: (companion?: string) => string, tools: SignTools): Promise<Signed>
}

/** How a stub is found in a body that was read whole. Texts are one character a byte. */
export interface BodyPlacer {
  /** The place, for the record. */
  readonly name: string
  /** Bytes of the longest body that is looked at; a longer one is refused. */
  readonly most: number
  /** Whether the body of this request is one to look at. `contentType`: lower case, without parameters. */
  takes(request: { readonly method: string; readonly path: string; readonly contentType: string }): boolean
  find(text: string): BodyFinding
  /** The value as it stands in such a body. */
  write(real: string): string
}

/** What stands where the stub should. `ambiguous`: the place is there twice, and the upstream may read either. */
export type BodyFinding =
  | { readonly kind: 'stub'; readonly start: number; readonly end: number }
  | { readonly kind: 'other' }
  | { readonly kind: 'absent' }
  | { readonly kind: 'ambiguous' }

/** A request as it will go out. Headers are flat, one character a byte; Host is among them. */
export interface Unsigned {
  readonly method: string
  readonly path: string
  /** With its question mark, or empty. */
  readonly query: string
  readonly headers: readonly string[]
  /** Reads the body, which may be empty, to its end. Throws `body_too_large` when it has more than so many bytes. */
  whole(most: number): Promise<Uint8Array>
}

/** What a kind may not do itself: time and hashing are others'. */
export interface SignTools {
  /** Milliseconds since the epoch. */
  readonly now: number
  readonly hashes: Hashes
}

/** SHA-256 (FIPS 180-4), and HMAC (RFC 2104) with it. */
export interface Hashes {
  sha256(data: Uint8Array): Uint8Array
  hmacSha256(key: string | Uint8Array, data: Uint8Array): Uint8Array
}

export interface Signed {
  readonly headers: readonly string[]
  /** With its question mark; left out: as it was. */
  readonly query?: string
  /** What becomes of the body on its way, at the same length; left out: nothing. */
  readonly body?: (chunks: AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array>
}

/** One kind of credential: what the policy says about it, and how that becomes a placer. */
export interface CredentialKind<Schema extends z.ZodObject = z.ZodObject> {
  readonly kind: string
  readonly schema: Schema
  /** Who says whose its values are, in place of the first that its hosts suggest. */
  readonly whoami?: string
  stubs(config: z.output<Schema>): readonly string[]
  /** The entry with another first stub; left out: it stands under `stub`. */
  withStub?(config: z.output<Schema>, stub: string): z.output<Schema>
  /** One of these two says where the value comes from. */
  secret?(config: z.output<Schema>): SecretRef
  companions?(config: z.output<Schema>): Readonly<Record<string, SecretRef>> | undefined
  lease?(config: z.output<Schema>): GrantLease
  placer(config: z.output<Schema>): Placer
}
