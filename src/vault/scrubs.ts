import type { Secret } from '#base/secret.ts'
import { compileScrub } from '#credentials/scrub/restub.ts'
import type { ScrubPatterns } from '#credentials/scrub/restub.ts'
import type { Credential } from '#credentials/types.ts'

/** A real value, whose it is, and what agents hold in its place; `undefined`: agents never meet it. */
export interface ScrubValue {
  readonly credential: string
  readonly secret: Secret
  readonly stub: string | undefined
}

/** What replies are searched for, by the credentials it is of; made once, until a value changes. */
export class Scrubs {
  readonly #known: (credential: Credential) => readonly ScrubValue[]
  readonly #made = new Map<string, ScrubPatterns | undefined>()
  #asked: readonly Credential[] | undefined
  #answered: ScrubPatterns | undefined

  constructor(known: (credential: Credential) => readonly ScrubValue[]) {
    this.#known = known
  }

  /** `undefined`: there is nothing to look for. */
  of(credentials: readonly Credential[]): ScrubPatterns | undefined {
    if (credentials.length === 0) return undefined
    // A host's credentials are one list for as long as its policy is in force, and a reply asks with each of its chunks.
    if (credentials === this.#asked) return this.#answered
    const key = credentials.map(({ id }) => id).join(' ')
    if (!this.#made.has(key)) this.#made.set(key, this.#make(credentials))
    this.#asked = credentials
    this.#answered = this.#made.get(key)
    return this.#answered
  }

  clear(): void {
    this.#made.clear()
    this.#asked = undefined
  }

  #make(credentials: readonly Credential[]): ScrubPatterns | undefined {
    const scrubs = credentials
      .flatMap((credential) => this.#known(credential))
      .flatMap(({ credential, secret, stub }) => (stub === undefined ? [] : [{ credential, secret, stub }]))
    return scrubs.length > 0 ? compileScrub(scrubs) : undefined
  }
}
