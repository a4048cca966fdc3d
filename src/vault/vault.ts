/**
 * vault/ is the only holder of real values. It reads them from their sources or asks token endpoints for them, keeps the
 * last good one, and hands them out one grant at a time. Its neighbours: the policy names sources, credentials/ says what
 * to ask, journey/ asks for grants, store/ keeps what must survive, config/ says when to look again.
 */
import { ProxyError } from '#base/errors.ts'
import { refName, Secret } from '#base/secret.ts'
import type { SecretRef } from '#base/secret.ts'
import type { Pair } from '#credentials/lease.ts'
import { RealValues } from '#credentials/scrub/real-values.ts'
import type { ScrubPatterns } from '#credentials/scrub/restub.ts'
import type { Credential, Grant } from '#credentials/types.ts'
import type { Vault as VaultPort } from '#contracts/grants.ts'
import type { Snapshot } from '#contracts/snapshot.ts'
import { imageOfValue, imageOfValues } from './replica-state.ts'
import type { VaultImage } from './replica-state.ts'
import type { LeaseStatus } from './leases/lease-status.ts'
import { Leases } from './leases/leases.ts'
import type { LeasePorts } from './leases/leases.ts'
import { Scrubs } from './scrubs.ts'
import type { ScrubValue } from './scrubs.ts'
import { materialIn, valueIn } from './sources/source.ts'
import type { Source } from './sources/source.ts'
import { grantFrom, isValueOf, unavailable } from './static-values.ts'
import type { Value } from './static-values.ts'

/** What a look at a source came to. Never a value. */
export interface SecretReading {
  readonly ref: string
  readonly result: 'new' | 'same' | 'failed'
  /** Why it failed; the last good value, if there is one, stays in force. */
  readonly detail?: string
  /** Ids of the credentials whose value this is. */
  readonly credentials: readonly string[]
}

export class LiveVault implements VaultPort {
  readonly #sources: readonly Source[]
  readonly #values = new Map<string, Value>()
  readonly #scrubs = new Scrubs((credential) => this.#known(credential))
  readonly #leases: Leases | undefined
  readonly #changed: () => void
  #generation = 0
  #refs = new Map<string, SecretRef>()
  /** Names of what only token calls need: keys and client secrets, and what a first grant is read from. */
  #materials: ReadonlySet<string> = new Set()
  #seeds: ReadonlySet<string> = new Set()
  #credentials: readonly Credential[] = []
  #realValues = new RealValues([])

  /**
   * Without `leases`, credentials that are had by calls to a token endpoint are not available. `changed` is called after each
   * change of a real value.
   */
  constructor(sources: readonly Source[], leases?: LeasePorts, changed: () => void = () => {}) {
    this.#sources = sources
    this.#changed = changed
    this.#leases = leases && new Leases(leases, { valueOf: (ref) => this.#value(ref), onChange: () => this.#derive() })
  }

