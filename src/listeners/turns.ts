/** Requests that one agent may begin in one turn of the event loop. */
const most = 16

interface Line {
  begun: number
  readonly waiting: (() => void)[]
}

/**
 * Fair turns between agents on one thread. A turn of the loop takes as long as all that came in it: an agent with a hundred busy
 * connections would make each of its neighbours wait for a hundred requests. Past so many, its further ones wait for the next turn.
 */
export class AgentTurns {
  readonly #lines = new Map<string, Line>()
  #scheduled = false

  /** `undefined`: begin now. */
  take(agent: string): Promise<void> | undefined {
    let line = this.#lines.get(agent)
    if (!line) this.#lines.set(agent, (line = { begun: 0, waiting: [] }))
    const { waiting } = line
    // Counted over several turns as long as nothing is scheduled, so that a quiet loop turns for no reason once in 16 requests.
    line.begun += 1
    if (line.begun >= most) this.#schedule()
    if (line.begun <= most) return undefined
    return new Promise((resolve) => waiting.push(resolve))
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => this.#turn())
  }

  #turn(): void {
    this.#scheduled = false
    for (const [agent, line] of this.#lines) {
      const next = line.waiting.splice(0, most)
      line.begun = next.length + line.waiting.length
      for (const begin of next) begin()
      if (line.begun === 0) this.#lines.delete(agent)
      else if (line.begun >= most) this.#schedule()
    }
  }
}
