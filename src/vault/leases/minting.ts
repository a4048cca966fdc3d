import type { Pair } from '#credentials/lease.ts'
import type { Renewal, LoadedLease, RenewalTurn } from './renewal.ts'
import type { HeldLease } from './lease-times.ts'
import type { Seed } from './seed.ts'
import { makeCall, prepareCall } from './token-call.ts'
import type { Calling } from './token-call.ts'

/** A lease whose call can be made again at no loss: its pair is in memory only. */
export class Minting implements Renewal {
  readonly #calling: Calling
  readonly #seed: Seed
  #generation = 0
  #held: HeldLease | undefined
  #refused: string | undefined
  #closed = false

  constructor(calling: Calling, seed: Seed) {
    this.#calling = calling
    this.#seed = seed
  }

  async load(): Promise<LoadedLease> {
    const seen = this.#seed.read()
    if (seen.kind !== 'new') return this.#loaded('kept', seen.kind === 'bad' ? seen.reason : undefined)
    this.#seed.taken(seen.digest)
    await this.login(seen.pair)
    return this.#loaded('seed', undefined)
  }

  async next(held: HeldLease | undefined): Promise<RenewalTurn> {
    if (this.#closed) return { kind: 'waiting', why: 'closed' }
    if (this.#refused !== undefined) return { kind: 'refused', reason: this.#refused }
    if (this.#held && this.#held.generation > (held?.generation ?? 0)) return { kind: 'held', held: this.#held, by: 'store' }
    const from = this.#generation
    const pair = held?.pair
    const call = prepareCall(this.#calling, pair)
    const called = 'kind' in call ? call : await makeCall(this.#calling, call, pair)
    // A login that came meanwhile is newer than whatever came back.
    if (this.#held && this.#generation !== from) return { kind: 'held', held: this.#held, by: 'store' }
    switch (called.kind) {
      case 'granted':
        return { kind: 'held', held: this.#keep(called.pair, this.#calling.clock.now()), by: 'call' }
      case 'refused':
        this.#refused = called.reason
        return { kind: 'refused', reason: called.reason }
      case 'later':
        return { kind: 'later', reason: called.reason, after: called.after, unsure: false }
      default:
        return called satisfies never
    }
  }

  async login(pair: Pair): Promise<HeldLease> {
    this.#refused = undefined
    return this.#keep(pair, undefined)
  }

  async reopen(): Promise<HeldLease | undefined> {
    this.#refused = undefined
    return this.#held
  }

  close(): void {
    this.#closed = true
  }

  #keep(pair: Pair, since: number | undefined): HeldLease {
    this.#generation += 1
    this.#held = { pair, generation: this.#generation, since }
    return this.#held
  }

  #loaded(from: LoadedLease['from'], seedTrouble: string | undefined): LoadedLease {
    return { held: this.#held, from, ended: this.#refused, seedTrouble }
  }
}
