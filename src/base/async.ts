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

/** A map that keeps at most `limit` entries and drops the one that was used longest ago. */
export class LruMap<Key, Value> {
  readonly #entries = new Map<Key, Value>()
  readonly #limit: number
  #newest: Key | undefined

  constructor(limit: number) {
    this.#limit = limit
  }

  get size(): number {
    return this.#entries.size
  }

  get(key: Key): Value | undefined {
    const value = this.#entries.get(key)
    // Most often the same is asked for again, and a map that is always laid out anew costs.
    if (value === undefined || key === this.#newest) return value
    this.#entries.delete(key)
    this.#entries.set(key, value)
    this.#newest = key
    return value
  }

  set(key: Key, value: Value): void {
    this.#entries.delete(key)
    this.#entries.set(key, value)
    this.#newest = key
    if (this.#entries.size > this.#limit) this.#entries.delete(this.#entries.keys().next().value as Key)
  }

  delete(key: Key): boolean {
    return this.#entries.delete(key)
  }

  clear(): void {
    this.#entries.clear()
  }
}

/** A wish to stop, with who wished it first. Each Exchange has one; its signal goes wherever there is waiting. */
export class Cancellation<By extends string> {
  readonly #controller = new AbortController()
  #by: By | undefined

  get by(): By | undefined {
    return this.#by
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  cut(by: By): void {
    if (this.#by !== undefined || this.signal.aborted) return
    this.#by = by
    this.#controller.abort()
  }

  /** Ends whatever still waits, without anybody having wished it: something broke. */
  stop(): void {
    this.#controller.abort()
  }
}
