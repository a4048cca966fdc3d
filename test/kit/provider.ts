import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import { text } from 'node:stream/consumers'
import { ProxyError } from '#base/errors.ts'
import type { ErrorCode } from '#base/errors.ts'
import { Secret } from '#base/secret.ts'
import type { TokenCall, TokenEndpoint, TokenReply } from '#credentials/lease.ts'
import type { TokenCaller } from '#contracts/calls.ts'
import { makeCanary } from './canary.ts'
import { closer, listen } from './listen.ts'
import type { Certificate, Started } from './listen.ts'

/** What the next calls meet instead of the usual. */
export type Trouble =
  /** Answered before the refresh token is looked at. */
  | { readonly kind: 'status'; readonly status: 429 | 500 | 502 | 503; readonly retryAfter?: number }
  | { readonly kind: 'html'; readonly status: number }
  /** Nothing arrives. */
  | { readonly kind: 'unsent'; readonly code: ErrorCode }
  /** The refresh token is spent, and the reply is lost. */
  | { readonly kind: 'dropped' }
  /** The call is lost, and the refresh token is not spent; from outside the same as `dropped`. */
  | { readonly kind: 'lost' }
  /** The refresh token is spent, and the reply cannot be read. */
  | { readonly kind: 'garbled' }

export interface ProviderOptions {
  /** Seconds. */
  readonly expiresIn?: number | string | undefined
  /** Called before each answer: may wait. */
  readonly delay?: () => void | Promise<void>
}

interface Login {
  revoked: boolean
  refresh: string
  access: string
  readonly spent: Set<string>
}

interface Reply {
  readonly status: number
  readonly contentType: string
  readonly body: string
  readonly retryAfter?: number | undefined
}

/**
 * A token endpoint as strict as the strictest: each refresh token is good once, and one that is shown again ends the
 * whole login, its access token too. Used as it is for a `TokenCaller`, or over TLS by `serve`.
 */
export class Provider implements TokenCaller {
  /** Calls that arrived. */
  calls = 0
  /** Calls that were made, arrived or not. */
  attempts = 0
  /** Troubles for the next calls, in order; then all is well again. */
  readonly troubles: Trouble[] = []
  /** Trouble for every call while it is set. */
  down: Trouble | undefined
  /** Every value it has ever handed out, by name. */
  readonly handedOut: Record<string, string> = {}
  expiresIn: ProviderOptions['expiresIn']
  delay: () => void | Promise<void>
  readonly #logins: Login[] = []

  constructor({ expiresIn = 3600, delay = () => {} }: ProviderOptions = {}) {
    this.expiresIn = expiresIn
    this.delay = delay
  }

  /** A new login, as a browser would give it. */
  login(): { readonly access: string; readonly refresh: string } {
    const login: Login = { revoked: false, refresh: '', access: '', spent: new Set() }
    this.#logins.push(login)
    return this.#rotate(login)
  }

  /** Whether a request with this access token would be let in, whatever its age. */
  accepts(access: string): boolean {
    return this.#logins.some((login) => !login.revoked && login.access === access)
  }

  /** Whether every login is still one. */
  get alive(): boolean {
    return this.#logins.every(({ revoked }) => !revoked)
  }

  /** Ends the access tokens alone, before their time. */
  expireAccess(): void {
    for (const login of this.#logins) login.access = ''
  }

  /** Ends all logins, as a user would on a page of the provider. */
  revoke(): void {
    for (const login of this.#logins) login.revoked = true
  }

  async call(_credential: string, _endpoint: TokenEndpoint, { body }: TokenCall): Promise<TokenReply> {
    this.attempts += 1
    const reply = await this.#answer(body.expose())
    if ('code' in reply) throw new ProxyError(reply.code)
    const { status, contentType, retryAfter } = reply
    return { status, contentType, body: new Secret('token reply', reply.body), serverTime: undefined, retryAfter }
  }

  /** The same behind a real listener. */
  async serve({ certPem: cert, keyPem: key }: Certificate): Promise<Started> {
    const server = createServer(
      { cert, key },
      (request, response) => void this.#serve(request, response).catch(() => response.destroy()),
    )
    const close = closer(server)
    return { port: await listen(server), [Symbol.asyncDispose]: close }
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.attempts += 1
    const reply = await this.#answer(await text(request))
    if ('code' in reply) return void request.socket.destroy()
    const { status, contentType, body, retryAfter } = reply
    const wait = retryAfter === undefined ? {} : { 'retry-after': String(Math.ceil(retryAfter / 1000)) }
    response.writeHead(status, { 'content-type': contentType, 'content-length': Buffer.byteLength(body), ...wait })
    response.end(body)
  }

  async #answer(body: string): Promise<Reply | { readonly code: ErrorCode }> {
    const trouble = this.troubles.shift() ?? this.down
    if (trouble?.kind === 'unsent') return { code: trouble.code }
    if (trouble?.kind === 'lost') return { code: 'upstream_timeout' }
    this.calls += 1
    await this.delay()
    if (trouble?.kind === 'status')
      return { ...json(trouble.status, { error: 'temporarily_unavailable' }), retryAfter: trouble.retryAfter }
    if (trouble?.kind === 'html') return { status: trouble.status, contentType: 'text/html', body: '<html>Just a moment…</html>' }
    const reply = this.#refresh(parametersOf(body))
    if (trouble?.kind === 'dropped') return { code: 'upstream_reset' }
    if (trouble?.kind === 'garbled') return { ...reply, body: reply.body.slice(0, reply.body.length / 2) }
    return reply
  }

  #refresh(sent: Readonly<Record<string, unknown>>): Reply {
    if (sent['grant_type'] === 'client_credentials') {
      return this.#granted({ access: this.#value('minted') })
    }
    // A person has logged in and brought the code back.
    if (sent['grant_type'] === 'authorization_code') return this.#granted(this.login())
    const shown = String(sent['refresh_token'])
    const login = this.#logins.find(({ refresh, spent }) => refresh === shown || spent.has(shown))
    if (login && login.refresh !== shown) login.revoked = true
    if (!login || login.revoked) return json(400, { error: 'invalid_grant', error_description: `${shown} is not valid` })
    return this.#granted(this.#rotate(login))
  }

  #granted({ access, refresh }: { readonly access: string; readonly refresh?: string }): Reply {
    const said = { token_type: 'Bearer', access_token: access, refresh_token: refresh, expires_in: this.expiresIn }
    return json(200, said)
  }

  #rotate(login: Login): { readonly access: string; readonly refresh: string } {
    if (login.refresh !== '') login.spent.add(login.refresh)
    login.access = this.#value('access')
    login.refresh = this.#value('refresh')
    return { access: login.access, refresh: login.refresh }
  }

  #value(name: string): string {
    const value = makeCanary().replaceAll('"', '-')
    this.handedOut[`${name} ${randomBytes(4).toString('hex')}`] = value
    return value
  }
}

function json(status: number, value: object): Reply {
  return { status, contentType: 'application/json', body: JSON.stringify(value) }
}

function parametersOf(body: string): Readonly<Record<string, unknown>> {
  return body.startsWith('{') ? (JSON.parse(body) as Record<string, unknown>) : Object.fromEntries(new URLSearchParams(body))
}
