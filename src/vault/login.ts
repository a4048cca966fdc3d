import { createHash, randomBytes } from 'node:crypto'
import type { Clock } from '#base/clock.ts'
import { ProxyError } from '#base/errors.ts'
import { Secret } from '#base/secret.ts'
import type { LeaseTools, Pair, TokenEndpoint } from '#credentials/lease.ts'
import type { Credential } from '#credentials/types.ts'
import type { TokenCaller } from '#contracts/calls.ts'
import type { KnownIdentity } from './identities.ts'

/** Milliseconds a link stays good. */
const patience = 15 * 60_000

interface Begun {
  readonly state: string
  readonly verifier: string
  readonly at: number
}

export interface LoginPorts {
  readonly clock: Clock
  readonly tools: LeaseTools
  readonly caller: TokenCaller
  /** The credential of the policy in force. */
  find(credential: string): Credential | undefined
  /** Takes a new pair into force. Gives its generation. */
  accept(credential: string, pair: Pair): Promise<number>
  /** Whose the value in force is; `undefined`: nobody can say. Never rejects. */
  probe(credential: string): Promise<KnownIdentity | undefined>
}

/** A login that is in force, and what its first use has shown. */
export interface LoggedIn {
  readonly generation: number
  /** Whether nothing speaks against it. Otherwise it is in force all the same. */
  readonly ok: boolean
  /** For people. */
  readonly message: string
}

/**
 * Logins that a person does in a browser (RFC 6749 section 4.1 with RFC 7636): the proxy holds the verifier, so the code
 * that passes through the person's hands is worth nothing to anybody else.
 */
export class Logins {
  readonly #ports: LoginPorts
  readonly #begun = new Map<string, Begun>()

  constructor(ports: LoginPorts) {
    this.#ports = ports
  }

  /** The link to open. A second one for the same credential takes the place of the first. Throws `needs_login` when it cannot be had. */
  begin(id: string): string {
    const { login } = this.#lease(id)
    const verifier = random()
    const state = random()
    this.#begun.set(id, { state, verifier, at: this.#ports.clock.elapsed() })
    return login.url({ state, challenge: createHash('sha256').update(verifier).digest('base64url') })
  }

  /** Exchanges the code, given as `code` or `code#state`, for a pair, takes it into force and tries it. Throws `needs_login`. */
  async finish(id: string, answer: string): Promise<LoggedIn> {
    const { lease, login } = this.#lease(id)
    const begun = this.#begun.get(id)
    if (!begun || this.#ports.clock.elapsed() - begun.at > patience)
      throw new ProxyError('needs_login', 'the link has expired; begin again')
    const [code = '', state = begun.state] = answer.trim().split('#', 2)
    if (code === '' || state !== begun.state)
      throw new ProxyError('needs_login', 'the code is not the one of this link; begin again')
    this.#begun.delete(id)
    const { caller, clock, tools } = this.#ports
    const reply = await caller.call(id, lease.endpoint, login.exchange({ code, state, verifier: begun.verifier }))
    const read = lease.read(reply, { pair: undefined, secrets: {}, now: clock.now(), tools })
    if (read.kind !== 'granted') throw new ProxyError('needs_login', `the login was not accepted: ${read.reason}`)
    const generation = await this.#ports.accept(id, read.pair)
    return { generation, ...probed(`${id} is logged in`, generation, await this.#ports.probe(id)) }
  }

  /** Makes the login of an agent in its place, and gives the reply it may read. */
  async capture(
    { id, lease }: Credential,
    endpoint: TokenEndpoint,
    { contentType, body }: { readonly contentType: string; readonly body: string },
  ): Promise<string> {
    if (!lease) throw new ProxyError('credential_unavailable', `nobody logs in to ${id}`)
    const { caller, clock, tools } = this.#ports
    const headers = ['user-agent', 'iron-proxy', 'accept', 'application/json', 'content-type', contentType]
    const call = { method: 'POST', path: endpoint.path, headers, body: new Secret('login', body) } as const
    const reply = await caller.call(id, endpoint, call)
    const read = lease.read(reply, { pair: undefined, secrets: {}, now: clock.now(), tools })
    if (read.kind !== 'granted')
      throw new ProxyError('token_call_refused', `the provider did not accept this login: ${read.reason}`)
    try {
      await this.#ports.accept(id, read.pair)
    } catch (cause) {
      // The grant is lost with this, and a new login helps; handing it out would lose more.
      throw new ProxyError('credential_unavailable', `the login of ${id} cannot be kept`, { cause })
    }
    return lease.disguise(reply)
  }

  #lease(id: string) {
    const lease = this.#ports.find(id)?.lease
    if (!lease?.login)
      throw new ProxyError('needs_login', `${id} has no login: it is not a credential with one in the policy in force`)
    return { lease, login: lease.login }
  }
}

function probed(login: string, generation: number, identity: KnownIdentity | undefined): Pick<LoggedIn, 'ok' | 'message'> {
  switch (identity?.kind) {
    case 'known': {
      const about = identity.about.length > 0 ? ` (${identity.about.join(', ')})` : ''
      return { ok: true, message: `${login} as ${identity.who}${about}, generation ${generation}` }
    }
    case 'unknown':
      return { ok: false, message: `${login}, generation ${generation}, but the probe failed: ${identity.reason}` }
    case undefined:
      return { ok: true, message: `${login}, generation ${generation}; nothing was probed, as nobody says whose it is` }
    default:
      return identity satisfies never
  }
}

function random(): string {
  return randomBytes(32).toString('base64url')
}
