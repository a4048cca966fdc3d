import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import { z } from 'zod'
import type { Ended, KeptRun, KeptRuns, RunStore } from '#contracts/runs.ts'
import { openDatabase, transact } from './database.ts'
import { describeRemade, HeldFile } from './held-file.ts'
import { boundFact, endedFact, liveFact, RunFacts } from '../run-facts.ts'
import type { RunFact } from '../run-facts.ts'
import { openRow, sealFact } from '../sealed-run.ts'
import type { Seal } from '../seal.ts'
import { StoreError, toStoreError } from '../store-error.ts'
import type { StoreFault } from '../store-error.ts'

export interface EmbeddedRunsOptions {
  readonly path: string
  /** Asked when the file is opened or made. May throw. */
  readonly seal: () => Seal
  /** Milliseconds since the epoch. */
  readonly now?: (() => number) | undefined
  /** Told why the file cannot be used, once, and `undefined` once it can be again. */
  readonly told?: ((fault: StoreError | undefined) => void) | undefined
  /** Told when the file was deleted or replaced under us, and was made again. */
  readonly remade?: ((what: string) => void) | undefined
  /** Puts the key back where its file was deleted with ours. May throw. */
  readonly keepSeal?: ((seal: Seal) => void) | undefined
}

const tables = `
  CREATE TABLE runs (name TEXT PRIMARY KEY, seq INTEGER NOT NULL, until INTEGER NOT NULL, sealed BLOB NOT NULL) STRICT, WITHOUT ROWID;
`
const enter = `INSERT INTO runs (name, seq, until, sealed) VALUES (:name, :seq, :until, :sealed)
  ON CONFLICT DO UPDATE SET seq = excluded.seq, until = excluded.until, sealed = excluded.sealed`

const rowShape = z.object({
  name: z.string(),
  seq: z.number(),
  until: z.number(),
  sealed: z.instanceof(Uint8Array),
})

/** Milliseconds between two looks at what could not be written, and at what others have. */
const beat = 500

interface File {
  readonly database: DatabaseSync
  readonly file: HeldFile
  readonly seal: Seal
}

/** The promises of `RunStore` in a file beside that of the grants. It is made with the first run. */
export class EmbeddedRuns implements RunStore {
  readonly #options: EmbeddedRunsOptions
  readonly #now: () => number
  readonly #facts = new RunFacts()
  /** Names of what could not be written. */
  readonly #owed = new Set<string>()
  readonly #me = randomUUID()
  #opened: File | undefined
  /** SQLite's count of what others have written. */
  #version: unknown
  #changed: (kept: KeptRuns) => void | Promise<void> = () => {}
  #current = true
  /** What fails, by what was to be done. */
  readonly #faults = new Map<string, StoreFault>()
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor(options: EmbeddedRunsOptions) {
    this.#options = options
    this.#now = options.now ?? Date.now
  }

  follow(changed: (kept: KeptRuns) => void | Promise<void>): void {
    this.#changed = changed
  }

