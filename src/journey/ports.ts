import type { StopSignal } from '#base/async.ts'
import type { ProxyError } from '#base/errors.ts'
import type { Duplex } from 'node:stream'
import type { Address } from '#base/address.ts'
import type { Clock } from '#base/clock.ts'
import type { Host } from '#base/host.ts'
import type { MemoryAccount, MemoryShare } from '#base/memory-account.ts'
import type { SecretRef } from '#base/secret.ts'
import type { Pair, TokenCall, TokenEndpoint, TokenReply } from '#credentials/lease.ts'
import type { RealValues } from '#credentials/real-values.ts'
import type { ScrubPatterns } from '#credentials/restub.ts'
import type { Desk } from '#metering/desk.ts'
import type { Credential, Grant, Hashes } from '#credentials/types.ts'
import type { Question, WhoamiReply } from '#credentials/whoami/types.ts'
import type { Pod } from '#policy/pods.ts'
import type { Denial } from '#policy/types.ts'
import type { Run } from './ephemeral.ts'
import type { RefusedFields } from './refused-fields.ts'
import type { AuditRecord, ProxyAuth, RawHeaders, RequestHead, Snapshot } from './types.ts'

/** Everything the journey needs from outside, and nothing more. */
export interface Ports {
  readonly clock: Clock
  readonly ids: Ids
  readonly policies: Policies
  /** Which pod has an address; left out: no cluster is watched. */
  readonly owners?: Owners | undefined
  /** The public bundle of certificates as PEM; remembers that this agent has it. */
  readonly bundle?: (agent: string) => string
  /** Counts what exchanges hold outside the heap. */
  readonly memory: MemoryAccount
  readonly vault: Vault
  readonly runs: Runs
  readonly logins: LoginTaker
  readonly upstream: Upstream
  readonly live: Live
  /** Agents take turns; left out: all begin at once. */
  readonly turns?: Turns
  /** Servers that refuse what meters add to requests; left out: none is remembered. */
  readonly refusedFields?: RefusedFields
  readonly audit: Audit
  /** Where metered requests are held to budgets. */
  readonly desk: Desk
  readonly hashes: Hashes
}

export interface Ids {
  /** A new exchange id: sortable by time, unguessable. */
  next(): string
}

export interface Policies {
  /** The snapshot in force; `undefined`: nothing was ever loaded, so deny everything. */
  current(): Snapshot | undefined
}

/** Which runs there are, and which one an agent is on. */
export interface Runs {
  /**
   * The live run with this name and password. `refused`: it is the name of a run, and there is none with both. `pending`: there is
   * none with that name here, and others may know of one.
   */
  find(auth: ProxyAuth): Run | 'refused' | 'pending' | undefined
  /** The run that an agent was last said to be on. */
  boundTo(agent: string): string | undefined
}

export interface Owners {
  /** Asked of every arrival: answers from memory and at once. */
  at(address: Address): Owner
}

export type Owner =
  | { readonly kind: 'pod'; readonly pod: Pod }
  /** Two pods claim it, and the API says of both that they have it. */
  | { readonly kind: 'several'; readonly pods: readonly [Pod, Pod] }
  /**
   * This pod had it. `handed`: a pod of another namespace has claimed it since. `silent`: the API has not spoken of its
   * namespace for longer than the bound.
   */
  | { readonly kind: 'doubtful'; readonly pod: Pod; readonly because: 'handed' | 'silent' }
  /** A node speaks for whoever is on its network, and for all whose address was masqueraded. */
  | { readonly kind: 'node' }
  | { readonly kind: 'nobody' }
  /** Nobody yet, and not all pods are known. */
  | { readonly kind: 'pending' }

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

/** A request as it leaves: stubs exchanged, hop-by-hop headers gone. */
export interface Outbound {
  readonly head: RequestHead
  /** Whose room the decoding of the reply takes; `undefined`: the proxy asks for itself. */
  readonly agent?: string | undefined
  /** Flat; Host is among them. */
  readonly headers: RawHeaders
  /** Ids of the credentials in it; connections are not shared between different ones. */
  readonly credentials: readonly string[]
  /** The reply will be searched: undo its content coding, refuse what cannot be undone. */
  readonly decode: boolean
  readonly upgrade: boolean
}

/** A request body on its way from the agent. */
export interface RequestBody {
  /** Ending early leaves the agent's connection open, so that it can still be answered. */
  readonly chunks: AsyncIterable<Uint8Array>
  /** Bytes announced by Content-Length. */
  readonly length: number | undefined
  /** Trailer fields; complete only once the stream has ended. */
  trailers(): RawHeaders
  /** Counts the bytes of it that are kept until the exchange has ended. */
  readonly room?: MemoryShare
}

/** What comes back, in the order it comes. */
export interface ReplySink {
  informational(status: number, headers: RawHeaders): void
  /** `last`: the reply ends with its head, and says so there. gRPC tells its status in such a head. */
  head(status: number, headers: RawHeaders, last?: boolean, phrase?: string): void
  /** `false`: wait for `onDrain` before sending more. */
  data(chunk: Uint8Array): boolean
  end(trailers: RawHeaders): void
  /** Set by the sender, called by the sink once it can take more. */
  onDrain: () => void
  /** Set by the sender, called by a sink that cannot make anything of what it gets: nothing more is sent to it. */
  onStop?: (error: ProxyError) => void
}

