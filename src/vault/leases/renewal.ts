/** How a lease's next pair is had: `rotation.ts` where the call spends what it is made with, `minting.ts` where not. */
import type { Pair } from '#credentials/lease.ts'
import type { HeldLease } from './lease-times.ts'

export interface Renewal {
  /** Takes in the seed, when it has one not seen before, and what is kept. Throws StoreError. */
  load(): Promise<LoadedLease>
  /**
   * One attempt at a newer pair than `held`. `urgent` answers, each time it is asked, whether `held` can no longer be
   * used, so that someone waits. Never throws.
   */
  next(held: HeldLease | undefined, urgent: () => boolean): Promise<RenewalTurn>
  /** A new login: the next generation whatever there was. Throws StoreError. */
  login(pair: Pair): Promise<HeldLease>
  /** What made a refusal final has changed: one more attempt is in order. Throws StoreError. */
  reopen(held: HeldLease | undefined): Promise<HeldLease | undefined>
  /** Ends all waiting; no call is begun from now on. */
  close(): void
}

export interface LoadedLease {
  readonly held: HeldLease | undefined
  /** `seed`: it is a login taken from the seed just now. */
  readonly from: 'seed' | 'kept'
  /** Why only a new login helps. */
  readonly ended: string | undefined
  /** Why a seed that is there could not be taken. */
  readonly seedTrouble: string | undefined
}

/** What an attempt came to. */
export type RenewalTurn =
  /** The pair now in force. `call`: we asked for it. `store`: it was there already, by someone else or by an earlier write. */
  | { readonly kind: 'held'; readonly held: HeldLease; readonly by: 'call' | 'store' }
  /** In force, but not on disk: nothing may be asked for until it is. `first`: this is the first one hears of it. */
  | { readonly kind: 'unwritten'; readonly held: HeldLease; readonly first: boolean; readonly reason: string }
  /** Final. */
  | { readonly kind: 'refused'; readonly reason: string }
  /** Milliseconds to wait at least. `unsure`: the pair may be spent already, so ask rarely. */
  | { readonly kind: 'later'; readonly reason: string; readonly after: number | undefined; readonly unsure: boolean }
  /** The store cannot be read or written. */
  | { readonly kind: 'store_failed'; readonly reason: string }
  /** No call was made. `unsure`: none will be while the pair can be used. `busy`: someone else is making it. */
  | { readonly kind: 'waiting'; readonly why: 'unsure' | 'busy' | 'closed' }
