import type { Clock } from '#base/clock.ts'
import { ProxyError } from '#base/errors.ts'
import type { Pair } from '#credentials/lease.ts'
import type { Credential, Grant } from '#credentials/types.ts'
import type { Renewal, RenewalTurn } from './renewal.ts'
import { ForcedCalls } from './forced-calls.ts'
import type { LeaseEvent, LeaseStatus, LeaseValue } from './lease-status.ts'
import { deadAt, pauseAfter, phaseOf, refreshAt } from './lease-times.ts'
import type { HeldLease } from './lease-times.ts'
import { reasonOf } from './token-call.ts'
import { waitUntil } from './wait.ts'

export interface KeeperOptions {
  readonly course: Renewal
  readonly clock: Clock
  /** From 0 to 1. */
  readonly random: () => number
  readonly onEvent: (event: LeaseEvent) => void
  /** Called after each change of a real value. */
  readonly onChange: () => void
}

type Later = RenewalTurn & { readonly kind: 'later' }

/** Milliseconds between looks at the store when only others can change something, and for requests that fail. */
const idleLook = 30_000
const eagerLook = 1000
/** Timers are looked at this often: the wall clock may have been set, and a timer takes 24 days at most. */
const longestTimer = 10 * 60_000
/** Milliseconds that a request waits for a value. A dead replica's mark holds for two minutes, and few clients wait that long. */
const longestWait = 25_000
/** Takeovers of another replica's pair in one go. */
const mostTurns = 3

/**
 * Keeps one lease alive: one attempt at a time, whoever asks, and none ended by a client that goes away. A pair is used
 * for as long as it lives, however its refresh fares.
 */
export class Keeper {
  #credential: Credential
  readonly #options: KeeperOptions
  readonly #course: Renewal
  readonly #clock: Clock
  #held: HeldLease | undefined
  /** The one before: replies to requests that carried it are still on their way. */
  #previous: Pair | undefined
  #ended: string | undefined
  #last: LeaseStatus['lastRefresh']
  #loaded = false
  #unwritten = false
  /** Of a minted lease: whether anyone has asked since the last one. */
  #used = false
  #flight: Promise<void> | undefined
  #failures = 0
  /** On the monotonic clock: no attempt before this, and no look of our own accord before that. */
  #notBefore = 0
  #lookAt = 0
  #chance = 0
  /** Highest generation an upstream has refused. */
  #refused = 0
  readonly #forced = new ForcedCalls()
  #cancelTimer = (): void => {}
  #closed = false

  constructor(credential: Credential, options: KeeperOptions) {
    this.#credential = credential
    this.#options = options
    this.#course = options.course
    this.#clock = options.clock
  }

  /** Begins to keep, after whoever kept it before: reads what there is, and refreshes it if it is time. */
  open(before: Promise<void> = Promise.resolve()): void {
    void this.#start(before)
  }

