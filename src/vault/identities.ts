import type { Clock } from '#base/clock.ts'
import { SingleFlight } from '#base/async.ts'
import type { RealValues } from '#credentials/scrub/real-values.ts'
import type { Credential, Grant } from '#credentials/types.ts'
import type { WhoamiQuestion, WhoamiAnswer } from '#credentials/whoami/types.ts'
import type { WhoamiAsker } from '#contracts/calls.ts'
import { reasonOf } from './leases/token-call.ts'

/** What was last told of whose a credential is, and when, in milliseconds since the epoch. */
export type KnownIdentity = WhoamiAnswer & { readonly provider: string; readonly at: number }

export interface IdentityPorts {
  readonly clock: Clock
  readonly asker: WhoamiAsker
  readonly vault: {
    grant(credential: Credential): Grant | Promise<Grant>
    holds(credential: Credential): boolean
    realValues(): RealValues
  }
  /** Another answer than before. */
  readonly onChange: (credential: string, identity: KnownIdentity) => void
}

interface Told {
  readonly generation: number
  readonly identity: KnownIdentity
}

/** Milliseconds until who gave no answer is asked again; twice as many after each, and an hour at most. */
const firstPause = 60_000
const longestPause = 3_600_000

interface Retry {
  readonly pause: number
  /** `undefined`: it was made, and its answer is not there yet. */
  readonly undo: (() => void) | undefined
}

/** A policy may have a thousand credentials, and a provider counts. */
export const callsAtOnce = 4

/**
 * Whose each credential is, as its provider says. Asked in the background with the first value and with each new login;
 * nothing waits for it, and what fails is no more than something not known, and asked again later.
 */
export class Identities {
  readonly #ports: IdentityPorts
  readonly #told = new Map<string, Told>()
  readonly #calls = new SingleFlight<string, KnownIdentity>()
  readonly #waiting = new Set<string>()
  readonly #retries = new Map<string, Retry>()
  #credentials: ReadonlyMap<string, Credential> = new Map()
  #running = 0
  #closed = false

  constructor(ports: IdentityPorts) {
    this.#ports = ports
  }

  /** Takes in the credentials of a policy. Those that have a value, and of whom nothing is known, are asked. */
  use(credentials: ReadonlyMap<string, Credential>): void {
    const before = this.#credentials
    this.#credentials = credentials
    for (const id of this.#told.keys()) {
      const [was, is] = [before.get(id)?.whoami, credentials.get(id)?.whoami]
      if (was?.provider === is?.provider && was?.host === is?.host) continue
      this.#told.delete(id)
      this.#settle(id)
    }
    for (const credential of credentials.values()) {
      const known = this.#told.get(credential.id)?.identity.kind === 'known'
      if (!known && this.#ports.vault.holds(credential)) this.wake(credential.id)
    }
  }

  /** What was told last; `undefined`: nobody was asked. */
  of(id: string): KnownIdentity | undefined {
    return this.#told.get(id)?.identity
  }

  /** Asks in the background. */
  wake(id: string): void {
    if (!this.#credentials.get(id)?.whoami) return
    this.#waiting.add(id)
    this.#pump()
  }

  /** Asks now, with the value in force. `undefined`: there is nobody to ask. Never rejects. */
  async ask(id: string): Promise<KnownIdentity | undefined> {
    const credential = this.#credentials.get(id)
    if (!credential?.whoami) return undefined
    let generation = 0
    try {
      const grant = await this.#ports.vault.grant(credential)
      generation = grant.generation
      // Not shared with whoever asked for an older value: a login wants to know of its own.
      return await this.#calls.run(`${id} ${generation}`, () => this.#call(credential, grant))
    } catch (error) {
      return this.#note(credential, generation, { kind: 'unknown', reason: reasonOf(error) })
    }
  }

  /** Begins no call from now on. */
  close(): void {
    this.#closed = true
    this.#waiting.clear()
    for (const id of this.#retries.keys()) this.#settle(id)
  }

  #pump(): void {
    for (const id of this.#waiting) {
      if (this.#closed || this.#running >= callsAtOnce) return
      this.#waiting.delete(id)
      this.#running += 1
      void this.ask(id).finally(() => {
        this.#running -= 1
        this.#pump()
      })
    }
  }

  async #call(credential: Credential, grant: Grant): Promise<KnownIdentity> {
    return this.#note(credential, grant.generation, await this.#answer(credential, grant))
  }

  async #answer({ id, whoami, placer, stubs }: Credential, { secret }: Grant): Promise<WhoamiAnswer> {
    // Placed as for an agent: a kind that cannot send its value as a bearer token has nobody to ask.
    const sent = placer.header?.('authorization', `Bearer ${stubs[0]}`, () => secret.expose())
    if (!whoami || sent === undefined) return { kind: 'unknown', reason: 'it is not sent as a bearer token' }
    const { provider, host } = whoami
    const { path, headers } = provider.question(host)
    const question: WhoamiQuestion = { path, headers: [...headers, 'authorization', sent] }
    const answer = provider.read(await this.#ports.asker.ask(id, host, question))
    const echoed = this.#ports.vault.realValues().find(Buffer.from(JSON.stringify(answer)).toString('latin1'))
    return echoed === undefined ? answer : { kind: 'unknown', reason: 'the answer carries a real value' }
  }

  /** An answer for an older value comes too late to count. */
  #note(credential: Credential, generation: number, answer: WhoamiAnswer): KnownIdentity {
    const { id, whoami } = credential
    const identity = { ...answer, provider: whoami?.provider.name ?? 'none', at: this.#ports.clock.now() }
    const before = this.#told.get(id)
    if (this.#credentials.get(id)?.whoami?.host !== whoami?.host) return identity
    if (before && generation < before.generation) return identity
    this.#told.set(id, { generation, identity })
    if (answer.kind === 'unknown') this.#retryLater(id)
    else this.#settle(id)
    if (textOf(before?.identity) !== textOf(identity)) this.#ports.onChange(id, identity)
    return identity
  }

  /** Once more, later each time. Who has no value by then is asked with the first one. */
  #retryLater(id: string): void {
    const last = this.#retries.get(id)
    if (this.#closed || last?.undo) return
    const pause = last ? Math.min(2 * last.pause, longestPause) : firstPause
    const undo = this.#ports.clock.later(pause, () => {
      this.#retries.set(id, { pause, undo: undefined })
      const credential = this.#credentials.get(id)
      if (credential && this.#ports.vault.holds(credential)) this.wake(id)
      else this.#retries.delete(id)
    })
    this.#retries.set(id, { pause, undo })
  }

  #settle(id: string): void {
    this.#retries.get(id)?.undo?.()
    this.#retries.delete(id)
  }
}

function textOf(identity: KnownIdentity | undefined): string {
  return JSON.stringify({ ...identity, at: 0 })
}
