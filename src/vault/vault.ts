/**
 * vault/ is the only holder of real values. It reads them from their sources, keeps the last good one, and hands them out
 * one grant at a time. Its neighbours: the policy names sources, journey/ asks for grants, config/ says when to look again.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import { ProxyError } from '#base/errors.ts'
import { refName, Secret } from '#base/secret.ts'
import type { SecretRef } from '#base/secret.ts'
import { RealValues } from '#credentials/real-values.ts'
import { compileScrub } from '#credentials/restub.ts'
import type { ScrubPatterns } from '#credentials/restub.ts'
import type { Credential, Grant } from '#credentials/types.ts'
import type { Vault as VaultPort } from '#journey/ports.ts'
import type { Snapshot } from '#journey/types.ts'
import { valueIn } from './sources/source.ts'
import type { Source } from './sources/source.ts'

/** What a look at a source came to. Never a value. */
export interface Reading {
  readonly ref: string
  readonly result: 'new' | 'same' | 'failed'
  /** Why it failed; the last good value, if there is one, stays in force. */
  readonly detail?: string
  /** Ids of the credentials whose value this is. */
  readonly credentials: readonly string[]
}

export class Vault implements VaultPort {
  readonly #sources: readonly Source[]
  readonly #values = new Map<string, Secret>()
  readonly #scrubs = new Map<string, ScrubPatterns | undefined>()
  #refs = new Map<string, SecretRef>()
  #credentials: readonly Credential[] = []
  #realValues = new RealValues([])

  constructor(sources: readonly Source[]) {
    this.#sources = sources
  }

  /** Takes in what a snapshot refers to, reads it all, and forgets what is no longer referred to. */
  use(snapshot: Snapshot): readonly Reading[] {
    this.#credentials = [...snapshot.credentials.values()]
    const passwords = [...snapshot.policy.agents.values()].flatMap((agent) => agent.proxyAuth.map(({ password }) => password))
    const secrets = this.#credentials.flatMap(({ secret }) => (secret ? [secret] : []))
    this.#refs = new Map([...secrets, ...passwords].map((ref) => [refName(ref), ref]))
    for (const name of this.#values.keys()) if (!this.#refs.has(name)) this.#values.delete(name)
    const readings = this.#readAll()
    this.#derive()
    return readings
  }

  /** Looks at every source again. */
  refresh(): readonly Reading[] {
    const readings = this.#readAll()
    if (readings.some(({ result }) => result === 'new')) this.#derive()
    return readings
  }

  /** Files whose change means a new value. */
  paths(): readonly string[] {
    return [...this.#refs.values()].flatMap((ref) => this.#source(ref)?.path(ref) ?? [])
  }

  grant(credential: Credential): Grant {
    const secret = credential.secret && this.#values.get(refName(credential.secret))
    if (!secret) throw new ProxyError('credential_unavailable', `the real value of ${credential.id} is not available`)
    return { credential, secret }
  }

  verify(ref: SecretRef, candidate: string): boolean {
    const secret = this.#values.get(refName(ref))
    return secret !== undefined && timingSafeEqual(digest(secret.expose()), digest(candidate))
  }

  realValues(): RealValues {
    return this.#realValues
  }

  scrub(credentials: readonly Credential[]): ScrubPatterns | undefined {
    if (credentials.length === 0) return undefined
    const key = credentials.map(({ id }) => id).join(' ')
    if (!this.#scrubs.has(key)) this.#scrubs.set(key, this.#compile(credentials))
    return this.#scrubs.get(key)
  }

  #compile(credentials: readonly Credential[]): ScrubPatterns | undefined {
    const known = credentials.flatMap((credential) => {
      const secret = credential.secret && this.#values.get(refName(credential.secret))
      const [stub] = credential.stubs
      return secret && stub !== undefined ? [{ credential: credential.id, stub, secret }] : []
    })
    return known.length > 0 ? compileScrub(known) : undefined
  }

  /** Everything that is made from the values themselves. */
  #derive(): void {
    this.#scrubs.clear()
    this.#realValues = new RealValues(
      this.#credentials.flatMap(({ id, secret: ref }) => {
        const secret = ref && this.#values.get(refName(ref))
        return secret ? [{ credential: id, secret }] : []
      }),
    )
  }

  #readAll(): readonly Reading[] {
    return [...this.#refs].map(([name, ref]) => this.#read(name, ref))
  }

  #read(name: string, ref: SecretRef): Reading {
    const credentials = this.#credentials.filter(({ secret }) => secret && refName(secret) === name).map(({ id }) => id)
    try {
      const value = valueIn(this.#source(ref)?.read(ref) ?? '', ref)
      if (this.#values.get(name)?.expose() === value) return { ref: name, result: 'same', credentials }
      this.#values.set(name, new Secret(name, value))
      return { ref: name, result: 'new', credentials }
    } catch (error) {
      return { ref: name, result: 'failed', detail: reason(error), credentials }
    }
  }

  #source(ref: SecretRef): Source | undefined {
    return this.#sources.find((source) => source.owns(ref))
  }
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

/** Our own words, or the operating system's code: never what was read. */
function reason(error: unknown): string {
  if (error instanceof ProxyError) return error.message
  return (error as NodeJS.ErrnoException).code ?? 'cannot be read'
}
