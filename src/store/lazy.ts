import type { Pair } from '#credentials/lease.ts'
import type { GrantStore, KeptGrant } from '#journey/ports.ts'
import { StoreError } from './store-error.ts'

/** A store that is opened when it is first asked something: a proxy without rotating grants keeps no files. */
export class LazyStore implements GrantStore {
  readonly #open: () => GrantStore
  #opened: GrantStore | undefined

  readonly #setAside: ((fault: StoreError) => void) | undefined
  #fault: string | undefined

  /**
   * `open` may throw; it is then tried again with the next question. `setAside` makes room for a new store where what is there
   * cannot be one: only a new login asks for that.
   */
  constructor(open: () => GrantStore, setAside?: (fault: StoreError) => void) {
    this.#open = open
    this.#setAside = setAside
  }

  /** Why the store could not be opened; `undefined`: it could, or nobody has asked it. */
  get fault(): string | undefined {
    return this.#fault
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
    try {
      this.#store()
    } catch (error) {
      // A login spends nothing that is kept, so it may begin anew. A newer version and another key are mended otherwise.
      if (!(error instanceof StoreError) || error.code !== 'store_corrupt' || !this.#setAside) throw error
      this.#setAside(error)
    }
    return this.#store().login(credential, pair, now)
  }

  async seed(credential: string, pair: Pair, digest: string, now: number): Promise<number | undefined> {
    return this.#store().seed(credential, pair, digest, now)
  }

  async close(): Promise<void> {
    await this.#opened?.close()
  }

  #store(): GrantStore {
    if (this.#opened) return this.#opened
    try {
      this.#opened = this.#open()
      this.#fault = undefined
      return this.#opened
    } catch (error) {
      this.#fault = error instanceof StoreError && error.code !== 'store_locked' ? error.message : undefined
      throw error
    }
  }
}
