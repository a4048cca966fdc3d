import { ProxyError } from './errors.ts'

/** One run at a time for each key: callers that come while it runs share its result; a failure is shared and forgotten. */
export class SingleFlight<Key, Value> {
  readonly #running = new Map<Key, Promise<Value>>()

  run(key: Key, work: () => Promise<Value>): Promise<Value> {
    const running = this.#running.get(key)
    if (running) return running
    const started = work().finally(() => this.#running.delete(key))
    this.#running.set(key, started)
    return started
  }
}

/**
 * A map that keeps at most `limit` entries and drops one of those that were used longest ago. An entry moves to the end when it is used,
 * but not again before a quarter of the others has: a map that is always laid out anew costs more than what it spares.
 */
export class LruMap<Key, Value> {
  readonly #entries = new Map<Key, Used<Value>>()
  readonly #limit: number
  readonly #fresh: number
  /** Moves to the end so far. */
  #moves = 0

  constructor(limit: number) {
    this.#limit = limit
    this.#fresh = Math.floor(limit / 4)
  }

  get size(): number {
    return this.#entries.size
  }

  get(key: Key): Value | undefined {
    const found = this.#entries.get(key)
    if (found === undefined) return undefined
    if (this.#moves - found.movedAt > this.#fresh) {
      this.#entries.delete(key)
      this.#entries.set(key, found)
      found.movedAt = this.#moves += 1
    }
    return found.value
  }

  set(key: Key, value: Value): void {
    this.#entries.delete(key)
    this.#entries.set(key, { value, movedAt: (this.#moves += 1) })
    if (this.#entries.size > this.#limit) this.#entries.delete(this.#entries.keys().next().value as Key)
  }

  delete(key: Key): boolean {
    return this.#entries.delete(key)
  }

  values(): readonly Value[] {
    return Array.from(this.#entries.values(), ({ value }) => value)
  }

  clear(): void {
    this.#entries.clear()
  }
}

interface Used<Value> {
  readonly value: Value
  movedAt: number
}

/**
 * The part of AbortSignal that the journey uses. An AbortSignal is one; the exchange's own is a plain object, since an
 * AbortController with one listener costs every request 3 µs.
 */
export interface StopSignal {
  readonly aborted: boolean
  /** Throws when it has aborted. */
  throwIfAborted(): void
  addEventListener(type: 'abort', listener: () => void, options?: { readonly once: boolean }): void
  removeEventListener(type: 'abort', listener: () => void): void
}

/** A wish to stop, with who wished it first. Each Exchange has one; its signal goes wherever there is waiting. */
export class Cancellation<By extends string> implements StopSignal {
  by: By | undefined
  aborted = false
  #listeners: (() => void)[] | undefined

  get signal(): StopSignal {
    return this
  }

  cut(by: By): void {
    if (this.aborted) return
    this.by = by
    this.stop()
  }

  /** Ends what still waits when something broke: nobody wished it. */
  stop(): void {
    if (this.aborted) return
    this.aborted = true
    const listeners = this.#listeners
    this.#listeners = undefined
    for (const listener of listeners ?? []) listener()
  }

  throwIfAborted(): void {
    if (this.aborted) throw new ProxyError('client_closed')
  }

  addEventListener(_type: 'abort', listener: () => void): void {
    if (!this.aborted) (this.#listeners ??= []).push(listener)
  }

  removeEventListener(_type: 'abort', listener: () => void): void {
    const at = this.#listeners?.indexOf(listener) ?? -1
    if (at >= 0) this.#listeners?.splice(at, 1)
  }
}
