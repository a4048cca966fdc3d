/** Certificates for single hosts: minted when first asked for, kept in memory, renewed before they grow old. */
import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { createSecureContext, type SecureContext } from 'node:tls'
import { LruMap } from '#base/async.ts'
import type { Clock } from '#base/clock.ts'
import type { Host } from '#base/host.ts'
import { Secret } from '#base/secret.ts'
import { DeniedAllowance, type LeafAllowance } from './allowance.ts'
import { AuthorityError, backdateMs, type Authority } from './authority.ts'
import { distinguishedName, issue, leafExtensions, pem, subjectKey, type SubjectKey } from './x509.ts'

export const longestLifeMs = 7 * 86_400_000

export interface Leaf {
  readonly certPem: string
  /** Milliseconds since the epoch. */
  readonly notBefore: number
  readonly notAfter: number
}

/**
 * A server certificate for these names, at most seven days long and never past its CA. `now` and `lifetimeMs` in
 * milliseconds. Throws AuthorityError `ca_expired` when the CA is.
 */
export function issueLeaf(
  authority: Authority,
  order: {
    readonly hosts: readonly [Host, ...Host[]]
    readonly key: SubjectKey
    readonly now: number
    readonly lifetimeMs: number
  },
): Leaf {
  const { hosts, key, now, lifetimeMs } = order
  if (now >= authority.notAfter)
    throw new AuthorityError('ca_expired', 'the CA has expired; make a new one with `iron-proxy ca init`')
  const notBefore = Math.max(now - backdateMs, authority.notBefore)
  const notAfter = Math.min(now + lifetimeMs, notBefore + longestLifeMs, authority.notAfter)
  const named = hosts[0].length <= 64
  const certificate = issue({
    subject: distinguishedName(named ? hosts[0] : undefined),
    issuer: authority.subject,
    key,
    signingKey: authority.key,
    notBefore,
    notAfter,
    extensions: leafExtensions(hosts, key.id, authority.keyId, !named),
  })
  return { certPem: pem(certificate), notBefore, notAfter }
}

export interface LeafCacheOptions {
  readonly clock: Clock
  /** Contexts of allowed names kept; one takes about 17 KiB. */
  readonly limit?: number
  /** Contexts of denied names kept, apart from the others. */
  readonly deniedLimit?: number
  readonly lifetimeMs?: number
  readonly deniedPerAgent?: LeafAllowance
  /** The key of all leaves; left out: a new one. */
  readonly key?: LeafKey
  /** 48 bytes that seal TLS sessions (RFC 5077), where several caches serve together; left out: new ones. */
  readonly ticketKeys?: Uint8Array | undefined
  /** Told of every leaf made, and of every one refused because an agent's allowance was used up. */
  readonly onMint?: (result: 'allowed' | 'denied' | 'refused') => void
}

/** A pair as `node:crypto` makes it. It does not print. */
export interface LeafKey {
  readonly publicKey: KeyObject
  readonly privateKey: KeyObject
}

/** How many denied names an agent may have leaves for, at once and each second after. */
export const deniedAllowance: LeafAllowance = { burst: 20, perSecond: 1 }

export function newLeafKey(): LeafKey {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' })
}

interface Kept {
  readonly context: SecureContext
  readonly validFrom: number
  readonly renewAt: number
}

/**
 * TLS contexts by host, for TLS servers to answer an SNI with. Minting is synchronous and takes about 0.2 ms, so that
 * two connections can never mint the same name at the same time. All leaves share one key, which dies with the process.
 */
export class LeafCache {
  readonly #issuer: () => Authority
  readonly #clock: Clock
  readonly #lifetimeMs: number
  readonly #key: SubjectKey
  readonly #keyPem: Secret
  readonly #ticketKeys: Buffer
  readonly #allowed: LruMap<Host, Kept>
  readonly #denied: LruMap<Host, Kept>
  readonly #allowance: DeniedAllowance
  readonly #onMint: NonNullable<LeafCacheOptions['onMint']>

  /** `issuer` answers who signs now: it may be another one tomorrow. */
  constructor(issuer: () => Authority, options: LeafCacheOptions) {
    const { clock, limit = 1000, deniedLimit = 100, lifetimeMs = 3 * 86_400_000 } = options
    if (!(lifetimeMs > 0 && lifetimeMs <= longestLifeMs))
      throw new RangeError('a leaf must live more than nothing and at most seven days')
    const { publicKey, privateKey } = options.key ?? newLeafKey()
    this.#issuer = issuer
    this.#clock = clock
    this.#lifetimeMs = lifetimeMs
    this.#key = subjectKey(publicKey)
    this.#keyPem = new Secret('leaf key', privateKey.export({ type: 'pkcs8', format: 'pem' }))
    this.#ticketKeys = Buffer.from(options.ticketKeys ?? randomBytes(48))
    this.#allowed = new LruMap(limit)
    this.#denied = new LruMap(deniedLimit)
    this.#allowance = new DeniedAllowance(options.deniedPerAgent ?? deniedAllowance, clock)
    this.#onMint = options.onMint ?? (() => {})
  }

  /** How many contexts are kept, denied names included. */
  get entries(): number {
    return this.#allowed.size + this.#denied.size
  }

  /** The context of a name the policy lets this agent reach. Throws AuthorityError `ca_expired`. */
  contextFor(host: Host): SecureContext {
    return this.#fresh(this.#allowed.get(host)) ?? this.#mint(host, this.#allowed, 'allowed')
  }

  /**
   * The context of a name the policy denies, so that the client can read why. `undefined`: the agent has used up its
   * allowance of new ones, close the connection. Throws AuthorityError `ca_expired`.
   */
  contextForDenied(host: Host, agent: string): SecureContext | undefined {
    const kept = this.#fresh(this.#denied.get(host))
    if (kept) return kept
    if (this.#allowance.take(agent)) return this.#mint(host, this.#denied, 'denied')
    this.#onMint('refused')
    return undefined
  }

  /** Forgets them all: they show a chain that is no longer ours. */
  clear(): void {
    this.#allowed.clear()
    this.#denied.clear()
  }

  #fresh(kept: Kept | undefined): SecureContext | undefined {
    const now = this.#clock.now()
    // A clock that was set back may stand before the leaf became valid.
    return kept && now >= kept.validFrom && now < kept.renewAt ? kept.context : undefined
  }

  #mint(host: Host, into: LruMap<Host, Kept>, result: 'allowed' | 'denied'): SecureContext {
    const now = this.#clock.now()
    const authority = this.#issuer()
    const { certPem, notBefore, notAfter } = issueLeaf(authority, {
      hosts: [host],
      key: this.#key,
      now,
      lifetimeMs: this.#lifetimeMs,
    })
    const context = createSecureContext({
      cert: certPem + authority.chainPem,
      key: this.#keyPem.expose(),
      minVersion: 'TLSv1.2',
      honorCipherOrder: true,
      ticketKeys: this.#ticketKeys,
      sessionIdContext: sessionContext(host),
    })
    // A leaf that ends with its CA cannot be renewed into a longer one.
    const renewAt = notAfter === authority.notAfter ? notAfter : now + (notAfter - now) / 2
    into.set(host, { context, validFrom: notBefore, renewAt })
    this.#onMint(result)
    return context
  }
}

/**
 * A session resumes under the name it began with alone (RFC 6066 section 3): OpenSSL takes no session of another context.
 * 32 bytes are the most it takes.
 */
function sessionContext(host: Host): string {
  return createHash('sha256').update(host).digest('base64').slice(0, 32)
}
