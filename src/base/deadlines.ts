import type { Clock } from './clock.ts'

/** Milliseconds between two looks at all deadlines: one expires late by up to this. */
const interval = 500

/** Something that is given up when its time is over. `deadline` may be moved at any time, at no cost. */
export interface Deadline {
  /** Milliseconds as `Deadlines.now` counts them; `Infinity`: never. */
  deadline: number
  expire(): void
}

/**
 * The deadlines of many connections on one timer. A connection moves its deadline with each chunk, so moving one must cost no more
 * than a write to a field: a timer for each would be taken off and put on again for every chunk.
 */
export class Deadlines {
  /** Monotonic milliseconds as of the last look; no more than one interval behind. */
  now: number
  readonly #clock: Pick<Clock, 'elapsed' | 'later'>
  readonly #waiting = new Set<Deadline>()
  #cancel: (() => void) | undefined

  constructor(clock: Pick<Clock, 'elapsed' | 'later'>) {
    this.#clock = clock
    this.now = clock.elapsed()
  }

  /** Begins to watch a deadline, until it expires or is deleted. */
  add(waiting: Deadline): void {
    this.#waiting.add(waiting)
    if (this.#cancel) return
    this.now = this.#clock.elapsed()
    this.#next()
  }

  delete(waiting: Deadline): void {
    this.#waiting.delete(waiting)
    if (this.#waiting.size > 0) return
    this.#cancel?.()
    this.#cancel = undefined
  }

  #next(): void {
    this.#cancel = this.#clock.later(interval, () => this.#look())
  }

  #look(): void {
    this.now = this.#clock.elapsed()
    for (const waiting of this.#waiting) {
      if (waiting.deadline > this.now) continue
      this.#waiting.delete(waiting)
      waiting.expire()
    }
    if (this.#waiting.size > 0) this.#next()
    else this.#cancel = undefined
  }
}
