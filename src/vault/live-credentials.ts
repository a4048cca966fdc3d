import { ProxyError } from '#base/errors.ts'
import type { Pair } from '#credentials/lease.ts'
import type { Credential } from '#credentials/types.ts'
import { reviewGrant } from '#credentials/whoami/review.ts'
import { incidentRecord } from '#contracts/own-records.ts'
import type { Audit, Ids } from '#contracts/audit-record.ts'
import type { LoginTaker } from '#contracts/grants.ts'
import type { WhoamiAsker } from '#contracts/calls.ts'
import type { Snapshot } from '#contracts/snapshot.ts'
import { useOf } from '#policy/use.ts'
import { callsAtOnce, Identities } from './identities.ts'
import type { KnownIdentity } from './identities.ts'
import { LoginEvents } from './login-events.ts'
import { inventory } from './inventory.ts'
import { leaseNews } from './leases/lease-status.ts'
import type { LeaseEvent } from './leases/lease-status.ts'
import type { LeasePorts } from './leases/leases.ts'
import { Logins } from './login.ts'
import type { LoggedIn } from './login.ts'
import type { Source } from './sources/source.ts'
import { LiveVault } from './vault.ts'
import type { SecretReading } from './vault.ts'

export interface LiveCredentialsPorts extends Omit<LeasePorts, 'onEvent'> {
  /** `undefined`: nobody is asked whose a credential is. */
  readonly asker: WhoamiAsker | undefined
  readonly audit: Audit
  readonly ids: Ids
  /** To the operator. */
  readonly say: (level: 'info' | 'warn', fields: object, message: string) => void
  /** How a call for a new value has ended. */
  readonly count: (credential: string, result: NonNullable<(typeof leaseNews)[LeaseEvent['kind']]['result']>) => void
  /** The source of a credential's value could not be read. */
  readonly unread: (credential: string) => void
  /** A real value, or how a credential is, may be another than before. */
  readonly changed?: () => void
}

/** The vault, and what an operator has to do with it: how each credential is, whose it is, how to log it in. */
export class LiveCredentials {
  readonly vault: LiveVault
  readonly #ports: LiveCredentialsPorts
  readonly #identities: Identities | undefined
  readonly #logins: Logins
  readonly #incidents = new LoginEvents()
  /** What was last warned of, by credential. */
  readonly #warned = new Map<string, string>()
  #snapshot: Snapshot | undefined

