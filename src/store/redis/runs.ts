import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Ended, KeptRun, KeptRuns, RunStore } from '#contracts/runs.ts'
import { scriptOf } from './client.ts'
import type { Journal } from './journal.ts'
import type { RedisMember, RedisLink } from './link.ts'
import { runsScript } from './runs-script.ts'
import { boundFact, endedFact, liveFact, RunFacts } from '../run-facts.ts'
import type { RunFact } from '../run-facts.ts'
import { openRow, sealFact } from '../sealed-run.ts'
import type { Seal } from '../seal.ts'
import { StoreError } from '../store-error.ts'

export interface RedisRunsOptions {
  readonly seal: Seal
  /** What is known from elsewhere. */
  readonly known?: readonly RunFact[]
  /** Milliseconds since the epoch. */
  readonly now?: (() => number) | undefined
  /** Milliseconds that replicas are waited for: a little more than it takes until one that died counts no more. */
  readonly patience?: number | undefined
}

/** What a look has shown: up to where the others have come, and when all that was new is taken in. */
interface Looked {
  readonly others: readonly number[]
  readonly taken: Promise<void>
}

const script = scriptOf(runsScript)
/** Milliseconds that replicas are waited for, and at most between two looks at them. */
const times = { patience: 2_500, longest: 50 } as const
/** Rows in one order: what is brought back must not keep the server from others for long. */
const batch = 200

/**
 * The promises of `RunStore` in Redis, for all replicas. Each knows all facts, so that whoever speaks is found in memory, and a
 * server that has lost some is told again. A change is heard of on a channel; a look twice a second makes up for what was not heard.
 */
export class RedisRuns implements RunStore, RedisMember {
  readonly #link: RedisLink
  readonly #journal: Journal
  readonly #seal: Seal
  readonly #now: () => number
  readonly #patience: number
  readonly #facts = new RunFacts()
  /** Names of what could not be told. */
  readonly #owed = new Set<string>()
  readonly #me = randomUUID()
  readonly #deafen: () => void
  #changed: (kept: KeptRuns) => void | Promise<void> = () => {}
  /** Up to which version all was read, and up to which the follower has it too. */
  #read = 0
  #taken = 0
  #turn: Promise<void> = Promise.resolve()
  #looking: Promise<unknown> | undefined
  #heard = false
  #closed = false

  constructor(link: RedisLink, journal: Journal, options: RedisRunsOptions) {
    this.#link = link
    this.#journal = journal
    this.#seal = options.seal
    this.#now = options.now ?? Date.now
    this.#patience = options.patience ?? times.patience
    for (const fact of [...(options.known ?? []), ...journal.ended]) this.#facts.take(fact)
    link.enter(this)
    this.#deafen = link.hear('runs:news', () => void this.#hear())
  }

  follow(changed: (kept: KeptRuns) => void | Promise<void>): void {
    this.#changed = changed
  }

  open(): Promise<void> {
    return this.#link.opened()
  }

  async put(run: KeptRun): Promise<void> {
    const fact = liveFact(run)
    try {
      const { version } = await this.#write(fact)
      await this.#take([fact])
      await this.#everywhere(version)
    } catch (error) {
      // Nobody knows whether it was written, and nobody has its password.
      await this.#owe(endedFact(run, this.#me))
      throw error
    }
  }

