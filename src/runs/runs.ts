import type { Clock } from '#base/clock.ts'
import { Secret } from '#base/secret.ts'
import type { KeptRun, KeptRuns, Run, RunOrder, RunStore, Runs as RunsPort } from '#contracts/runs.ts'
import { runRecord } from '#contracts/own-records.ts'
import type { Audit, Ids } from '#contracts/audit-record.ts'
import type { ProxyAuth } from '#contracts/request.ts'
import type { Snapshot } from '#contracts/snapshot.ts'
import { draftRun, knownRun, refused } from './order.ts'
import type { NotMinted } from './order.ts'
import { digestOf, RunTable } from './table.ts'
import type { RunsImage } from './table.ts'

export interface RunPorts {
  readonly clock: Clock
  readonly ids: Ids
  /** So many random bytes, as letters, digits, `-` and `_`. */
  readonly random: (bytes: number) => string
  readonly snapshot: () => Snapshot | undefined
  readonly audit: Audit
  readonly store: RunStore
  /** Which runs there are, or who is on which, has changed. Resolves when all who serve know it. */
  readonly changed?: () => void | Promise<void>
  /** Cuts what a run has open. */
  readonly cut: (run: string, reason: string) => void
}

/** A new run. Its password and stubs are told this once. */
export interface Minted extends ListedRun {
  readonly kind: 'minted'
  readonly username: string
  readonly password: Secret
  readonly stubs: Readonly<Record<string, string>>
}

/** A run as operators see it: times are ISO 8601. */
export interface ListedRun {
  readonly run_id: string
  readonly agent: string
  readonly label: string | undefined
  readonly hosts: readonly string[] | undefined
  readonly budget: RunOrder['budget']
  readonly created_at: string
  readonly expires_at: string
}

/** What became of the wish to end a run: over everywhere, or here and told later; no such run; or nobody can say whether there is. */
export type RunEnd = 'ended' | 'untold' | 'unknown' | 'unavailable'

interface Live {
  readonly kept: KeptRun
  readonly forget: () => void
}

/** Runs that live at once. A Job ends its own; who mints and never ends would fill the memory. */
const most = 1_000

/** Bytes: 192 bits of password; 128 of each stub. */
const length = { password: 24, stub: 16 } as const

/** Milliseconds: how long a start waits for a store that does not answer, and between two tries to write down an end. */
const times = { patience: 3_000, again: 1_000 } as const

const reasons = { time: 'its time is over', revoked: 'it was revoked' } as const

/**
 * Owns the runs of ephemeral agents, and which run each standing agent is on: what the store knows, in memory, for whoever must be
 * answered at once. A run that ends is ended here first and told then, so that nothing that fails on the way keeps it alive.
 */
export class RunRegistry implements RunsPort {
  readonly #ports: RunPorts
  readonly #live = new Map<string, Live>()
  readonly #table: RunTable
  /** What calls off the next try to write down an end, by run. */
  readonly #claims = new Map<string, () => void>()
  #closed = false

