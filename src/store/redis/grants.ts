import { z } from 'zod'
import type { Pair } from '#credentials/lease.ts'
import type { GrantStore, KeptGrant } from '#contracts/grants.ts'
import { pairContext, readPair, reasonContext, writePair } from '../sealed-pair.ts'
import { scriptOf } from './client.ts'
import { grantsScript } from './grants-script.ts'
import type { Journal, SealedRow } from './journal.ts'
import type { RedisMember, RedisLink } from './link.ts'
import type { Seal } from '../seal.ts'
import { StoreError } from '../store-error.ts'

const script = scriptOf(grantsScript)
/** More lost races than this, and the server does not do what it promises. */
const mostRaces = 200

const whole = z
  .string()
  .regex(/^-?\d+$/)
  .transform(Number)
/** Checked on the way in: anybody with the password may have written it. */
const rowShape = z.object({
  generation: whole.pipe(z.int().positive()),
  pair: z.base64(),
  previous: z.base64().optional(),
  in_flight_since: whole.optional(),
  needs_login: z.base64().optional(),
  written_at: whole,
})

type Row = z.output<typeof rowShape>

/**
 * The promises of `GrantStore` in Redis, for all replicas. The mark of a call in flight is the lock, the generation is its fence:
 * whoever was paused and comes late finds another one and writes nothing. The newest row that is known here stays known, so that
 * a server that lost it is given it back.
 */
export class RedisGrants implements GrantStore, RedisMember {
  readonly #link: RedisLink
  readonly #journal: Journal
  readonly #seal: Seal
  readonly #now: () => number
  /** Marks that were set here and not taken off, by credential. */
  readonly #marks = new Map<string, { readonly generation: number; readonly since: number }>()
  #changes: string | undefined
  #closed = false

  constructor(link: RedisLink, journal: Journal, options: { readonly seal: Seal; readonly now?: () => number }) {
    this.#link = link
    this.#journal = journal
    this.#seal = options.seal
    this.#now = options.now ?? Date.now
    link.enter(this)
  }

  async read(credential: string): Promise<KeptGrant | undefined> {
    const { row: found } = await this.#ask('read', credential, {})
    if (found['generation'] === undefined) return undefined
    const row = rowShape.safeParse(found).data
    const pair = row && this.#openPair(row.pair, credential, row.generation)
    const needsLogin = row?.needs_login === undefined ? undefined : this.#open(row.needs_login, reasonContext(credential))
    if (!pair || (row.needs_login !== undefined && needsLogin === undefined)) throw this.#damaged(credential, row)
    return { generation: row.generation, pair, inFlightSince: row.in_flight_since, needsLogin, writtenAt: row.written_at }
  }

  async begin(credential: string, generation: number, now: number): Promise<boolean> {
    return this.#mark(credential, generation, now, await this.#change('begin', credential, generation, { now: String(now) }))
  }

  async takeOver(credential: string, generation: number, since: number, now: number): Promise<boolean> {
    const order = { since: String(since), now: String(now) }
    return this.#mark(credential, generation, now, await this.#change('takeOver', credential, generation, order))
  }

  async commit(credential: string, generation: number, next: Pair, now: number): Promise<boolean> {
    const pair = this.#sealed(writePair(next), pairContext(credential, generation + 1))
    const order = { pair, next: String(generation + 1), now: String(now) }
    return this.#unmark(credential, generation, await this.#change('commit', credential, generation, order))
  }

