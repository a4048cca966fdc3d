import type { Clock } from '#base/clock.ts'
import { AuthorityError, type Authority } from './authority.ts'
import { bundlePem, certificatesIn } from './bundle.ts'
import type { AuthorityPaths } from './files.ts'
import { firstTrust } from './first.ts'
import { issueIntermediate, mayHaveIntermediate } from './intermediate.ts'
import { LeafCache, type LeafCacheOptions } from './leaf.ts'
import { loadTrust, rotationPaths, type Trust } from './trust.ts'

export interface LiveCaOptions {
  readonly clock: Clock
  /** The user we run as, to know whose the key is. */
  readonly uid: number | undefined
  readonly onMint: NonNullable<LeafCacheOptions['onMint']>
  readonly say: (level: 'info' | 'error', fields: object, message: string) => void
}

/** Who has which bundle, as far as it was fetched from here. */
export interface BundleFetch {
  readonly agent: string
  readonly bundle: string
  /** Milliseconds since the epoch. */
  readonly at: number
}

/** Agents whose last fetch is remembered: more than a policy has. */
const mostAgents = 1000

/**
 * The CA of a running proxy: reads its files again when they change, keeps an intermediate that has long enough to live,
 * and knows which bundle each agent has fetched.
 */
export class LiveCa {
  readonly leaves: LeafCache
  readonly #paths: AuthorityPaths
  readonly #options: LiveCaOptions
  readonly #fetched = new Map<string, BundleFetch>()
  #trust: Trust
  #issuer: Authority

  constructor(trust: Trust, paths: AuthorityPaths, options: LiveCaOptions) {
    this.#paths = paths
    this.#options = options
    this.#trust = trust
    this.#issuer = this.#issuerBelow(trust.active)
    this.leaves = new LeafCache(() => this.issuer, { clock: options.clock, onMint: options.onMint })
  }

  /** Who signs leaves now. A third of its life before its end an intermediate gives way to a new one. */
  get issuer(): Authority {
    const { notBefore, notAfter } = this.#issuer
    const renewable = this.#issuer !== this.#trust.active && notAfter < this.#trust.active.notAfter
    if (renewable && this.#options.clock.now() > notAfter - (notAfter - notBefore) / 3)
      this.#issuer = this.#issuerBelow(this.#trust.active)
    return this.#issuer
  }

  get trust(): Trust {
    return this.#trust
  }

  /** Files whose change is a reason to reload. */
  get files(): readonly string[] {
    const { nextCert, oldCert, cross } = rotationPaths(this.#paths)
    return [this.#paths.certPath, this.#paths.keyPath, nextCert, oldCert, cross]
  }

  /** Reads the files again; what cannot be used changes nothing. */
  async reload(): Promise<void> {
    const { clock, uid, say } = this.#options
    try {
      this.#take(await loadTrust({ ...this.#paths, now: clock.now(), uid }))
    } catch (error) {
      if (!(error instanceof AuthorityError)) throw error
      say('error', { event: 'ca' }, `${error.message}; the CA in force stays`)
    }
  }

  #take(trust: Trust): void {
    const before = this.#trust
    if (trust.bundle === before.bundle && trust.active.chainPem === before.active.chainPem) return
    this.#trust = trust
    // Running connections go on with what they were shown.
    this.#issuer = this.#issuerBelow(trust.active)
    this.leaves.clear()
    this.#options.say('info', { event: 'ca', bundle: trust.bundle }, 'CA reloaded')
  }

  /** Whether one of our certificates is among these: what we sign must never be taken for an upstream. */
  isAmong(pems: readonly string[]): boolean {
    return certificatesIn(this.#trust.ours).some((own) => pems.some((pem) => pem.includes(own)))
  }

  /** What agents should trust, as PEM; `ours` leaves the public roots out. */
  bundle(only: 'ours' | undefined, agent?: string): string {
    if (agent !== undefined && (this.#fetched.has(agent) || this.#fetched.size < mostAgents))
      this.#fetched.set(agent, { agent, bundle: this.#trust.bundle, at: this.#options.clock.now() })
    return bundlePem(this.#trust.ours, { only })
  }

  get fetches(): readonly BundleFetch[] {
    return [...this.#fetched.values()]
  }

  /** When each certificate ends, by role, in milliseconds since the epoch. */
  expiry(): Readonly<Record<string, number>> {
    const { active, others } = this.#trust
    return {
      root: active.notAfter,
      issuing: this.issuer.notAfter,
      ...Object.fromEntries(others.map(({ role, notAfter }) => [role, notAfter])),
    }
  }

  /** What metrics show of it, asked at each scrape. */
  gauges() {
    return {
      leafCacheEntries: () => this.leaves.entries,
      caFingerprint: () => this.#trust.active.fingerprint,
      caExpiry: () => this.expiry(),
      caBundles: () => ({ current: this.#trust.bundle, fetched: this.fetches }),
    }
  }

  /** For operators: all of it is public. */
  status(): object {
    const { active, others, bundle } = this.#trust
    const { issuer } = this
    const shown = ({ fingerprint, notAfter }: { readonly fingerprint: string; readonly notAfter: number }) => ({
      fingerprint,
      notAfter: new Date(notAfter).toISOString(),
    })
    return {
      ...shown(active),
      issuing: shown(issuer),
      ...Object.fromEntries(others.map((each) => [each.role, shown(each)])),
      bundle,
      fetched: this.fetches.map(({ at, ...fetch }) => ({ ...fetch, at: new Date(at).toISOString() })),
    }
  }

  #issuerBelow(active: Authority): Authority {
    return mayHaveIntermediate(active) ? issueIntermediate(active, this.#options.clock.now()) : active
  }
}

/** The CA of these files, made on the very first run. Throws AuthorityError. */
export async function openCa(
  { cert, key }: { readonly cert: string; readonly key: string },
  options: LiveCaOptions,
): Promise<LiveCa> {
  const paths = { certPath: cert, keyPath: key }
  const { clock, uid, say } = options
  const trust = await firstTrust({ ...paths, now: clock.now(), uid }, () => say('info', { event: 'ca', cert }, 'made a new CA'))
  return new LiveCa(trust, paths, options)
}
