/**
 * store/ answers: what survives a restart? Rotated pairs and runs, sealed, and spend; each write is on disk before it counts.
 * Its neighbours: the vault decides what to write and when, runs/ has the runs, contracts/grants.ts says what every store
 * promises. This one is a file, for one replica; processes on the same machine may share it.
 */
import { DatabaseSync } from 'node:sqlite'
import type { SQLOutputValue } from 'node:sqlite'
import { z } from 'zod'
import type { Pair } from '#credentials/lease.ts'
import type { GrantStore, KeptGrant } from '#contracts/grants.ts'
import { claimFile } from './database-id.ts'
import { openDatabase, transact } from './database.ts'
import { describeRemade, HeldFile } from './held-file.ts'
import { pairContext, readPair, reasonContext, writePair } from '../sealed-pair.ts'
import type { Seal } from '../seal.ts'
import type { Spent } from '../spent.ts'
import { StoreError, toStoreError } from '../store-error.ts'

interface StoreOptions {
  readonly path: string
  readonly seal: Seal
  /** What outlives the database; left out, an older copy of it is not known from a newer one. */
  readonly spent?: Spent | undefined
  /** Milliseconds since the epoch, for the one write that is not told the time. */
  readonly now?: (() => number) | undefined
  /** Told when the file was deleted or replaced while it was open, and was made again. */
  readonly remade?: ((what: string) => void) | undefined
  /** Puts the key back where its file was deleted with ours. May throw. */
  readonly keepSeal?: ((seal: Seal) => void) | undefined
}

/** A store in one SQLite file. Throws StoreError when there is none and none can be made; see `openDatabase`. */
export function openEmbeddedStore(options: StoreOptions): GrantStore {
  return new EmbeddedStore(openDatabase(options.path, options.seal), options)
}

/** Checked on the way in: a damaged page may hold anything. */
const rowShape = z.object({
  generation: z.int().positive(),
  pair: z.instanceof(Uint8Array),
  previous: z.instanceof(Uint8Array).nullable(),
  in_flight_since: z.int().nullable(),
  needs_login: z.instanceof(Uint8Array).nullable(),
  written_at: z.int(),
})

type Row = z.output<typeof rowShape>

const read = 'SELECT * FROM grants WHERE credential = :credential'
const begin = `UPDATE grants SET in_flight_since = :now, written_at = :now
  WHERE credential = :credential AND generation = :generation AND in_flight_since IS NULL AND needs_login IS NULL`
const takeOver = `UPDATE grants SET in_flight_since = :now, written_at = :now
  WHERE credential = :credential AND generation = :generation AND in_flight_since = :since AND :since <> :now`
const commit = `UPDATE grants
  SET generation = generation + 1, previous = pair, pair = :pair, in_flight_since = NULL, written_at = :now
  WHERE credential = :credential AND generation = :generation`
const release = `UPDATE grants SET in_flight_since = NULL, written_at = :now
  WHERE credential = :credential AND generation = :generation AND in_flight_since IS NOT NULL`
const fail = `UPDATE grants SET needs_login = :reason, in_flight_since = NULL, written_at = :now
  WHERE credential = :credential AND generation = :generation AND needs_login IS NULL`
const enter = `INSERT INTO grants (credential, generation, pair, seed, written_at)
  VALUES (:credential, :generation, :pair, :digest, :now)
  ON CONFLICT DO UPDATE SET generation = excluded.generation, previous = pair, pair = excluded.pair,
    seed = coalesce(excluded.seed, seed), in_flight_since = NULL, needs_login = NULL, written_at = excluded.written_at`

/**
 * The promises of `GrantStore` over a database that is open. Each write checks the generation and changes it in one
 * transaction, so of two writers one finds nothing to change.
 */
export class EmbeddedStore implements GrantStore {
  #database: DatabaseSync
  #file: HeldFile
  readonly #remade: (what: string) => void
  readonly #keepSeal: (seal: Seal) => void
  readonly #path: string
  readonly #seal: Seal
  readonly #now: () => number
  readonly #spent: Spent | undefined

  constructor(database: DatabaseSync, options: StoreOptions) {
    this.#database = database
    this.#path = options.path
    this.#file = new HeldFile(options.path)
    this.#remade = options.remade ?? (() => {})
    this.#keepSeal = options.keepSeal ?? (() => {})
    this.#seal = options.seal
    this.#now = options.now ?? Date.now
    this.#spent = options.spent
  }

  async read(credential: string): Promise<KeptGrant | undefined> {
    const found = this.#find(credential)
    if (!found) return undefined
    const row = rowShape.safeParse(found).data
    const pair = row && this.#openPair(row.pair, credential, row.generation)
    const needsLogin = row?.needs_login ? this.#seal.open(row.needs_login, reasonContext(credential)) : undefined
    if (!pair || (row.needs_login && needsLogin === undefined)) throw this.#damaged(credential, row)
    const { generation, in_flight_since: inFlightSince, written_at: writtenAt } = row
    const newest = this.#spent?.newest(credential) ?? 0
    const older =
      generation < newest
        ? `${this.#path} is an older copy: it has generation ${generation}, and ${newest} was in use`
        : undefined
    return { generation, pair, inFlightSince: inFlightSince ?? undefined, needsLogin: older ?? needsLogin, writtenAt }
  }

