/**
 * The one place where a single-use refresh token is spent. It is written down before it is sent, and what comes back is
 * on disk before anyone uses it. Whoever else has the store open (another replica, or this process before it was killed)
 * is known by the generation and by the mark of a call in flight.
 */
import type { Pair, TokenCall } from '#credentials/lease.ts'
import type { GrantStore, KeptGrant } from '#contracts/grants.ts'
import type { Renewal, LoadedLease, RenewalTurn } from './renewal.ts'
import type { HeldLease } from './lease-times.ts'
import type { Seed } from './seed.ts'
import { makeCall, prepareCall, reasonOf } from './token-call.ts'
import type { Called, Calling } from './token-call.ts'

export interface RotationOptions {
  readonly calling: Calling
  readonly store: GrantStore
  readonly seed: Seed
  /**
   * Milliseconds after which a mark that someone else has set counts as left behind; longer than any token call takes.
   * Zero where nobody else has the store open: then it was us, before a crash.
   */
  readonly abandonedAfter: number
  /**
   * True if every mark is set by the clock of this machine, as in a file: then its age at first sight counts. Clocks of other
   * machines differ by minutes, so a mark of theirs is aged from the moment we first see it. Default false.
   */
  readonly marksByOurClock?: boolean | undefined
}

/** A mark we have set ourselves. */
interface Mark {
  readonly generation: number
  readonly since: number
  /** The call is known to have spent nothing, though the mark could not be taken off. */
  unspent: boolean
}

/** Milliseconds between looks at a mark of someone else, when someone waits. */
const pollMs = 250
/** More lost races than this in one attempt, and the store does not do what it promises. */
const mostRaces = 10

type Again = { readonly kind: 'again' }
const again: Again = { kind: 'again' }

export class Rotation implements Renewal {
  readonly #calling: Calling
  readonly #store: GrantStore
  readonly #seed: Seed
  readonly #abandonedAfter: number
  readonly #marksByOurClock: boolean
  #mark: Mark | undefined
  /** A mark of someone else, and since when it is there, on our monotonic clock. */
  #foreign: { readonly since: number; readonly seenAt: number } | undefined
  /** What came back and could not be written. It is the only copy. */
  #unwritten: { readonly generation: number; readonly pair: Pair } | undefined
  #refused: { readonly generation: number; readonly reason: string } | undefined
  #closed = false
  #wake = (): void => {}

  constructor({ calling, store, seed, abandonedAfter, marksByOurClock = false }: RotationOptions) {
    this.#calling = calling
    this.#store = store
    this.#seed = seed
    this.#abandonedAfter = abandonedAfter
    this.#marksByOurClock = marksByOurClock
  }

  async load(): Promise<LoadedLease> {
    const { credential, clock } = this.#calling
    const seen = this.#seed.read()
    let from: LoadedLease['from'] = 'kept'
    if (seen.kind === 'new') {
      const generation = await this.#store.seed(credential, seen.pair, seen.digest, clock.now())
      this.#seed.taken(seen.digest)
      if (generation !== undefined) {
        from = 'seed'
        this.#unwritten = undefined
      }
    }
    const kept = await this.#store.read(credential)
    if (kept?.inFlightSince !== undefined) this.#look(kept.inFlightSince)
    // A seed says when it expires, and not when it was granted.
    const held = kept && { pair: kept.pair, generation: kept.generation, since: from === 'seed' ? undefined : kept.writtenAt }
    const isSpent = seen.kind === 'new' && from === 'kept' && !kept
    const ended = isSpent ? 'its seed was spent with a database that is not here any more' : kept?.needsLogin
    return { held, from, ended, seedTrouble: seen.kind === 'bad' ? seen.reason : undefined }
  }