/** The agent's side of an exchange, as a listener offers it. */
export interface Client extends ReplySink {
  /** A final reply head was written: nothing else can be said any more. */
  readonly begun: boolean
  /** Tells the agent to go on with its body (`100 Continue`), if it waits for that. */
  proceed(): void
  /** Breaks the reply off so that it cannot be taken for complete. */
  abort(): void
  /** Switches to the upgraded protocol and relays until either side is done. */
  relay(upgraded: Upgraded, signal: StopSignal): Promise<Relayed>
}

export interface Upgraded {
  readonly headers: RawHeaders
  readonly socket: Duplex
}

export interface Relayed {
  readonly bytesUp: number
  readonly bytesDown: number
}

export interface Sent {
  /** `address:port` of the connection used. */
  readonly address: string
  /** Present when the upstream switched protocols (101). */
  readonly upgraded?: Upgraded
}

export interface Upstream {
  /**
   * Sends a request and streams its reply into the sink; resolves when the reply is complete, or when the upstream
   * switched protocols. Throws `ProxyError`.
   */
  send(outbound: Outbound, body: RequestBody | undefined, sink: ReplySink, signal: StopSignal): Promise<Sent>
  /** A checked TCP connection for a spliced tunnel. Throws `ProxyError`. */
  connect(target: { readonly host: RequestHead['host']; readonly port: number }, signal: StopSignal): Promise<Duplex>
}

export interface Turns {
  /** Resolves when it is this agent's turn to begin a request; `undefined`: now. */
  take(agent: string): Promise<void> | undefined
}

/** What is running now: re-decided when the policy changes, cut when the proxy must stop. */
export interface Live {
  /** The returned function takes the entry out again. */
  enter(entry: LiveEntry): () => void
  /** Ties a connection to a run: it is closed when that ends. The returned function unties it. */
  tie(run: string, close: () => void): () => void
}

export interface LiveEntry {
  /** The run it belongs to, once that is known. */
  run(): string | undefined
  /** The denial this exchange would meet under another snapshot. */
  redecide(snapshot: Snapshot): Denial | undefined
  cut(by: 'policy' | 'shutdown', denial?: Denial): void
}

export interface Audit {
  /** No request may begin, since its record would be lost. */
  readonly refuses?: boolean
  write(record: AuditRecord): void
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

/** A run as it is kept: what it takes to know it again after a restart, or elsewhere. Times in milliseconds since the epoch. */
export interface KeptRun {
  readonly id: string
  readonly agent: string
  readonly label: string | undefined
  /** Host patterns; `undefined`: all that its agent may reach. */
  readonly hosts: readonly string[] | undefined
  /** Money in US dollars. */
  readonly budget: { readonly tokens?: number | undefined; readonly usd?: number | undefined } | undefined
  /** By credential. */
  readonly stubs: Readonly<Record<string, string>>
  /** SHA-256, as hex. */
  readonly passwordDigest: string
  readonly startedAt: number
  readonly expiresAt: number
}

/** All that is kept of runs. */
export interface KeptRuns {
  /** Whether it can be asked now: what is not among these is nowhere. */
  readonly current: boolean
  /** Those that nobody has ended, though their time may be over. */
  readonly runs: readonly KeptRun[]
  readonly bound: readonly (readonly [agent: string, run: string])[]
}

/** How far the end of a run has come. */
export interface Ended {
  /** Whether it was ended here first, however often that is asked. `undefined`: nobody can know yet. */
  readonly mine: boolean | undefined
  /** It is kept, and everyone who is there knows of it. What is not told is told later. */
  readonly told: boolean
}

/** The runs of ephemeral agents, where a restart and other replicas find them. */
export interface RunStore {
  /** Told of every change, whoever has made it; who waits for `put` waits for this too. */
  follow(changed: (kept: KeptRuns) => void | Promise<void>): void
  /** Reads what is there. Rejects with `StoreError`: it is read once that can be. */
  open(): Promise<void>
  /** Resolves when it is kept, and everyone who is there knows it. Rejects with `StoreError`: there is no such run. */
  put(run: KeptRun): Promise<void>
  /** A run that has ended stays so. Counts here at once, whether it can be told or not. */
  end(run: Pick<KeptRun, 'id' | 'expiresAt'>): Promise<Ended>
  /** Says which run an agent is on; `undefined`: on none. Counts here at once. `false`: the others hear of it later. */
  bind(agent: string, run: string | undefined): Promise<boolean>
  close(): Promise<void>
}

/** Calls to token endpoints: the same guarded way out as everything else, with a record of each. */
export interface TokenCaller {
  /**
   * Throws `ProxyError` for trouble on the network, for time-outs and for replies over 1 MiB. The codes that speak of
   * resolving, connecting, TLS and of what may not be dialled mean that nothing was sent; all others leave that open.
   */
  call(credential: string, endpoint: TokenEndpoint, call: TokenCall): Promise<TokenReply>
}

/** Questions about a value in force, asked as the proxy's own calls are: guarded, with a record of each. */
export interface WhoamiAsker {
  /** Throws `ProxyError` for trouble on the network, for time-outs and for replies over 1 MiB. */
  ask(credential: string, host: Host, question: Question): Promise<WhoamiReply>
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
