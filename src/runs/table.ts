import { createHash, timingSafeEqual } from 'node:crypto'
import type { Clock } from '#base/clock.ts'
import type { Secret } from '#base/secret.ts'
import { withStubsOfOthers } from '#credentials/swap/stubs.ts'
import { runCredentials } from '#journey/ephemeral.ts'
import type { Run, Runs } from '#contracts/runs.ts'
import type { ProxyAuth } from '#contracts/request.ts'
import type { Snapshot } from '#contracts/snapshot.ts'

/** A run that lives. Its password is kept as what candidates are compared with. */
export interface KnownRun {
  readonly run: Run
  readonly passwordDigest: Uint8Array
  /** Milliseconds since the epoch. */
  readonly expiresAt: number
}

/** All a table holds, as it crosses to another thread. */
export interface RunsImage {
  readonly runs: readonly KnownRun[]
  readonly bound: readonly (readonly [agent: string, run: string])[]
  /** Whether what is not among them is nowhere. */
  readonly current: boolean
}

/** What the user name of a run looks like, live or not. */
const username = /^run-([0-9A-HJKMNP-TV-Z]{26})$/

/** Which runs live and which one each standing agent is on: what the journey asks. */
export class RunTable implements Runs {
  readonly #clock: Clock
  readonly #runs = new Map<string, KnownRun>()
  readonly #bound = new Map<string, string>()
  #current = true
  /** Runs that have ended since others could be asked last. */
  readonly #gone = new Set<string>()
  /** The snapshot in force with the stubs of all runs in it, until either changes. */
  #over: { readonly of: Snapshot; readonly snapshot: Snapshot } | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Whether what is not here is nowhere. */
  get current(): boolean {
    return this.#current
  }

  set current(current: boolean) {
    this.#current = current
    if (current) this.#gone.clear()
  }

  put(known: KnownRun): void {
    this.#runs.set(known.run.id, known)
    this.#over = undefined
  }

  /** Gives what was there. */
  remove(id: string): Run | undefined {
    const known = this.#runs.get(id)
    this.#runs.delete(id)
    this.#over = undefined
    if (known && !this.#current) this.#gone.add(id)
    return known?.run
  }

  bindAll(bound: RunsImage['bound']): void {
    this.#bound.clear()
    for (const [agent, run] of bound) this.#bound.set(agent, run)
  }

  clear(): void {
    this.#runs.clear()
    this.#bound.clear()
    this.#over = undefined
  }

  boundTo(agent: string): string | undefined {
    return this.#bound.get(agent)
  }

  find(auth: ProxyAuth): Run | 'refused' | 'pending' | undefined {
    const id = username.exec(auth.username)?.[1]
    if (id === undefined) return undefined
    const known = this.#runs.get(id)
    if (!known) return this.#current || this.#gone.has(id) ? 'refused' : 'pending'
    // A timer may be late; the time is not.
    if (known.expiresAt <= this.#clock.now()) return 'refused'
    return timingSafeEqual(known.passwordDigest, digestOf(auth.password)) ? known.run : 'refused'
  }

  /** A snapshot in which the stubs of all runs are known, so that they are told apart from other credentials. */
  over(of: Snapshot | undefined): Snapshot | undefined {
    if (!of || this.#runs.size === 0) return of
    if (this.#over?.of !== of) {
      const others = [...this.#runs.values()].flatMap(({ run }) => [...runCredentials(run, of.credentials).values()])
      this.#over = { of, snapshot: Object.freeze({ ...of, stubs: withStubsOfOthers(of.stubs, others) }) }
    }
    return this.#over.snapshot
  }

  image(): RunsImage {
    return { runs: [...this.#runs.values()], bound: [...this.#bound], current: this.current }
  }

  /** Holds what another table holds. A run that stays is the same one: connections are tied to it. */
  take({ runs, bound, current }: RunsImage): void {
    this.current = current
    const kept = new Set(runs.map(({ run }) => run.id))
    for (const id of this.#runs.keys()) if (!kept.has(id)) this.remove(id)
    for (const known of runs) this.put(this.#runs.get(known.run.id) ?? known)
    this.bindAll(bound)
  }
}

export function digestOf(secret: Secret): Uint8Array {
  return createHash('sha256').update(secret.expose()).digest()
}
