import { createHash, randomBytes } from 'node:crypto'
import type { Clock } from '#base/clock.ts'
import { ProxyError } from '#base/errors.ts'
import type { LeaseTools, Pair } from '#credentials/lease.ts'
import type { Credential } from '#credentials/types.ts'
import type { TokenCaller } from '#journey/ports.ts'

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

  /** Exchanges the code, given as `code` or `code#state`, for a pair. Gives the new generation. */
  async finish(id: string, answer: string): Promise<number> {
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
    return this.#ports.accept(id, read.pair)
  }

  #lease(id: string) {
    const lease = this.#ports.find(id)?.lease
    if (!lease?.login)
      throw new ProxyError('needs_login', `${id} has no login: it is not a credential with one in the policy in force`)
    return { lease, login: lease.login }
  }
}

function random(): string {
  return randomBytes(32).toString('base64url')
}