  async open(): Promise<void> {
    this.#timer ??= setInterval(() => void this.#beat(), beat).unref()
    try {
      if (existsSync(this.#options.path)) this.#read()
    } catch (error) {
      this.#current = false
      throw error
    } finally {
      await this.#tell()
    }
  }

  async put(run: KeptRun): Promise<void> {
    this.#facts.take(this.#write(liveFact(run)))
    await this.#tell()
  }

  async end(run: Pick<KeptRun, 'id' | 'expiresAt'>): Promise<Ended> {
    const known = await this.#keep(endedFact(run, this.#me))
    return { mine: known?.kind === 'ended' ? known.by === this.#me : undefined, told: known !== undefined }
  }

  async bind(agent: string, run: string | undefined): Promise<boolean> {
    const fact = boundFact(agent, run, this.#now())
    const before = this.#facts.get(fact.name)?.seq ?? 0
    return (await this.#keep({ ...fact, seq: Math.max(fact.seq, before + 1) }, true)) !== undefined
  }

  async close(): Promise<void> {
    this.#closed = true
    clearInterval(this.#timer)
    if (this.#opened?.database.isOpen) this.#opened.database.close()
  }

  /** What is in the file afterwards under its name; `undefined`: it could not be written, and will be. */
  async #keep(fact: RunFact, last = false): Promise<RunFact | undefined> {
    this.#facts.take(fact)
    let known: RunFact | undefined
    try {
      known = this.#write(fact, last)
      this.#facts.take(known)
    } catch {
      this.#owed.add(fact.name)
    }
    await this.#tell()
    return known
  }

  /** What is in the file under its name when this returns: it, or something newer. `last`: it is the newest. Throws StoreError. */
  #write(fact: RunFact, last = false): RunFact {
    return this.#act('write', ({ database, seal }) =>
      transact(database, () => {
        const before = find(database, seal, fact.name)
        if (!last && before && before.seq >= fact.seq) return before
        const written = { ...fact, seq: Math.max(fact.seq, last && before ? before.seq + 1 : 0) }
        database.prepare('DELETE FROM runs WHERE until < ?').run(this.#now())
        database.prepare(enter).run({ ...sealFact(written, seal) })
        return written
      }),
    )
  }

  /** Takes in what is in the file; `false`: nothing new. Throws StoreError. */
  #read(): boolean {
    return this.#act('read', ({ database, seal }) => {
      const version = database.prepare('PRAGMA data_version').get()?.['data_version']
      if (version === this.#version && this.#current) return false
      for (const fact of factsIn(database, seal)) this.#facts.take(fact)
      this.#facts.forget(this.#now())
      this.#version = version
      this.#current = true
      return true
    })
  }

  /** Does it with the file, and tells when that begins to fail and when it works again. Throws StoreError. */
  #act<Result>(what: 'read' | 'write', act: (file: File) => Result): Result {
    try {
      const result = act(this.#file())
      // A full disk can still be read; whoever can write can read.
      const mended = ['open', 'read', what].filter((each) => this.#faults.delete(each))
      if (mended.length > 0 && this.#faults.size === 0) this.#options.told?.(undefined)
      return result
    } catch (error) {
      const fault = toStoreError(this.#options.path, error, 'runs')
      const known = [...this.#faults.values()].includes(fault.code)
      this.#faults.set(this.#opened ? what : 'open', fault.code)
      if (!known && !this.#closed) this.#options.told?.(fault)
      throw fault
    }
  }

  #file(): File {
    const { path, seal } = this.#options
    if (this.#closed) throw new StoreError('store_io', `${path}: was closed`)
    let remade: string | undefined
    if (this.#opened && !this.#opened.file.isThere()) {
      this.#options.keepSeal?.(this.#opened.seal)
      remade = describeRemade(path, this.#opened.file.remake(this.#opened.database))
      this.#opened = { ...this.#opened, database: openRuns(path, this.#opened.seal), file: new HeldFile(path) }
    }
    if (!this.#opened) {
      const key = seal()
      this.#opened = { database: openRuns(path, key), seal: key, file: new HeldFile(path) }
    }
    if (remade !== undefined) this.#options.remade?.(remade)
    return this.#opened
  }

  async #beat(): Promise<void> {
    this.#facts.forget(this.#now())
    try {
      for (const name of this.#owed) {
        const fact = this.#facts.get(name)
        if (fact) this.#facts.take(this.#write(fact))
        this.#owed.delete(name)
      }
      const known = this.#opened !== undefined || existsSync(this.#options.path)
      if (known && this.#read()) await this.#tell()
    } catch {
      // It is tried again; whoever minted was told.
    }
  }

  async #tell(): Promise<void> {
    if (!this.#closed) await this.#changed(this.#facts.kept(this.#current))
  }
}

/** The facts in the file of a proxy that does not run. Throws StoreError. */
export function readRuns(path: string, seal: Seal): readonly RunFact[] {
  if (!existsSync(path)) return []
  const database = openRuns(path, seal)
  try {
    return factsIn(database, seal)
  } finally {
    database.close()
  }
}

/** Opens the file of the runs, or makes it. Throws StoreError. */
export function openRuns(path: string, seal: Seal): DatabaseSync {
  return openDatabase(path, seal, tables)
}

/** What opens; what does not is a run that nobody knows any more. */
function factsIn(database: DatabaseSync, seal: Seal): readonly RunFact[] {
  const found = database.prepare('SELECT * FROM runs').all()
  return found.flatMap((each) => factOf(each, seal) ?? [])
}

function find(database: DatabaseSync, seal: Seal, name: string): RunFact | undefined {
  return factOf(database.prepare('SELECT * FROM runs WHERE name = ?').get(name), seal)
}

function factOf(found: unknown, seal: Seal): RunFact | undefined {
  const row = rowShape.safeParse(found).data
  return row && openRow(row, seal)
}