  async release(credential: string, generation: number): Promise<boolean> {
    const order = { now: String(this.#now()) }
    return this.#unmark(credential, generation, await this.#change('release', credential, generation, order))
  }

  async fail(credential: string, generation: number, reason: string, now: number): Promise<boolean> {
    const order = { reason: this.#sealed(reason, reasonContext(credential)), now: String(now) }
    return this.#unmark(credential, generation, await this.#change('fail', credential, generation, order))
  }

  async login(credential: string, pair: Pair, now: number): Promise<number> {
    const generation = await this.#enter(credential, pair, undefined, now)
    // Without a seed there is nothing that was taken before.
    if (generation === undefined) throw this.#contended()
    return generation
  }

  async seed(credential: string, pair: Pair, digest: string, now: number): Promise<number | undefined> {
    return this.#enter(credential, pair, digest, now)
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#link.leave(this)
    await this.#journal.flush().catch(() => {})
  }

  /** Tells a server the newest rows that are known here. */
  async bring(): Promise<void> {
    for (const [credential, row] of this.#journal.grants) {
      const mark = this.#marks.get(credential)
      const ours = mark !== undefined && String(mark.generation) === row['generation'] && row['in_flight_since'] !== undefined
      const [word, , fields] = await this.#link.tell(script, { verb: 'bring', credential, row, ours })
      if (word === 'ok') this.#learn(credential, fields)
    }
    this.#changes = undefined
  }

  /** Looks whether others have written something, so that what is known here is never old. */
  async beat(): Promise<void> {
    const [changes] = await this.#link.ask(script, () => ({ verb: 'changes' }))
    if (changes === this.#changes) return
    for (const credential of this.#journal.grants.keys()) await this.#ask('read', credential, {})
    this.#changes = String(changes)
  }

  /** A new login over whatever is there, damaged or not. `undefined`: this seed was the last one taken. */
  async #enter(credential: string, pair: Pair, seed: string | undefined, now: number): Promise<number | undefined> {
    for (let races = 0; races < mostRaces; races += 1) {
      const { row } = await this.#ask('read', credential, {})
      if (seed !== undefined && row['seed'] === seed) return undefined
      const before = row['generation'] ?? ''
      const generation = (rowShape.shape.generation.safeParse(before).data ?? 0) + 1
      const sealed = this.#sealed(writePair(pair), pairContext(credential, generation))
      const order = { generation: before, next: String(generation), pair: sealed, seed, now: String(now) }
      const { done } = await this.#ask('enter', credential, order)
      if (done) return generation
    }
    throw this.#contended()
  }

  async #change(verb: string, credential: string, generation: number, order: object): Promise<boolean> {
    const { done } = await this.#ask(verb, credential, { generation: String(generation), ...order })
    return done
  }

  async #ask(verb: string, credential: string, order: object): Promise<{ readonly done: boolean; readonly row: SealedRow }> {
    if (this.#closed) throw new StoreError('store_io', `${this.#link.shown}: was closed`)
    const known = () => Number(this.#journal.grants.get(credential)?.['generation'] ?? 0)
    const reply = await this.#link.ask(script, () => ({ verb, credential, known: known(), ...order }))
    const [done, fields] = reply
    return { done: done === 1, row: this.#learn(credential, fields) }
  }

  #learn(credential: string, fields: unknown): SealedRow {
    const flat = fields as readonly string[]
    const row: Record<string, string> = {}
    for (let i = 0; i + 1 < flat.length; i += 2) row[flat[i] ?? ''] = flat[i + 1] ?? ''
    // Only what is sound: a damaged row must not take the place of one that could mend it.
    const sound = rowShape.safeParse(row).data
    if (sound && this.#openPair(sound.pair, credential, sound.generation)) this.#journal.keepGrant(credential, row)
    return row
  }

  #mark(credential: string, generation: number, since: number, done: boolean): boolean {
    if (done) this.#marks.set(credential, { generation, since })
    return done
  }

  #unmark(credential: string, generation: number, done: boolean): boolean {
    if (this.#marks.get(credential)?.generation === generation) this.#marks.delete(credential)
    return done
  }

  #sealed(text: string, context: readonly (string | number)[]): string {
    return Buffer.from(this.#seal.seal(text, context)).toString('base64')
  }

  #open(sealed: string, context: readonly (string | number)[]): string | undefined {
    return this.#seal.open(Buffer.from(sealed, 'base64'), context)
  }

  #openPair(sealed: string, credential: string, generation: number): Pair | undefined {
    const text = this.#open(sealed, pairContext(credential, generation))
    return text === undefined ? undefined : readPair(text, credential)
  }

  #damaged(credential: string, row: Row | undefined): StoreError {
    const before = row?.previous !== undefined && this.#openPair(row.previous, credential, row.generation - 1)
    return new StoreError(
      'store_corrupt',
      `${this.#link.shown}: what is kept for ${credential} does not open${before ? ', though the pair before it does' : ''}; ` +
        `log in again with \`iron-proxy login ${credential}\``,
    )
  }

  #contended(): StoreError {
    return new StoreError('store_locked', `${this.#link.shown}: others write without end; try again`)
  }
}
