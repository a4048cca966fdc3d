import type { Pair } from '#credentials/lease.ts'
import type { GrantStore, KeptGrant } from '#contracts/grants.ts'
import { StoreError } from './store-error.ts'

/** A store whose file can be looked at as a restart would find it. */
interface Inspected extends GrantStore {
  /** Throws StoreError where a restart would not find what is kept. */
  inspect?(): void
}

interface LazyOptions {
  /** Makes room for a new store where what is there cannot be one: only a new login asks for that. */
  readonly setAside: (fault: StoreError) => void
  /** Whether this seed is known not to be spent though the store is lost. */
  readonly isUnspent: (credential: string, digest: string) => boolean
  /** The monotonic clock, milliseconds. */
  readonly elapsed?: () => number
}

/** Milliseconds between two looks at the file, however often readiness is asked. */
const lookMs = 2_000

/** A store that is opened when it is first asked something: a proxy without rotating grants keeps no files. */
export class LazyStore implements GrantStore {
  readonly #open: () => Inspected
  readonly #options: LazyOptions | undefined
  #opened: Inspected | undefined
  #fault: StoreError | undefined
  #lookedAt = Number.NEGATIVE_INFINITY

  /** `open` may throw; it is then tried again with the next question. Without `options` nothing is set aside. */
  constructor(open: () => Inspected, options?: LazyOptions) {
    this.#open = open
    this.#options = options
  }

  /** Why the store cannot be used now, or after a restart; `undefined`: it can, or nobody has asked it. */
  get fault(): string | undefined {
    const { elapsed = () => performance.now() } = this.#options ?? {}
    if (this.#opened && elapsed() - this.#lookedAt >= lookMs) {
      this.#lookedAt = elapsed()
      try {
        this.#note(() => this.#opened?.inspect?.())
      } catch {
        // It is noted.
      }
    }
    return this.#fault?.message
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
    // A login spends nothing that is kept, so it may begin anew.
    await this.#beginAnew(true)
    return this.#store().login(credential, pair, now)
  }

  async seed(credential: string, pair: Pair, digest: string, now: number): Promise<number | undefined> {
    await this.#beginAnew(this.#options?.isUnspent(credential, digest) ?? false)
    return this.#store().seed(credential, pair, digest, now)
  }

  async close(): Promise<void> {
    await this.#opened?.close()
  }

  /** Sets a store aside that is garbage. A newer version and another key are mended otherwise. */
  async #beginAnew(isSafe: boolean): Promise<void> {
    if (!this.#options || !isSafe) return
    try {
      this.#store()
    } catch {
      // What is wrong is noted.
    }
    const fault = this.#fault
    if (fault?.code !== 'store_corrupt') return
    const damaged = this.#opened
    this.#opened = undefined
    this.#fault = undefined
    try {
      await damaged?.close()
    } finally {
      this.#options.setAside(fault)
    }
  }

  #store(): GrantStore {
    return (this.#opened ??= this.#note(this.#open))
  }

  #note<Result>(act: () => Result): Result {
    try {
      const result = act()
      this.#fault = undefined
      return result
    } catch (error) {
      // Another process that is just writing is no fault.
      this.#fault = error instanceof StoreError && error.code !== 'store_locked' ? error : undefined
      throw error
    }
  }
}
