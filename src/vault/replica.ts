import { SingleFlight } from '#base/async.ts'
import type { Clock } from '#base/clock.ts'
import { Secret } from '#base/secret.ts'
import type { SecretRef } from '#base/secret.ts'
import { RealValues } from '#credentials/scrub/real-values.ts'
import type { ScrubPatterns } from '#credentials/scrub/restub.ts'
import type { Credential, Grant } from '#credentials/types.ts'
import type { Vault } from '#contracts/grants.ts'
import { valueOfImage } from './replica-state.ts'
import type { GrantImage, VaultImage } from './replica-state.ts'
import { Scrubs } from './scrubs.ts'
import { grantFrom, isValueOf, unavailable } from './static-values.ts'
import type { Value } from './static-values.ts'

/** The vault itself, on the thread that has it. */
export interface VaultLine {
  /** Throws what `Vault.grant` throws. */
  grant(credential: string): Promise<GrantImage>
  /** Throws what `Vault.renew` throws. */
  renew(credential: string, generation: number): Promise<GrantImage | undefined>
}

/** Milliseconds a granted lease is used without asking again: the vault has to know that it is in use, not how often. */
const asksAgain = 1_000

type Known = VaultImage['known'][number]

interface Lease {
  readonly given: GrantImage
  /** Milliseconds on the monotonic clock. */
  readonly askedAt: number
}

/**
 * The vault as a thread sees it that has it not: looks for values and places them by a copy of what there is, asks for what must
 * be had by calls. The copy is replaced whenever a value changes.
 */
export class VaultReplica implements Vault {
  readonly #line: VaultLine
  readonly #clock: Clock
  readonly #values = new Map<string, Value>()
  readonly #health = new Map<string, 'ok' | 'needs_login' | 'unavailable'>()
  readonly #leases = new Map<string, Lease>()
  readonly #scrubs = new Scrubs(({ id }) =>
    this.#known
      .filter(({ credential }) => credential === id)
      .map(({ credential, name, value, stub }) => ({ credential, secret: new Secret(name, value), stub })),
  )
  readonly #grants = new SingleFlight<string, GrantImage>()
  readonly #renewals = new SingleFlight<string, GrantImage | undefined>()
  #known: readonly Known[] = []
  #realValues: RealValues | undefined
  /** Grows with each copy: an answer that was under way meanwhile is not kept. */
  #edition = 0

  constructor(line: VaultLine, clock: Clock) {
    this.#line = line
    this.#clock = clock
  }

  /** Takes in what there is now. */
  take({ values, known, health }: VaultImage): void {
    this.#edition += 1
    this.#leases.clear()
    replace(
      this.#values,
      values.map(([name, value, generation]) => [name, { secret: new Secret(name, value), generation }] as const),
    )
    replace(this.#health, health)
    if (known.length === this.#known.length && known.every((each, i) => alike(each, this.#known[i]))) return
    this.#known = known
    this.#scrubs.clear()
    this.#realValues = undefined
  }

  grant(credential: Credential): Grant | Promise<Grant> {
    if (!credential.lease) {
      const granted = grantFrom(this.#values, credential)
      if (!granted) throw unavailable(credential)
      return granted
    }
    const kept = this.#leases.get(credential.id)
    return kept && this.#isFresh(kept) ? { credential, ...valueOfImage(kept.given) } : this.#ask(credential)
  }

  async renew({ credential, generation }: Grant): Promise<Grant | undefined> {
    const { id, lease } = credential
    if (!lease) {
      const granted = grantFrom(this.#values, credential)
      return granted && granted.generation > generation ? granted : undefined
    }
    const given = await this.#renewals.run(`${generation} ${id}`, () => this.#line.renew(id, generation))
    return given && { credential, ...valueOfImage(given) }
  }

  verify(ref: SecretRef, candidate: string): boolean {
    return isValueOf(this.#values, ref, candidate)
  }

  health({ id }: Credential): 'ok' | 'needs_login' | 'unavailable' {
    return this.#health.get(id) ?? 'unavailable'
  }

  realValues(): RealValues {
    this.#realValues ??= new RealValues(
      this.#known.map(({ credential, name, value }) => ({ credential, secret: new Secret(name, value) })),
    )
    return this.#realValues
  }

  scrub(credentials: readonly Credential[]): ScrubPatterns | undefined {
    return this.#scrubs.of(credentials)
  }

  async #ask(credential: Credential): Promise<Grant> {
    const { id } = credential
    const edition = this.#edition
    const given = await this.#grants.run(id, () => this.#line.grant(id))
    if (edition === this.#edition) this.#leases.set(id, { given, askedAt: this.#clock.elapsed() })
    return { credential, ...valueOfImage(given) }
  }

  #isFresh({ given: { until = Infinity }, askedAt }: Lease): boolean {
    return this.#clock.elapsed() < askedAt + asksAgain && this.#clock.now() < until
  }
}

function replace<Value>(map: Map<string, Value>, entries: readonly (readonly [string, Value])[]): void {
  map.clear()
  for (const [key, value] of entries) map.set(key, value)
}

function alike(one: Known, other: Known | undefined): boolean {
  return one.credential === other?.credential && one.value === other.value && one.stub === other.stub
}
