/** Sizes of an account, in bytes. */
export interface MemoryAccountOptions {
  /** All shares together. */
  readonly bytes: number
  /** The shares of one agent together. Default: half of `bytes`, so that one agent never takes the room of the others. */
  readonly agentBytes?: number
  /** The shares of all connections whose agent is not known yet. Default: a quarter of `bytes`. */
  readonly unknownBytes?: number
}

interface Holder {
  readonly most: number
  held: number
  shares: number
}

/**
 * Counts the bytes held outside the heap: whole bodies, decoder windows, queued chunks, TLS handshakes under way.
 * V8's heap limit does not see them, the kernel's limit of the container does.
 */
export class MemoryAccount {
  readonly #most: number
  readonly #agentBytes: number
  readonly #unknown: Holder
  /** Agents with an open share that holds bytes; the entry leaves with the last one, so the map never outgrows the open shares. */
  readonly #agents = new Map<string, Holder>()
  #held = 0

  constructor({ bytes, agentBytes = Math.floor(bytes / 2), unknownBytes = Math.floor(bytes / 4) }: MemoryAccountOptions) {
    this.#most = bytes
    this.#agentBytes = agentBytes
    this.#unknown = { most: unknownBytes, held: 0, shares: 0 }
  }

  /** Bytes that all shares hold now. */
  get held(): number {
    return this.#held
  }

  /** The most that the shares of one agent may hold. */
  get agentBytes(): number {
    return this.#agentBytes
  }

  /** Agents that have an open share, of those that took bytes. */
  get agents(): number {
    return this.#agents.size
  }

  /** Opens a share for an agent; `undefined`: the agent is not known yet. A share that takes nothing costs nothing. */
  open(agent: string | undefined): MemoryShare {
    return new MemoryShare(this, agent)
  }

  /** Takes bytes for an agent. `false` if they do not fit. `first`: the first of an open share. */
  take(agent: string | undefined, bytes: number, first: boolean): boolean {
    const holder = this.#holder(agent)
    if (holder.held + bytes > holder.most || this.#held + bytes > this.#most) {
      this.#leave(agent, holder)
      return false
    }
    holder.held += bytes
    if (first) holder.shares += 1
    this.#held += bytes
    return true
  }

  /** Gives bytes back. `last`: the share is closed. */
  give(agent: string | undefined, bytes: number, last: boolean): void {
    const holder = this.#holder(agent)
    holder.held -= bytes
    if (last) holder.shares -= 1
    this.#held -= bytes
    this.#leave(agent, holder)
  }

  #holder(agent: string | undefined): Holder {
    if (agent === undefined) return this.#unknown
    let holder = this.#agents.get(agent)
    if (!holder) this.#agents.set(agent, (holder = { most: this.#agentBytes, held: 0, shares: 0 }))
    return holder
  }

  #leave(agent: string | undefined, holder: Holder): void {
    if (agent !== undefined && holder.shares === 0) this.#agents.delete(agent)
  }
}

/** The bytes that one request, reply or connection holds outside the heap. Disposing it gives all of them back. */
export class MemoryShare implements Disposable {
  readonly #account: MemoryAccount
  readonly #agent: string | undefined
  #held = 0
  #counted = false
  #closed = false

  constructor(account: MemoryAccount, agent: string | undefined) {
    this.#account = account
    this.#agent = agent
  }

  /** Bytes that this share holds now. */
  get held(): number {
    return this.#held
  }

  /** Takes `bytes` before they are allocated. `false` if they do not fit: then nothing is taken. */
  take(bytes: number): boolean {
    if (this.#closed || !(bytes >= 0) || !this.#account.take(this.#agent, bytes, !this.#counted)) return false
    this.#counted = true
    this.#held += bytes
    return true
  }

  /** Gives `bytes` back, at most what the share holds. */
  give(bytes: number): void {
    const given = Math.min(Math.max(bytes, 0), this.#held)
    if (given === 0) return
    this.#held -= given
    this.#account.give(this.#agent, given, false)
  }

  [Symbol.dispose](): void {
    if (this.#closed) return
    this.#closed = true
    if (this.#counted) this.#account.give(this.#agent, this.#held, true)
    this.#held = 0
  }
}
