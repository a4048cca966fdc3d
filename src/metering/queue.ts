/** Requests that wait for room in an account: first come first served within an agent, and fair between agents. */

/** A request that waits. */
export interface Waiter {
  readonly agent: string
  /** Milliseconds on the monotonic clock when it came: it keeps its place when it moves to another account. */
  readonly since: number
  /** Asks for room once more. Gives the account that has none; `undefined`: it waits no longer, whatever came of it. Never rejects. */
  attempt(): Promise<string | undefined>
}

interface Line {
  readonly waiting: Waiter[]
  /** When each agent was served last, as a running number; who never was comes first. */
  readonly served: Map<string, number>
  serving: boolean
  /** There may be room since the one that is being served has asked. */
  again: boolean
}

/** One line for each account without room. Only the head of a line asks, so that a large request is not passed by small ones for ever. */
export class Queue {
  readonly #lines = new Map<string, Line>()
  #turns = 0

  get size(): number {
    let size = 0
    for (const { waiting } of this.#lines.values()) size += waiting.length
    return size
  }

  /** How many wait for each account. */
  lengths(): ReadonlyMap<string, number> {
    return new Map([...this.#lines].map(([account, { waiting }]) => [account, waiting.length]))
  }

  /** The first of these accounts that others wait for. */
  busy(accounts: readonly string[]): string | undefined {
    return this.#lines.size === 0 ? undefined : accounts.find((account) => this.#lines.has(account))
  }

  join(account: string, waiter: Waiter): void {
    const line = this.#lines.get(account) ?? { waiting: [], served: new Map(), serving: false, again: false }
    this.#lines.set(account, line)
    const at = line.waiting.findIndex(({ since }) => since > waiter.since)
    line.waiting.splice(at < 0 ? line.waiting.length : at, 0, waiter)
  }

  leave(waiter: Waiter): void {
    for (const [account, line] of this.#lines) this.#drop(account, line, waiter)
  }

  /** There may be room: each line serves as many as find some. */
  serve(): void {
    for (const [account, line] of this.#lines) void this.#serve(account, line)
  }

  async #serve(account: string, line: Line): Promise<void> {
    line.again = true
    if (line.serving) return
    line.serving = true
    while (line.again && line.waiting.length > 0) {
      line.again = false
      const next = nextOf(line)
      const blocked = await next.attempt()
      // It may have left while it asked.
      if (!line.waiting.includes(next)) line.again = true
      else if (blocked !== account) {
        this.#drop(account, line, next)
        if (blocked === undefined) line.served.set(next.agent, (this.#turns += 1))
        else this.join(blocked, next)
        line.again = true
      }
    }
    line.serving = false
  }

  #drop(account: string, { waiting }: Line, waiter: Waiter): void {
    const at = waiting.indexOf(waiter)
    if (at >= 0) waiting.splice(at, 1)
    if (waiting.length === 0) this.#lines.delete(account)
  }
}

/** The first request of the agent whose last turn is longest ago. */
function nextOf({ waiting, served }: Line): Waiter {
  return waiting.reduce((first, each) => ((served.get(each.agent) ?? 0) < (served.get(first.agent) ?? 0) ? each : first))
}
