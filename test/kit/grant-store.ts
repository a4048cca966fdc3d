import type { Pair } from '#credentials/lease.ts'
import type { GrantStore, KeptGrant } from '#contracts/grants.ts'

interface Row extends KeptGrant {
  readonly seed: string | undefined
}

/** A store in memory that keeps every promise but that of surviving. What was done to it is on record, in order. */
export class MemoryStore implements GrantStore {
  readonly done: string[] = []
  /** Called before each operation: throws to fail it, and may wait. */
  before: (operation: string) => void | Promise<void> = () => {}
  readonly #rows = new Map<string, Row>()

  async read(credential: string): Promise<KeptGrant | undefined> {
    await this.before('read')
    return this.#rows.get(credential)
  }

  begin(credential: string, generation: number, now: number): Promise<boolean> {
    const free = (row: Row): boolean => row.inFlightSince === undefined && row.needsLogin === undefined
    return this.#change('begin', credential, generation, free, { inFlightSince: now, writtenAt: now })
  }

  takeOver(credential: string, generation: number, since: number, now: number): Promise<boolean> {
    return this.#change('takeOver', credential, generation, (row) => row.inFlightSince === since, {
      inFlightSince: now,
      writtenAt: now,
    })
  }

  commit(credential: string, generation: number, next: Pair, now: number): Promise<boolean> {
    const change = { pair: next, generation: generation + 1, inFlightSince: undefined, writtenAt: now }
    return this.#change('commit', credential, generation, () => true, change)
  }

  release(credential: string, generation: number): Promise<boolean> {
    return this.#change('release', credential, generation, (row) => row.inFlightSince !== undefined, { inFlightSince: undefined })
  }

  fail(credential: string, generation: number, reason: string, now: number): Promise<boolean> {
    const change = { needsLogin: reason, inFlightSince: undefined, writtenAt: now }
    return this.#change('fail', credential, generation, (row) => row.needsLogin === undefined, change)
  }

  async login(credential: string, pair: Pair, now: number): Promise<number> {
    await this.before('login')
    return this.#login(credential, pair, this.#rows.get(credential)?.seed, now)
  }

  async seed(credential: string, pair: Pair, digest: string, now: number): Promise<number | undefined> {
    await this.before('seed')
    return this.#rows.get(credential)?.seed === digest ? undefined : this.#login(credential, pair, digest, now)
  }

  async close(): Promise<void> {}

  #login(credential: string, pair: Pair, seed: string | undefined, now: number): number {
    const generation = (this.#rows.get(credential)?.generation ?? 0) + 1
    this.#rows.set(credential, { generation, pair, inFlightSince: undefined, needsLogin: undefined, writtenAt: now, seed })
    this.done.push('login')
    return generation
  }

  async #change(
    operation: string,
    credential: string,
    generation: number,
    fits: (row: Row) => boolean,
    change: Partial<Row>,
  ): Promise<boolean> {
    await this.before(operation)
    const row = this.#rows.get(credential)
    if (!row || row.generation !== generation || !fits(row)) return false
    this.#rows.set(credential, { ...row, ...change })
    this.done.push(operation)
    return true
  }
}
