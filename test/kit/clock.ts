import type { Clock } from '#base/clock.ts'

/** A clock that stands still until it is told to go on. Wall time and monotonic time move together unless set apart. */
export class ManualClock implements Clock {
  #now: number
  #elapsed = 0
  #waiting: { readonly at: number; readonly act: () => void }[] = []

  constructor(now: number = Date.UTC(2026, 0, 1)) {
    this.#now = now
  }

  now(): number {
    return this.#now
  }

  elapsed(): number {
    return this.#elapsed
  }

  later(milliseconds: number, act: () => void): () => void {
    const entry = { at: this.#elapsed + milliseconds, act }
    this.#waiting.push(entry)
    return () => (this.#waiting = this.#waiting.filter((each) => each !== entry))
  }

  /** Lets time pass, in milliseconds, and what was put off until then happens. */
  advance(milliseconds: number): void {
    this.#now += milliseconds
    this.#elapsed += milliseconds
    const due = this.#waiting.filter(({ at }) => at <= this.#elapsed)
    this.#waiting = this.#waiting.filter(({ at }) => at > this.#elapsed)
    for (const { act } of due) act()
  }

  /** Sets the wall clock alone, as an operator or NTP would. */
  set(now: number): void {
    this.#now = now
  }
}
