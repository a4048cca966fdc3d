import type { Pair } from '#credentials/lease.ts'
import type { GrantStore, KeptGrant } from '#journey/ports.ts'

/** A store that is opened when it is first asked something: a proxy without rotating grants keeps no files. */
export class LazyStore implements GrantStore {
  readonly #open: () => GrantStore
  #opened: GrantStore | undefined

  /** `open` may throw; it is then tried again with the next question. */
  constructor(open: () => GrantStore) {
    this.#open = open
  }

  async read(credential: string): Promise<KeptGrant | undefined> {
    return this.#store().read(credential)
  }

  async begin(credential: string, generation: number, now: number): Promise<boolean> {
    return this.#store().begin(credential, generation, now)
  }

  async takeOver(credential: string, generation: number, since: number, now: number): Promise<boolean> {
    return this.#store().takeOver(credential, generation, since, now)
  }

  async commit(credential: string, generation: number, next: Pair, now: number): Promise<boolean> {
    return this.#store().commit(credential, generation, next, now)
  }

  async release(credential: string, generation: number): Promise<boolean> {
    return this.#store().release(credential, generation)
  }

  async fail(credential: string, generation: number, reason: string, now: number): Promise<boolean> {
    return this.#store().fail(credential, generation, reason, now)
  }

  async login(credential: string, pair: Pair, now: number): Promise<number> {
    return this.#store().login(credential, pair, now)
  }

  async seed(credential: string, pair: Pair, digest: string, now: number): Promise<number | undefined> {
    return this.#store().seed(credential, pair, digest, now)
  }

  async close(): Promise<void> {
    await this.#opened?.close()
  }

  #store(): GrantStore {
    return (this.#opened ??= this.#open())
  }
}