  async begin(credential: string, generation: number, now: number): Promise<boolean> {
    if (!this.#change(begin, { credential, generation, now })) return false
    const seed = this.#find(credential)?.['seed']
    try {
      // Now, as the call that follows spends it.
      if (typeof seed === 'string') this.#spent?.addSeed(seed)
    } catch (error) {
      await this.release(credential, generation)
      throw toStoreError(this.#path, error)
    }
    return true
  }

  async takeOver(credential: string, generation: number, since: number, now: number): Promise<boolean> {
    return this.#change(takeOver, { credential, generation, since, now })
  }

  async commit(credential: string, generation: number, next: Pair, now: number): Promise<boolean> {
    const pair = this.#seal.seal(writePair(next), pairContext(credential, generation + 1))
    const written = this.#change(commit, { credential, generation, pair, now })
    if (written) this.#note(credential, generation + 1)
    return written
  }

  async release(credential: string, generation: number): Promise<boolean> {
    return this.#change(release, { credential, generation, now: this.#now() })
  }

  async fail(credential: string, generation: number, reason: string, now: number): Promise<boolean> {
    return this.#change(fail, { credential, generation, reason: this.#seal.seal(reason, reasonContext(credential)), now })
  }

  async login(credential: string, pair: Pair, now: number): Promise<number> {
    const generation = this.#transact(() => this.#enter(credential, pair, null, now))
    this.#note(credential, generation)
    return generation
  }

  async seed(credential: string, pair: Pair, digest: string, now: number): Promise<number | undefined> {
    const generation = this.#transact(() => {
      if (this.#find(credential)?.seed === digest || this.#spent?.hasSeed(digest)) return undefined
      return this.#enter(credential, pair, digest, now)
    })
    if (generation !== undefined) this.#note(credential, generation)
    return generation
  }

  async close(): Promise<void> {
    if (this.#database.isOpen) this.#database.close()
  }

  /** Makes the file again where it was deleted or replaced: a restart would show what was spent since. Throws StoreError. */
  look(): void {
    if (this.#file.isThere()) return
    try {
      this.#keepSeal(this.#seal)
      const remade = this.#file.remake(this.#database)
      this.#database = openDatabase(this.#path, this.#seal)
      this.#file = new HeldFile(this.#path)
      if (!remade.adopted) {
        const used = claimFile(this.#database, this.#path, this.#now())
        if (used) this.#spent?.addDatabase(used.id, used.opens)
      }
      this.#remade(describeRemade(this.#path, remade))
    } catch (error) {
      throw toStoreError(this.#path, error)
    }
  }

  /** Reads the file as a restart would, past what is in memory. Throws StoreError where it is damaged. */
  inspect(): void {
    this.look()
    try {
      const database = new DatabaseSync(this.#path, { readOnly: true, timeout: 250 })
      try {
        const found = database.prepare('PRAGMA quick_check(1)').get()?.['quick_check']
        if (found !== 'ok')
          throw new StoreError('store_corrupt', `${this.#path}: is damaged; log in again, or restore it from a backup`)
      } finally {
        database.close()
      }
    } catch (error) {
      throw toStoreError(this.#path, error)
    }
  }

  /** A new login over whatever is there, damaged or not. `digest`: of the seed it comes from. */
  #enter(credential: string, pair: Pair, digest: string | null, now: number): number {
    const here = rowShape.shape.generation.safeParse(this.#find(credential)?.generation).data ?? 0
    const generation = Math.max(here, this.#spent?.newest(credential) ?? 0) + 1
    const sealed = this.#seal.seal(writePair(pair), pairContext(credential, generation))
    this.#database.prepare(enter).run({ credential, generation, pair: sealed, digest, now })
    return generation
  }

  /** What is in the database is durable already: without this line an older copy is not known as one, and no more. */
  #note(credential: string, generation: number): void {
    try {
      this.#spent?.addNewest(credential, generation)
    } catch {
      // The next one writes it.
    }
  }

  #change(sql: string, values: Readonly<Record<string, string | number | Uint8Array>>): boolean {
    return this.#transact(() => this.#database.prepare(sql).run(values).changes === 1)
  }

  #transact<Result>(act: () => Result): Result {
    try {
      this.look()
      return transact(this.#database, act)
    } catch (error) {
      throw toStoreError(this.#path, error)
    }
  }

  #find(credential: string): Readonly<Record<string, SQLOutputValue>> | undefined {
    try {
      return this.#database.prepare(read).get({ credential })
    } catch (error) {
      throw toStoreError(this.#path, error)
    }
  }

  #openPair(sealed: Uint8Array, credential: string, generation: number): Pair | undefined {
    const text = this.#seal.open(sealed, pairContext(credential, generation))
    return text === undefined ? undefined : readPair(text, credential)
  }

  /** The pair before is told of and not handed out: it is spent, and a server that sees it again may end the login. */
  #damaged(credential: string, row: Row | undefined): StoreError {
    const before = row?.previous && this.#openPair(row.previous, credential, row.generation - 1)
    return new StoreError(
      'store_corrupt',
      `${this.#path}: what is kept for ${credential} does not open${before ? ', though the pair before it does' : ''}; ` +
        `log in again with \`iron-proxy login ${credential}\``,
    )
  }
}