  async next(held: HeldLease | undefined, urgent: () => boolean): Promise<RenewalTurn> {
    try {
      for (let races = 0; races < mostRaces;) {
        if (this.#unwritten) {
          const written = await this.#write(this.#unwritten, false)
          if (written.kind !== 'again') return written
        }
        if (this.#closed) return { kind: 'waiting', why: 'closed' }
        const kept = await this.#store.read(this.#calling.credential)
        const turn = kept ? await this.#attempt(kept, held, urgent) : noLogin
        if (turn === 'polled') continue
        if (turn.kind !== 'again') return turn
        races += 1
      }
      return { kind: 'store_failed', reason: 'the store refuses every write' }
    } catch (error) {
      return { kind: 'store_failed', reason: reasonOf(error) }
    }
  }

  async login(pair: Pair): Promise<HeldLease> {
    const { credential, clock } = this.#calling
    const generation = await this.#store.login(credential, pair, clock.now())
    this.#unwritten = undefined
    return { pair, generation, since: undefined }
  }

  /** The pair is still the one to ask with: it becomes a login of its own. */
  async reopen(held: HeldLease | undefined): Promise<HeldLease | undefined> {
    return held && this.login(held.pair)
  }

  close(): void {
    this.#closed = true
    this.#wake()
  }

  /** `again`: the world has changed meanwhile; read it anew. */
  async #attempt(kept: KeptGrant, held: HeldLease | undefined, urgent: () => boolean): Promise<RenewalTurn | Again | 'polled'> {
    const { credential, clock } = this.#calling
    const { generation, pair } = kept
    if (generation > (held?.generation ?? 0)) {
      return { kind: 'held', held: { pair, generation, since: kept.writtenAt }, by: 'store' }
    }
    if (kept.needsLogin !== undefined) return { kind: 'refused', reason: kept.needsLogin }
    if (this.#refused?.generation === generation) return { kind: 'refused', reason: this.#refused.reason }

    const call = prepareCall(this.#calling, pair)
    if ('kind' in call) return { kind: 'later', reason: call.reason, after: call.after, unsure: false }
    const marked = kept.inFlightSince
    if (marked === undefined) {
      const since = clock.now()
      const began = clock.elapsed()
      if (!(await this.#store.begin(credential, generation, since))) return again
      const mark: Mark = { generation, since, unspent: false }
      if (this.#overslept(began)) {
        this.#mark = { ...mark, unspent: true }
        return again
      }
      return this.#spend(kept, mark, call, false)
    }
    const unspent = this.#isOurs(kept) && this.#mark?.unspent === true
    if (!unspent) {
      if (!this.#isOurs(kept) && !this.#isAbandoned(marked)) {
        // A new seed is a login of its own: it need not wait for the end of somebody else's call.
        if (!urgent() || this.#seed.read().kind === 'new') return { kind: 'waiting', why: 'busy' }
        await this.#sleep(pollMs)
        return 'polled'
      }
      // Showing a spent token again may end the login: only when there is nothing left to lose.
      if (!urgent()) return { kind: 'waiting', why: 'unsure' }
    }
    const since = Math.max(clock.now(), marked + 1)
    const began = clock.elapsed()
    if (!(await this.#store.takeOver(credential, generation, marked, since))) return again
    const mark: Mark = { generation, since, unspent: false }
    if (unspent && this.#overslept(began)) {
      this.#mark = { ...mark, unspent: true }
      return again
    }
    return this.#spend(kept, mark, call, !unspent)
  }

  /** Makes the call under a mark that we hold. `unsure`: an earlier call may have spent the pair already. */
  async #spend(kept: KeptGrant, mark: Mark, call: TokenCall, unsure: boolean): Promise<RenewalTurn | Again> {
    this.#mark = mark
    if (this.#closed) {
      await this.#takeOff(mark, unsure)
      return { kind: 'waiting', why: 'closed' }
    }
    const called: Called = await makeCall(this.#calling, call, kept.pair)
    const { credential, clock } = this.#calling
    switch (called.kind) {
      case 'granted':
        return this.#write({ generation: mark.generation, pair: called.pair }, true)
      case 'refused': {
        this.#refused = { generation: mark.generation, reason: called.reason }
        const written = await this.#store.fail(credential, mark.generation, called.reason, clock.now()).catch(() => true)
        // Someone else has a newer pair, and the one we showed was old.
        return written ? { kind: 'refused', reason: called.reason } : again
      }
      case 'later':
        if (called.unspent) await this.#takeOff(mark, unsure)
        return { kind: 'later', reason: called.reason, after: called.after, unsure: unsure || !called.unspent }
      default:
        return called satisfies never
    }
  }

  /** What was unsure before stays so, and the mark stays with it. */
  async #takeOff(mark: Mark, unsure: boolean): Promise<void> {
    if (unsure) return
    mark.unspent = true
    const { credential } = this.#calling
    try {
      const kept = await this.#store.read(credential)
      if (kept && this.#isOurs(kept)) await this.#store.release(credential, mark.generation)
    } catch {
      // The mark stays, and we know that it means nothing; after a crash it means one attempt when the pair is dead.
    }
  }

  /** Durable before it is used, unless the disk refuses: then it is the only copy, and is used while it is tried again. */
  async #write(next: { readonly generation: number; readonly pair: Pair }, first: boolean): Promise<RenewalTurn | Again> {
    const { credential, clock } = this.#calling
    const { generation, pair } = next
    const held = { pair, generation: generation + 1, since: clock.now() }
    try {
      const written = await this.#store.commit(credential, generation, pair, clock.now())
      this.#unwritten = undefined
      if (!written) return again
      return { kind: 'held', held, by: first ? 'call' : 'store' }
    } catch (error) {
      this.#unwritten = next
      return { kind: 'unwritten', held, first, reason: reasonOf(error) }
    }
  }

  /**
   * Whether we were stopped for so long after a mark was asked for that somebody may soon take it for abandoned: then the pair
   * must not be shown before we have looked again.
   */
  #overslept(began: number): boolean {
    return this.#abandonedAfter > 0 && this.#calling.clock.elapsed() - began > this.#abandonedAfter / 4
  }

  #isOurs({ generation, inFlightSince }: KeptGrant): boolean {
    return this.#mark?.generation === generation && this.#mark.since === inFlightSince
  }

  /** Only our monotonic clock ages a mark: a wall clock that is ahead would take a call that still runs for abandoned. */
  #isAbandoned(marked: number): boolean {
    return this.#calling.clock.elapsed() - this.#look(marked) >= this.#abandonedAfter
  }

  /** Since when, on our monotonic clock, this mark is there. */
  #look(marked: number): number {
    const { clock } = this.#calling
    if (this.#foreign?.since !== marked) {
      const age = this.#marksByOurClock ? Math.max(0, clock.now() - marked) : 0
      this.#foreign = { since: marked, seenAt: clock.elapsed() - age }
    }
    return this.#foreign.seenAt
  }

  async #sleep(milliseconds: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const cancel = this.#calling.clock.later(milliseconds, resolve)
    this.#wake = resolve
    await promise
    cancel()
  }
}

const noLogin: RenewalTurn = { kind: 'refused', reason: 'there is no login yet' }