  async end(run: Pick<KeptRun, 'id' | 'expiresAt'>): Promise<Ended> {
    const fact = endedFact(run, this.#me)
    await this.#take([fact])
    try {
      const { version, known } = await this.#write(fact)
      return { mine: known?.kind === 'ended' && known.by === this.#me, told: await this.#everywhere(version) }
    } catch {
      await this.#owe(fact)
      return { mine: undefined, told: false }
    }
  }

  async bind(agent: string, run: string | undefined): Promise<boolean> {
    const at = Math.max(this.#facts.get(boundFact(agent, run, 0).name)?.seq ?? 0, this.#link.serverNow ?? this.#now())
    const fact = boundFact(agent, run, Math.floor(at) + 1)
    await this.#take([fact])
    try {
      return await this.#everywhere((await this.#write(fact, true)).version)
    } catch {
      await this.#owe(fact)
      return false
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#deafen()
    // Nobody shall wait for us.
    if (this.#link.up) await this.#link.tell(script, { verb: 'leave', me: this.#me, known: 0 }).catch(() => {})
    this.#link.leave(this)
    await this.#journal.flush().catch(() => {})
  }

  /** Tells a server everything that is known here, and reads what it knows. */
  async bring(): Promise<void> {
    await this.#bringAll(this.#facts.all())
    this.#read = 0
    await this.#look()
  }

  /** Tells what could not be told, and looks what others have. */
  async beat(): Promise<void> {
    this.#facts.forget(this.#now())
    const names = [...this.#owed]
    await this.#bringAll(names.flatMap((name) => this.#facts.get(name) ?? []))
    // Nobody else's beat waits until all of this process has taken it in.
    await this.#lookUp()
  }

  /** The link has come or gone. */
  turned(): void {
    void this.#tell()
  }

  async #bringAll(facts: readonly RunFact[]): Promise<void> {
    for (let at = 0; at < facts.length; at += batch) {
      const part = facts.slice(at, at + batch)
      await this.#link.tell(script, { verb: 'bring', known: 0, rows: part.map((fact) => this.#rowOf(fact)) })
      for (const { name } of part) {
        this.#owed.delete(name)
        this.#journal.toldEnd(name)
      }
    }
  }

  /** `last`: it counts whatever is there. Gives what is there then. Rejects with StoreError. */
  async #write(fact: RunFact, last = false): Promise<{ readonly version: number; readonly known: RunFact | undefined }> {
    if (this.#closed) throw new StoreError('store_io', `${this.#link.shown}: was closed`)
    const row = { ...this.#rowOf(fact), last }
    const [version, text] = await this.#link.ask(script, () => ({ verb: 'put', known: this.#read, row }))
    return { version: Number(version), known: this.#open(fact.name, text) }
  }

  /** `true`: every replica that lives has taken in all up to this version; `false`: some did not say so in time. */
  async #everywhere(version: number): Promise<boolean> {
    const deadline = performance.now() + this.#patience
    try {
      for (let wait = 1; ; wait = Math.min(2 * wait, times.longest)) {
        const others = await this.#meet()
        if (this.#taken >= version && others.every((seen) => seen >= version)) return true
        if (performance.now() > deadline) return false
        await sleep(wait)
      }
    } catch {
      return false
    }
  }

  /** Looks once more if something is heard of while it looks. */
  async #hear(): Promise<void> {
    this.#heard = true
    this.#looking ??= this.#lookAgain().finally(() => {
      this.#looking = undefined
    })
    await this.#looking
  }

  async #lookAgain(): Promise<void> {
    try {
      while (this.#heard && this.#link.up && !this.#closed) {
        this.#heard = false
        await this.#meet()
        // The second time it is said that the first was taken in.
        await this.#meet()
      }
    } catch {
      // The next look makes up for it.
    }
  }

  /** Up to where the others have come, once the follower has what is new. Rejects with StoreError. */
  async #meet(): Promise<readonly number[]> {
    const { others, taken } = await this.#lookUp()
    await taken
    return others
  }

  async #lookUp(): Promise<Looked> {
    if (!this.#link.up) await this.#link.opened()
    const looked = await this.#look()
    if (looked) return looked
    await this.#link.join()
    return (await this.#look()) ?? { others: [], taken: Promise.resolve() }
  }

  /** `undefined`: the server has forgotten something. */
  async #look(): Promise<Looked | undefined> {
    const order = { verb: 'look', me: this.#me, known: this.#read, seen: this.#taken }
    const [word, version, rows, others] = await this.#link.tell(script, order)
    if (word !== 'ok') return undefined
    const found = rows as readonly (readonly [string, string])[]
    const news = this.#take(found.flatMap(([name, text]) => this.#open(name, text) ?? []))
    const upTo = Number(version)
    this.#read = Math.max(this.#read, upTo)
    const taken = news.then(() => {
      this.#taken = Math.max(this.#taken, upTo)
    })
    return { others: (others as readonly string[]).map(Number), taken }
  }

  /** Resolves when the follower has it, and all that came before. */
  #take(facts: readonly RunFact[]): Promise<void> {
    const news = facts.filter((fact) => this.#facts.take(fact))
    return news.length > 0 ? this.#tell() : this.#turn
  }

  #tell(): Promise<void> {
    const tell = async () => this.#changed(this.#facts.kept(this.#link.up))
    this.#turn = this.#turn.then(tell).catch(() => {})
    return this.#turn
  }

  /** What could not be told is told by the next beat. An end is kept for the next life of this process, too. */
  async #owe(fact: RunFact): Promise<void> {
    this.#owed.add(fact.name)
    if (fact.kind === 'ended') this.#journal.oweEnd(fact)
    await this.#take([fact])
  }

  #rowOf(fact: RunFact): object {
    const { sealed, ...row } = sealFact(fact, this.#seal)
    return { ...row, sealed: Buffer.from(sealed).toString('base64') }
  }

  #open(name: string, text: unknown): RunFact | undefined {
    const [, seq, until, sealed] = /^(\d+) (\d+) ([\w+/=]+)$/.exec(String(text)) ?? []
    if (sealed === undefined) return undefined
    return openRow({ name, seq: Number(seq), until: Number(until), sealed: Buffer.from(sealed, 'base64') }, this.#seal)
  }
}
