import { createHash } from 'node:crypto'
import type { Secret } from '#base/secret.ts'
import type { GrantLease, Pair } from '#credentials/lease.ts'
import { reasonOf } from './token-call.ts'

export type Seeded =
  | { readonly kind: 'new'; readonly pair: Pair; readonly digest: string }
  | { readonly kind: 'bad'; readonly reason: string }
  /** There is none, or it was taken before. */
  | { readonly kind: 'none' }

/** What a first grant is read from. Each content of it is taken once: what it held is spent from then on. */
export class Seed {
  readonly #lease: () => GrantLease
  readonly #content: () => Secret | undefined
  #taken: string | undefined

  constructor(lease: () => GrantLease, content: () => Secret | undefined) {
    this.#lease = lease
    this.#content = content
  }

  /** What stands there now, unless it was taken. */
  read(): Seeded {
    const content = this.#content()?.expose()
    if (content === undefined) return { kind: 'none' }
    const digest = createHash('sha256').update(content).digest('hex')
    if (digest === this.#taken) return { kind: 'none' }
    try {
      return { kind: 'new', pair: this.#lease().readSeed(content), digest }
    } catch (error) {
      return { kind: 'bad', reason: reasonOf(error) }
    }
  }

  taken(digest: string): void {
    this.#taken = digest
  }
}
