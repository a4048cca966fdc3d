import { LruMap } from '#base/async.ts'
import type { Address } from '#base/address.ts'
import type { Clock } from '#base/clock.ts'

/** Events that an address may cause at once, how many come back each second, and how many it may owe. */
const allowance = { burst: 1_000, perSecond: 50, mostOwed: 5_000 } as const

/**
 * What is cheap to send and dear to handle, in events. A gRPC client pings often and rightly; a crew that does not trust a new CA yet
 * breaks a handshake with each of its attempts, and no more than 128 of an address are under way at once.
 */
export const costs = { reset: 1, settings: 1, ping: 0.1, brokenHandshake: 0.2 } as const

interface Bucket {
  events: number
  at: number
}

/**
 * What each address has left of events that are cheap to send and dear to handle, in all its connections together: a new
 * connection begins with no new allowance. What came before it could be stopped is owed.
 */
export class Peers {
  readonly #clock: Pick<Clock, 'elapsed'>
  readonly #buckets = new LruMap<Address, Bucket>(10_000)

  constructor(clock: Pick<Clock, 'elapsed'>) {
    this.#clock = clock
  }

  /** Takes the cost of an event. `false`: nothing is left. */
  charge(address: Address, cost: number): boolean {
    const bucket = this.#refilled(address) ?? { events: allowance.burst, at: this.#clock.elapsed() }
    bucket.events = Math.max(bucket.events - cost, -allowance.mostOwed)
    this.#buckets.set(address, bucket)
    return bucket.events >= 0
  }

  /** Nothing is left: it is not heard until some has come back. */
  isSpent(address: Address): boolean {
    const bucket = this.#refilled(address)
    return bucket !== undefined && bucket.events < 0
  }

  #refilled(address: Address): Bucket | undefined {
    const bucket = this.#buckets.get(address)
    if (!bucket) return undefined
    const now = this.#clock.elapsed()
    bucket.events = Math.min(allowance.burst, bucket.events + ((now - bucket.at) / 1000) * allowance.perSecond)
    bucket.at = now
    return bucket
  }
}