  /** The policy has been edited; what is held stays. */
  update(credential: Credential): void {
    this.#credential = credential
    // Nothing says whether it was this lease that changed: a refusal of what can be asked again at no loss is tried anew.
    if (!this.#rotates()) void this.reopen()
  }

  /** The value in force. Throws `needs_login` or `credential_unavailable`. */
  grant(credential: Credential): Grant | Promise<Grant> {
    const held = this.#usable()
    if (!held) return this.#obtain(credential)
    this.#use()
    const now = this.#clock.elapsed()
    if (!this.#flight && now >= this.#notBefore && now >= this.#lookAt && this.#isDue(held)) void this.#start()
    return grantOf(credential, held)
  }

  /**
   * A newer value than the one of `generation`, which an upstream has refused. `undefined`: there is none now. Throws
   * `needs_login` or `credential_unavailable` when there will be none.
   */
  async renew(credential: Credential, generation: number): Promise<Grant | undefined> {
    const until = this.#clock.elapsed() + longestWait
    while (this.#clock.elapsed() < until) {
      const held = this.#usable()
      if (held && held.generation > generation) return grantOf(credential, held)
      if (!this.#flight) break
      await waitUntil(this.#clock, until, this.#flight)
    }
    const now = this.#clock.elapsed()
    if (this.#ended === undefined) {
      if (this.#closed || now < this.#notBefore || !this.#forced.begin(generation, now)) return undefined
      this.#refused = Math.max(this.#refused, generation)
      await waitUntil(this.#clock, until, this.#start())
      this.#forced.end(this.#held?.generation ?? 0)
      const held = this.#usable()
      if (held && held.generation > generation) return grantOf(credential, held)
      if (this.#ended === undefined) return undefined
    }
    this.#refused = Math.max(this.#refused, generation)
    throw this.#unavailable()
  }

  /** A new login. Gives its generation. Throws StoreError, and then nothing has changed. */
  async login(pair: Pair): Promise<number> {
    const held = await this.#course.login(pair)
    this.#clear()
    this.#take(held, 'adopted', 'a new login')
    this.#plan()
    return held.generation
  }

  /** The seed has another content. */
  reseed(): void {
    this.#loaded = false
    this.#clear()
    // A flight that is under way may have passed the seed already; whoever ends it looks again.
    if (!this.#flight) void this.#start()
  }

  /** What the call is made with has changed: what was final is so no longer. */
  async reopen(): Promise<void> {
    if (this.#closed) return
    if (this.#ended === undefined) {
      this.#notBefore = 0
      return this.#plan()
    }
    try {
      const held = await this.#course.reopen(this.#held)
      this.#ended = undefined
      this.#clear()
      if (held) this.#take(held, 'reopened')
      if (!this.#flight) this.#plan()
    } catch (error) {
      this.#tell('store_failed', reasonOf(error))
    }
  }

  /** Every real value that may be under way. */
  values(): readonly LeaseValue[] {
    const { lease } = this.#credential
    if (!lease) return []
    const { stubs } = lease
    return [this.#held?.pair, this.#previous].flatMap((pair) => {
      if (!pair) return []
      const access = { secret: pair.access, stub: stubs.access }
      return pair.refresh ? [access, { secret: pair.refresh, stub: stubs.refresh ?? stubs.access }] : [access]
    })
  }

  status(): LeaseStatus {
    const { id, kind } = this.#credential
    const needsLogin = this.#ended
    return {
      id,
      kind,
      generation: this.#held?.generation,
      expiresAt: this.#held?.pair.expiresAt,
      scopes: this.#held?.pair.scopes,
      lastRefresh: this.#last,
      ...(needsLogin === undefined ? {} : { needsLogin }),
    }
  }

  /** Stops the timers and begins no call; waits for one that is under way, so many milliseconds at most. */
  async close(atMost: number): Promise<void> {
    this.#closed = true
    this.#cancelTimer()
    this.#course.close()
    const { promise: late, resolve } = Promise.withResolvers<void>()
    const cancel = this.#clock.later(atMost, resolve)
    await Promise.race([this.#finish(), late])
    cancel()
  }

  async #finish(): Promise<void> {
    await this.#flight
    // It is the only copy: once more before it is gone.
    if (this.#unwritten) this.#settle(await this.#course.next(this.#held, () => false))
  }

  async #obtain(credential: Credential): Promise<Grant> {
    this.#used = true
    const until = this.#clock.elapsed() + longestWait
    // Twice: the flight that was joined may have begun when there was no hurry.
    for (let tries = 0; tries < 2; tries += 1) {
      if (this.#closed || (!this.#flight && this.#clock.elapsed() < this.#notBefore)) break
      await waitUntil(this.#clock, until, this.#start())
      const held = this.#usable()
      if (!held) continue
      this.#use()
      return grantOf(credential, held)
    }
    throw this.#unavailable()
  }

  #use(): void {
    if (this.#used) return
    this.#used = true
    if (!this.#flight) this.#plan()
  }

  #unavailable(): ProxyError {
    const { id } = this.#credential
    if (this.#ended !== undefined && this.#rotates())
      return new ProxyError('needs_login', `the login of ${id} has ended, or there was none`)
    return new ProxyError('credential_unavailable', `the real value of ${id} is not available: its token endpoint gives none`)
  }

  #start(before?: Promise<void>): Promise<void> {
    if (this.#closed) return Promise.resolve()
    this.#cancelTimer()
    this.#flight ??= this.#run(before).finally(() => {
      this.#flight = undefined
      this.#plan()
    })
    return this.#flight
  }

  /** Never rejects. */
  async #run(before: Promise<void> | undefined): Promise<void> {
    try {
      await before
      if (!this.#loaded) await this.#load()
      for (let turns = 0; turns < mostTurns && this.#isWanted(); turns += 1) {
        const turn = await this.#course.next(this.#held, () => this.#isUrgent())
        this.#settle(turn)
        if (turn.kind !== 'held' || turn.by === 'call') break
      }
    } catch (error) {
      this.#fail('store_failed', reasonOf(error))
    }
  }

  async #load(): Promise<void> {
    // Before and not after: a seed that changes meanwhile is looked at again.
    this.#loaded = true
    try {
      const { held, from, ended, seedTrouble } = await this.#course.load()
      if (held) this.#take(held, from === 'seed' ? 'seed_adopted' : 'adopted')
      if (ended !== undefined) this.#end(ended)
      if (seedTrouble !== undefined) this.#tell('refresh_failed', seedTrouble)
    } catch (error) {
      this.#loaded = false
      throw error
    }
  }

  #settle(turn: RenewalTurn): void {
    const wasUnwritten = this.#unwritten
    this.#unwritten = turn.kind === 'unwritten'
    switch (turn.kind) {
      case 'held':
        this.#clear()
        if (wasUnwritten && turn.held.generation === this.#held?.generation) this.#tell('adopted', 'it is on disk now')
        this.#take(turn.held, turn.by === 'call' ? 'refreshed' : 'adopted')
        return
      case 'unwritten':
        this.#take(turn.held, turn.first ? 'refreshed' : 'adopted')
        this.#fail('store_failed', turn.reason)
        return
      case 'refused':
        this.#end(turn.reason)
        return
      case 'later':
        this.#fail('refresh_failed', turn.reason, turn)
        return
      case 'store_failed':
        this.#fail('store_failed', turn.reason)
        return
      case 'waiting':
        this.#lookAt =
          this.#clock.elapsed() + (turn.why === 'unsure' ? Math.max(eagerLook, Math.min(idleLook, this.#life())) : eagerLook)
        return
      default:
        turn satisfies never
    }
  }

  /** Only ever forward: what comes late from an older generation is nothing to go by. */
  #take(held: HeldLease, kind: LeaseEvent['kind'], detail?: string): void {
    if (this.#held && held.generation <= this.#held.generation) return
    this.#previous = this.#held?.pair
    this.#held = held
    this.#ended = undefined
    this.#used = false
    this.#chance = this.#options.random()
    this.#options.onChange()
    this.#tell(kind, detail)
  }

  /** Told once, until there is a new generation. */
  #end(reason: string): void {
    const now = this.#clock.elapsed()
    this.#notBefore = now + eagerLook
    this.#lookAt = now + idleLook
    if (this.#ended !== undefined) return
    this.#ended = reason
    this.#tell('needs_login', reason)
  }

  #fail(kind: 'refresh_failed' | 'store_failed', reason: string, { after = 0, unsure = false }: Partial<Later> = {}): void {
    this.#failures += 1
    const failure = { failures: this.#failures, life: this.#life(), after, unsure }
    this.#notBefore = this.#clock.elapsed() + pauseAfter(failure, this.#options.random())
    this.#tell(kind, reason)
  }

  #clear(): void {
    this.#failures = 0
    this.#notBefore = 0
    this.#lookAt = 0
  }

  #tell(kind: LeaseEvent['kind'], detail?: string): void {
    this.#last = { at: this.#clock.now(), result: kind }
    this.#options.onEvent({
      kind,
      credential: this.#credential.id,
      ...(detail === undefined ? {} : { detail }),
      generation: this.#held?.generation,
      expiresAt: this.#held?.pair.expiresAt,
    })
  }

  /** Milliseconds the pair can still be used; 0: it is dead, or there is none. */
  #life(): number {
    return this.#held ? Math.max(0, deadAt(this.#held) - this.#clock.now()) : 0
  }

  #usable(): HeldLease | undefined {
    const held = this.#held
    if (!held || phaseOf(held, this.#clock.now()) === 'dead') return undefined
    // Refused by the upstream and by the token endpoint: whoever sends it now is answered 401.
    return this.#ended !== undefined && this.#refused >= held.generation ? undefined : held
  }

  #isDue(held: HeldLease): boolean {
    return this.#refused >= held.generation || phaseOf(held, this.#clock.now()) !== 'fresh'
  }

  #isUrgent(): boolean {
    return !this.#held || this.#refused >= this.#held.generation || this.#life() === 0
  }

  #isWanted(): boolean {
    if (this.#closed) return false
    if (this.#unwritten || this.#ended !== undefined) return true
    return this.#held ? this.#isDue(this.#held) : this.#rotates() || this.#used
  }

  #rotates(): boolean {
    return this.#credential.lease?.rotating === true
  }

  /** On the monotonic clock: when to look of our own accord. */
  #due(): number {
    const now = this.#clock.elapsed()
    if (!this.#loaded || this.#unwritten) return this.#notBefore
    if (!this.#rotates() && (this.#ended !== undefined || !this.#used)) return Number.POSITIVE_INFINITY
    if (this.#ended !== undefined || !this.#held) return Math.max(this.#notBefore, this.#lookAt)
    const time = this.#isDue(this.#held) ? 0 : refreshAt(this.#held, this.#chance) - this.#clock.now()
    return Math.max(this.#notBefore, this.#lookAt, now + time)
  }

  #plan(): void {
    this.#cancelTimer()
    if (this.#closed) return
    const due = this.#due()
    if (due === Number.POSITIVE_INFINITY) return
    const wait = Math.min(Math.max(0, due - this.#clock.elapsed()), longestTimer)
    this.#cancelTimer = this.#clock.later(wait, () => {
      if (this.#due() > this.#clock.elapsed()) this.#plan()
      else void this.#start()
    })
  }
}

function grantOf(credential: Credential, held: HeldLease): Grant {
  return { credential, secret: held.pair.access, generation: held.generation, until: deadAt(held) }
}