  /** Takes in what a snapshot refers to, reads it all, and forgets what is no longer referred to. */
  use(snapshot: Snapshot): readonly SecretReading[] {
    this.#credentials = [...snapshot.credentials.values()]
    const passwords = [...snapshot.policy.agents.values()].flatMap((agent) => agent.proxyAuth.map(({ password }) => password))
    const placed = [...this.#credentials.flatMap(valuesOf), ...passwords]
    const leases = this.#credentials.flatMap(({ lease }) => (lease ? [lease] : []))
    const seeds = leases.flatMap(({ seed }) => (seed ? [seed] : []))
    const materials = [...seeds, ...leases.flatMap(({ refs }) => Object.values(refs))]
    this.#refs = named([...placed, ...materials])
    this.#seeds = new Set(named(seeds).keys())
    this.#materials = new Set(named(materials).keys()).difference(named(placed))
    for (const name of this.#values.keys()) if (!this.#refs.has(name)) this.#values.delete(name)
    const readings = this.#readAll()
    this.#leases?.use(this.#credentials)
    this.#derive()
    return readings
  }

  /** Looks at every source again. */
  refresh(): readonly SecretReading[] {
    const readings = this.#readAll()
    if (readings.some(({ result }) => result === 'new')) {
      this.#leases?.look()
      this.#derive()
    }
    return readings
  }

  /** Files whose change means a new value. */
  paths(): readonly string[] {
    return [...this.#refs.values()].flatMap((ref) => this.#source(ref)?.path(ref) ?? [])
  }

  /** Whether there is a value, in force or not, without asking for one. */
  holds(credential: Credential): boolean {
    const { id, lease } = credential
    if (lease) return this.#leases?.keeper(id)?.status().generation !== undefined
    return grantFrom(this.#values, credential) !== undefined
  }

  health(credential: Credential): 'ok' | 'needs_login' | 'unavailable' {
    if (this.#leases?.keeper(credential.id)?.status().needsLogin !== undefined) return 'needs_login'
    return this.holds(credential) ? 'ok' : 'unavailable'
  }

  grant(credential: Credential): Grant | Promise<Grant> {
    if (credential.lease) {
      const keeper = this.#leases?.keeper(credential.id)
      if (!keeper) throw unavailable(credential)
      return keeper.grant(credential)
    }
    const granted = grantFrom(this.#values, credential)
    if (!granted) throw unavailable(credential)
    return granted
  }

  /** Throws also `needs_login`, when no newer value will come by itself. */
  async renew({ credential, generation }: Pick<Grant, 'credential' | 'generation'>): Promise<Grant | undefined> {
    if (credential.lease) return this.#leases?.keeper(credential.id)?.renew(credential, generation)
    const granted = grantFrom(this.#values, credential)
    return granted && granted.generation > generation ? granted : undefined
  }

  verify(ref: SecretRef, candidate: string): boolean {
    return isValueOf(this.#values, ref, candidate)
  }

  realValues(): RealValues {
    return this.#realValues
  }

  scrub(credentials: readonly Credential[]): ScrubPatterns | undefined {
    return this.#scrubs.of(credentials)
  }

  /** What other threads of this process must know to look for values and to place them. */
  image(): VaultImage {
    return {
      values: imageOfValues(this.#refs, this.#materials, (name) => this.#values.get(name)),
      known: this.#credentials
        .flatMap((credential) => this.#known(credential))
        .map(({ credential, secret, stub }) => ({ ...imageOfValue({ secret, generation: 0 }), credential, stub })),
      health: this.#credentials.map((credential) => [credential.id, this.health(credential)]),
    }
  }

  /** What is granted, as the token endpoint said; `undefined`: it did not, or there is no lease. */
  scopes(credential: string): readonly string[] | undefined {
    return this.#leases?.keeper(credential)?.status().scopes
  }

  /** How each lease is. */
  status(): readonly LeaseStatus[] {
    return this.#leases?.status() ?? []
  }

  /** A new login for a credential. Gives its generation. Throws `credential_unavailable` where there is no lease, and StoreError. */
  async login(credential: string, pair: Pair): Promise<number> {
    if (!this.#leases) throw new ProxyError('credential_unavailable', 'no leases are kept')
    return this.#leases.login(credential, pair)
  }

  /** Stops what goes on by itself; token calls that are under way are waited for, within a bound. */
  async close(): Promise<void> {
    await this.#leases?.close()
  }

  /** Everything that is made from the values themselves. */
  #derive(): void {
    this.#scrubs.clear()
    this.#realValues = new RealValues(this.#credentials.flatMap((credential) => this.#known(credential)))
    this.#changed()
  }

  #known(credential: Credential): readonly ScrubValue[] {
    const { id, lease, stubs } = credential
    const placed = valuesOf(credential).flatMap((ref) => this.#value(ref) ?? [])
    const used = Object.values(lease?.refs ?? {}).flatMap((each) => this.#value(each) ?? [])
    return [
      ...placed.map((secret) => ({ credential: id, secret, stub: stubs[0] })),
      ...(lease ? (this.#leases?.values(id) ?? []).map((value) => ({ credential: id, ...value })) : []),
      ...used.map((secret) => ({ credential: id, secret: middleOf(secret), stub: undefined })),
    ]
  }

  #value(ref: SecretRef): Secret | undefined {
    return this.#values.get(refName(ref))?.secret
  }

  #readAll(): readonly SecretReading[] {
    const contents = new Map<string, string>()
    return [...this.#refs].flatMap(([name, ref]) => this.#read(name, ref, contents))
  }

  /** `contents`: of the files that were read already, so that what goes together comes from one moment. */
  #read(name: string, ref: SecretRef, contents: Map<string, string>): readonly SecretReading[] {
    const credentials = this.#credentials
      .filter((credential) => refsOf(credential).some((each) => refName(each) === name))
      .map(({ id }) => id)
    try {
      const source = this.#source(ref)
      const path = source?.path(ref) ?? name
      const content = contents.get(path) ?? source?.read(ref) ?? ''
      contents.set(path, content)
      const value = this.#materials.has(name) ? materialIn(content, ref) : valueIn(content, ref)
      if (this.#values.get(name)?.secret.expose() === value) return [{ ref: name, result: 'same', credentials }]
      this.#generation += 1
      this.#values.set(name, { secret: new Secret(name, value), generation: this.#generation })
      return [{ ref: name, result: 'new', credentials }]
    } catch (error) {
      // A seed has done its work once it was read, and is better gone. A lease without any grant says so itself.
      if (this.#seeds.has(name) && (error as NodeJS.ErrnoException).code === 'ENOENT') return []
      return [{ ref: name, result: 'failed', detail: reason(error), credentials }]
    }
  }

  #source(ref: SecretRef): Source | undefined {
    return this.#sources.find((source) => source.owns(ref))
  }
}

/** Where what is placed, or signs, stands. */
function valuesOf({ secret, companions = {} }: Credential): readonly SecretRef[] {
  return secret ? [secret, ...Object.values(companions)] : []
}

function refsOf(credential: Credential): readonly SecretRef[] {
  const { lease } = credential
  return [...valuesOf(credential), ...(lease?.seed ? [lease.seed] : []), ...Object.values(lease?.refs ?? {})]
}

function named(refs: readonly SecretRef[]): Map<string, SecretRef> {
  return new Map(refs.map((ref) => [refName(ref), ref]))
}

/** Of a key in PEM the line in its middle: found however the lines are joined, and in a fraction of the time. */
function middleOf(secret: Secret): Secret {
  const lines = secret.expose().split('\n')
  return lines.length < 3 ? secret : new Secret(secret.name, (lines[lines.length >> 1] ?? '').trim())
}

/** Our own words, or the operating system's code: never what was read. */
function reason(error: unknown): string {
  if (error instanceof ProxyError) return error.message
  return (error as NodeJS.ErrnoException).code ?? 'cannot be read'
}
