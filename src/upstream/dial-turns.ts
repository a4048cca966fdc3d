/**
 * Connections that one agent may be opening at once, and milliseconds after which one that still waits for its host no longer
 * counts: a handshake costs this thread two milliseconds, a host that is silent costs it nothing.
 */
const limits = { underWay: 32, counted: 1_000 } as const

interface Line {
  underWay: number
  readonly waiting: (() => void)[]
}

/** Fair turns of handshakes with hosts: an agent that begins a thousand at once would keep its neighbours waiting for seconds. */
export class DialTurns {
  readonly #lines = new Map<string, Line>()

  /** Resolves when this agent may open one more connection. What it gives is called when that is open, or has failed. */
  async take(agent: string): Promise<() => void> {
    let line = this.#lines.get(agent)
    if (!line) this.#lines.set(agent, (line = { underWay: 0, waiting: [] }))
    const { waiting } = line
    if (line.underWay < limits.underWay) line.underWay += 1
    else await new Promise<void>((resolve) => waiting.push(resolve))
    let open = true
    const leave = () => {
      clearTimeout(timer)
      if (open) this.#leave(agent, line)
      open = false
    }
    const timer = setTimeout(leave, limits.counted).unref()
    return leave
  }

  /** The place goes to the one who waits longest. */
  #leave(agent: string, line: Line): void {
    const next = line.waiting.shift()
    if (next) return next()
    line.underWay -= 1
    if (line.underWay === 0) this.#lines.delete(agent)
  }
}