  constructor(sources: readonly Source[], ports: LiveCredentialsPorts) {
    const { asker, caller, clock, tools } = ports
    this.#ports = ports
    this.vault = new LiveVault(sources, { ...ports, onEvent: (event) => this.#leased(event) }, ports.changed)
    this.#identities =
      asker && new Identities({ clock, asker, vault: this.vault, onChange: (id, identity) => this.#identified(id, identity) })
    this.#logins = new Logins({
      clock,
      tools,
      caller,
      find: (id) => this.#find(id),
      accept: (id: string, pair: Pair) => this.vault.login(id, pair),
      probe: async (id) => this.#identities?.ask(id),
    })
  }

  /** Takes in a policy: its secrets are read, and whose they are is asked in the background. */
  use(snapshot: Snapshot): void {
    this.#snapshot = snapshot
    const readings = this.vault.use(snapshot)
    this.#incidents.keep(snapshot.credentials)
    this.#identities?.use(snapshot.credentials)
    for (const id of this.#warned.keys()) if (!snapshot.credentials.has(id)) this.#warned.delete(id)
    for (const credential of snapshot.credentials.values()) this.#review(credential)
    this.#read(readings)
  }

  /** Looks at every source of a secret again. */
  refresh(): void {
    this.#read(this.vault.refresh())
  }

  /** What metrics show of it, asked at each scrape. */
  gauges() {
    const status = () => this.vault.status()
    return {
      credentialExpiry: () =>
        Object.fromEntries(status().flatMap(({ id, expiresAt }) => (expiresAt === undefined ? [] : [[id, expiresAt]]))),
      reauthRequired: () => Object.fromEntries(status().map(({ id, needsLogin }) => [id, needsLogin === undefined ? 0 : 1])),
    }
  }

  /** Every credential as an operator may see it. */
  inventory(): readonly object[] {
    return inventory(this.#snapshot?.credentials.values() ?? [], this.vault.status(), (credential) => ({
      loaded: this.vault.holds(credential),
      identity: this.#identities?.of(credential.id),
      warnings: this.#warnings(credential),
    }))
  }

  /** Asks whose a credential is, or all of them. Throws `credential_unavailable` where nobody can say. */
  async identify(id: string | undefined): Promise<readonly object[]> {
    const asked = id === undefined ? [...(this.#snapshot?.credentials.keys() ?? [])] : [id]
    for (let first = 0; first < asked.length; first += callsAtOnce) {
      const answers = await Promise.all(asked.slice(first, first + callsAtOnce).map(async (each) => this.#identities?.ask(each)))
      if (id !== undefined && !answers[0])
        throw new ProxyError(
          'credential_unavailable',
          `nobody says whose ${id} is: see \`whoami\` in the policy and the settings`,
        )
    }
    return this.inventory().filter((row) => id === undefined || (row as { readonly id: string }).id === id)
  }

  /** The link a person logs in by. Throws `needs_login`. */
  beginLogin(id: string): string {
    return this.#logins.begin(id)
  }

  /** Takes over the login of whoever logs in through the proxy. */
  get logins(): LoginTaker {
    return this.#logins
  }

  /** Takes the code the person got. Throws `needs_login`. */
  finishLogin(id: string, code: string): Promise<LoggedIn> {
    return this.#logins.finish(id, code)
  }

  async close(): Promise<void> {
    this.#identities?.close()
    await this.vault.close()
  }

  #find(id: string): Credential | undefined {
    return this.#snapshot?.credentials.get(id)
  }

  #read(readings: readonly SecretReading[]): void {
    const { say, unread } = this.#ports
    for (const { ref, result, detail, credentials } of readings) {
      if (result === 'new') {
        say('info', { event: 'secret', ref }, 'secret loaded')
        for (const id of credentials) if (!this.#find(id)?.lease) this.#identities?.wake(id)
      }
      if (result === 'failed') {
        say('warn', { event: 'secret', ref, detail }, 'secret cannot be read; the last good value stays in force')
        for (const id of credentials) unread(id)
      }
    }
  }

  /** What happened to a lease. Its incidents are told when they begin and when they end, whatever is tried in between. */
  #leased(event: LeaseEvent): void {
    const { kind, credential, detail, generation } = event
    const { level, message, result } = leaseNews[kind]
    const { audit, clock, count, ids, say } = this.#ports
    const turn = this.#incidents.turn(event)
    if (result) count(credential, result)
    if (turn !== 'known') say(level, { event: kind, credential, detail, generation }, message)
    if (turn === 'begun' || turn === 'recovered') {
      const about = { id: ids.next(), at: clock.now(), credential, reason: detail }
      audit.write(incidentRecord({ ...about, event: turn === 'begun' ? 'needs_login' : 'recovered' }))
    }
    if (turn === 'recovered') say('info', { event: turn, credential, generation }, 'the credential is well again')
    // A refresh is the same login; only the first value is news.
    const isLogin = kind === 'adopted' || kind === 'seed_adopted'
    if (isLogin || (kind === 'refreshed' && !this.#identities?.of(credential))) this.#identities?.wake(credential)
    const changed = this.#find(credential)
    if (changed) this.#review(changed)
    this.#ports.changed?.()
  }

  #identified(id: string, identity: KnownIdentity): void {
    const { say } = this.#ports
    if (identity.kind === 'unknown') {
      const { provider, reason } = identity
      say('info', { event: 'whoami', credential: id, provider, detail: reason }, 'nobody has said whose the credential is')
    } else {
      const { provider, who, about, scopes } = identity
      say('info', { event: 'whoami', credential: id, provider, who, about, scopes }, 'the provider says whose the credential is')
    }
    const credential = this.#find(id)
    if (credential) this.#review(credential)
  }

  #warnings(credential: Credential): readonly string[] {
    const identity = this.#identities?.of(credential.id)
    const scopes = (identity?.kind === 'known' ? identity.scopes : undefined) ?? this.vault.scopes(credential.id)
    if (!scopes) return []
    return reviewGrant({
      scopes,
      wanted: credential.lease?.scopes,
      use: useOf(this.#snapshot?.policy.rules ?? [], credential),
      provider: credential.whoami?.provider,
    })
  }

  /** Warns, once for each change. */
  #review(credential: Credential): void {
    const { id } = credential
    const warnings = this.#warnings(credential)
    const text = warnings.join('; ')
    if (text === (this.#warned.get(id) ?? '')) return
    this.#warned.set(id, text)
    for (const detail of warnings) this.#ports.say('warn', { event: 'grant', credential: id, detail }, 'the grant does not fit')
  }
}