  constructor(ports: RunPorts) {
    this.#ports = ports
    this.#table = new RunTable(ports.clock)
    ports.store.follow((kept) => this.#take(kept))
  }

  /** Reads what is kept. A store that is away is no reason not to start: its runs are known once it is there. */
  async open(): Promise<void> {
    const { promise: late, resolve } = Promise.withResolvers<void>()
    const forget = this.#ports.clock.later(times.patience, resolve)
    await Promise.race([this.#ports.store.open().catch(() => {}), late])
    forget()
  }

  /** A run with its own password and stubs. Once this resolves it is kept, and works wherever the store is followed. */
  async mint(order: RunOrder): Promise<Minted | NotMinted> {
    const { clock, ids, random, snapshot, store } = this.#ports
    const policy = snapshot()
    if (!policy) return refused('no_policy', 'no policy is loaded')
    if (this.#live.size >= most) return refused('too_many_runs', `${most} runs are live; end some`)
    const draft = draftRun(order, policy, () => random(length.stub))
    if (draft.kind === 'refused') return draft
    const { agent, ttlSeconds, label, budget } = order
    const { hosts, stubs } = draft
    const password = new Secret('run password', random(length.password))
    const passwordDigest = Buffer.from(digestOf(password)).toString('hex')
    const [id, startedAt] = [ids.next(), clock.now()]
    const expiresAt = startedAt + ttlSeconds * 1000
    const kept = { id, agent, label, hosts, budget, stubs, passwordDigest, startedAt, expiresAt }
    try {
      await store.put(kept)
    } catch (error) {
      return refused('state_unavailable', `no run was made, since it could not be kept: ${reasonOf(error)}`)
    }
    this.#tell('minted', kept, label)
    return { kind: 'minted', ...rowOf(kept), username: `run-${id}`, password, stubs }
  }

  /** Ends a run and cuts what it has open. */
  async end(id: string): Promise<RunEnd> {
    const live = this.#live.get(id)
    if (!live) return this.#table.current ? 'unknown' : 'unavailable'
    const { kept } = live
    const left = this.#leave([kept], () => reasons.revoked)
    const { mine, told } = await this.#ports.store.end(kept)
    await left
    // Whoever asked was obeyed here, whatever others write.
    if (mine !== false) this.#tell('ended', kept, reasons.revoked)
    return told ? 'ended' : 'untold'
  }

  /** The live runs, oldest first. */
  rows(): readonly ListedRun[] {
    return [...this.#live.values()].map(({ kept }) => rowOf(kept)).toSorted((one, other) => (one.run_id < other.run_id ? -1 : 1))
  }

  /** Says which run an agent is on from now; `undefined`: on none. `untold`: others hear of it later. */
  async bind(agent: string, run: string | undefined): Promise<'bound' | 'untold' | 'unknown'> {
    if (!this.#ports.snapshot()?.policy.agents.has(agent)) return 'unknown'
    const told = await this.#ports.store.bind(agent, run)
    if (run !== undefined) this.#tell('bound', { id: run, agent }, undefined)
    return told ? 'bound' : 'untold'
  }

  boundTo(agent: string): string | undefined {
    return this.#table.boundTo(agent)
  }

  find(auth: ProxyAuth): Run | 'refused' | 'pending' | undefined {
    return this.#table.find(auth)
  }

  /** A snapshot in which the stubs of all runs are known, so that they are told apart from other credentials. */
  over(of: Snapshot | undefined): Snapshot | undefined {
    return this.#table.over(of)
  }

  /** For the table of another thread. */
  image(): RunsImage {
    return this.#table.image()
  }

  /** The proxy stops: whatever is still open is cut by it. Runs go on with whoever serves next. */
  async close(): Promise<void> {
    this.#closed = true
    for (const { forget } of this.#live.values()) forget()
    for (const forget of this.#claims.values()) forget()
    this.#live.clear()
    this.#table.clear()
    await this.#ports.store.close()
  }

  /** What the store knows now, whoever has written it. */
  async #take({ current, runs, bound }: KeptRuns): Promise<void> {
    if (this.#closed) return
    const kept = new Map(runs.map((run) => [run.id, run]))
    const gone = [...this.#live.values()].filter((live) => !kept.has(live.kept.id))
    for (const run of runs) if (!this.#live.has(run.id)) this.#enter(run)
    this.#table.current = current
    this.#table.bindAll(bound)
    // Ended elsewhere, where the record of it is written.
    await this.#leave(
      gone.map((live) => live.kept),
      ({ expiresAt }) => (expiresAt <= this.#ports.clock.now() ? reasons.time : reasons.revoked),
    )
  }

  #enter(kept: KeptRun): void {
    const known = knownRun(kept)
    if (!known) return
    const { clock } = this.#ports
    const left = Math.max(0, kept.expiresAt - clock.now())
    this.#live.set(kept.id, { kept, forget: clock.later(left, () => void this.#expire(kept)) })
    this.#table.put(known)
  }

  /** They are known to nobody first and cut then, so that nothing begins in between. Resolves when all who serve know it. */
  async #leave(gone: readonly KeptRun[], why: (kept: KeptRun) => string): Promise<void> {
    const left = gone.filter(({ id }) => {
      this.#live.get(id)?.forget()
      this.#live.delete(id)
      return this.#table.remove(id) !== undefined
    })
    const known = this.#ports.changed?.()
    for (const kept of left) this.#ports.cut(kept.id, `the run has ended: ${why(kept)}`)
    await known
  }

  /** Every replica sees it; the first to say so writes the record. */
  async #expire(kept: KeptRun): Promise<void> {
    const { clock, store } = this.#ports
    const left = this.#leave([kept], () => reasons.time)
    const { mine } = await store.end(kept)
    await left
    if (this.#closed) return
    this.#claims.delete(kept.id)
    if (mine === undefined)
      this.#claims.set(
        kept.id,
        clock.later(times.again, () => void this.#expire(kept)),
      )
    if (mine) this.#tell('ended', kept, reasons.time)
  }

  #tell(event: 'minted' | 'bound' | 'ended', { id, agent }: Pick<Run, 'id' | 'agent'>, reason: string | undefined): void {
    const { audit, clock, ids } = this.#ports
    audit.write(runRecord(ids.next(), clock.now(), { event, run: id, agent, reason }))
  }
}

function rowOf({ id, agent, label, hosts, budget, startedAt, expiresAt }: KeptRun): ListedRun {
  const [created_at = '', expires_at = ''] = [startedAt, expiresAt].map((each) => new Date(each).toISOString())
  return { run_id: id, agent, label, hosts, budget, created_at, expires_at }
}

/** Of the rooms beside this one: their messages name the file or the server, and the fix. */
function reasonOf(error: unknown): string {
  if (error instanceof Error && error.name === 'StoreError') return error.message
  throw error
}
