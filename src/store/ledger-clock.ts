/**
 * The time that budgets go by. The wall clock of a machine can jump (an operator, NTP, a virtual machine that was moved), and a
 * window that opens too early is a budget that is spent twice or refused for days. So a jump must be borne out: by the
 * monotonic clock, which no jump moves, or by staying for a while.
 */

/** A moment on a timeline: so much wall time at so much monotonic time. Milliseconds. */
interface Moment {
  readonly wall: number
  readonly elapsed: number
}

/** What is kept of the time over a restart. Milliseconds since the epoch. */
export interface KeptTime {
  readonly now: number
  /** The time that no later jump has moved; `undefined`: kept by a program that did not know it. */
  readonly floor: number | undefined
}

/** Milliseconds: what drift and slewing move a clock by, until a jump that stays is believed, until the last jump is forgotten. */
const times = { drift: 5_000, settle: 45_000, steady: 86_400_000 } as const

/**
 * Goes with the wall clock while that goes with the monotonic one. A jump is believed once it has stayed for 45 s; going back to
 * where the monotonic clock has been all along, at once; going back behind that, never: only `set` does it.
 */
export class LedgerClock {
  /** The timeline that is believed. */
  #believed: Moment | undefined
  /** The timeline from before the last jumps, which the clock may come back to. */
  #floor: Moment | undefined
  /** Where the clock has jumped to, and since when on the monotonic clock. */
  #jump: Moment | undefined
  #jumpedAt = 0
  #last = Number.NEGATIVE_INFINITY

  /** The time now, given what both clocks show. Goes back only where a jump is taken back. */
  read(wall: number, elapsed: number): number {
    const believed = this.#believed
    if (!believed) return this.#take(wall, elapsed)
    const off = wall - at(believed, elapsed)
    if (Math.abs(off) <= times.drift) {
      this.#jump = undefined
      if (elapsed - this.#jumpedAt > times.steady) this.#floor = { wall, elapsed }
      this.#believed = { wall, elapsed }
      return (this.#last = Math.max(this.#last, wall))
    }
    const floor = this.#floor ? at(this.#floor, elapsed) : Number.NEGATIVE_INFINITY
    if (off < 0 && Math.abs(wall - floor) <= times.drift) return this.#take(wall, elapsed)
    if (!this.#jump || Math.abs(wall - at(this.#jump, elapsed)) > times.drift) this.#jump = { wall, elapsed }
    const stays = elapsed - this.#jump.elapsed >= times.settle
    if (stays && wall >= floor - times.drift) return this.#take(wall, elapsed)
    return (this.#last = at(believed, elapsed))
  }

  /** What to keep for the next start. */
  kept(wall: number, elapsed: number): { readonly now: number; readonly floor: number } {
    const now = this.read(wall, elapsed)
    return { now, floor: this.#floor ? Math.min(now, at(this.#floor, elapsed)) : now }
  }

  /** Takes in what an earlier start has kept: time has passed since, so that a later clock is believed, and an earlier one is not. */
  resume({ now, floor = now }: KeptTime, wall: number, elapsed: number): void {
    if (now <= 0) return
    this.#floor = { wall: Math.min(now, floor), elapsed }
    if (wall < now - times.drift) {
      this.#believed = { wall: now, elapsed }
      this.#last = now
      this.#jumpedAt = elapsed
    } else this.#take(wall, elapsed)
  }

  /** An operator says that the wall clock is right. */
  set(wall: number, elapsed: number): void {
    this.#floor = { wall, elapsed }
    this.#take(wall, elapsed)
  }

  /** Milliseconds that the time of budgets is ahead of the wall clock; negative: behind. */
  ahead(wall: number, elapsed: number): number {
    return this.read(wall, elapsed) - wall
  }

  #take(wall: number, elapsed: number): number {
    // Where the monotonic clock says we are, before this jump.
    if (this.#believed) this.#floor ??= { wall: at(this.#believed, elapsed), elapsed }
    this.#believed = { wall, elapsed }
    this.#jump = undefined
    this.#jumpedAt = elapsed
    return (this.#last = wall)
  }
}

function at({ wall, elapsed }: Moment, now: number): number {
  return wall + now - elapsed
}
