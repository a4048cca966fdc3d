import { randomUUID } from 'node:crypto'
import { appendFile, truncate } from 'node:fs/promises'
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Account, Amount } from '#metering/types.ts'
import { accountOfKey } from '../amounts.ts'
import { readLines } from '../journal-lines.ts'
import type { RunFact } from '../run-facts.ts'
import { StoreError, toStoreError } from '../store-error.ts'

/** Charged tokens, nano-dollars and requests, and the same taken back: each number only grows. */
export type Counts = readonly number[]

/** A charge that was not told to the server yet. */
export interface Owed {
  readonly accounts: readonly Account[]
  readonly amounts: readonly Amount[]
  /** What it counts as; default 1. */
  readonly requests?: number
}

/** The fields of a grant as they stand in Redis: what is secret in them is sealed. */
export type SealedRow = Readonly<Record<string, string>>

/** The end of a run that was not told to the server yet. */
type RunEnd = RunFact & { readonly kind: 'ended' }

const version = 1
/** Milliseconds after which a month's account is of the past; the same as in the ledger's script. */
const kept = 40 * 86_400_000
/** Bytes of what was added after which the file is written anew. */
const longest = 4 * 1024 * 1024

type Line =
  | { readonly kind: 'head'; readonly version: number; readonly replica: string }
  | { readonly kind: 'spend'; readonly account: string; readonly replica: string; readonly counts: Counts }
  | ({ readonly kind: 'owe'; readonly id: string } & Owed)
  | { readonly kind: 'paid'; readonly id: string }
  | { readonly kind: 'grant'; readonly credential: string; readonly row: SealedRow }
  | { readonly kind: 'ended'; readonly fact: RunEnd }
  | { readonly kind: 'told'; readonly name: string }

/**
 * What this replica knows of the shared state, in a file of its own, one JSON line for each thing learnt: what a server that has
 * lost something is told again. Nothing in it is secret but the grants, which are sealed.
 */
export class Journal {
  readonly #path: string
  readonly #onLost: (path: string) => void
  readonly #spends = new Map<string, Map<string, Counts>>()
  readonly #owed = new Map<string, Owed>()
  readonly #grants = new Map<string, SealedRow>()
  readonly #ended = new Map<string, RunEnd>()
  #replica: string = randomUUID()
  #waiting: Line[] = []
  #writing: Promise<void> | undefined
  #added = 0
  /** Bytes of the file that are whole lines. */
  #size = 0
  /** True from a failed append on, until what it left of a line is cut off. */
  #isTorn = false
  #skipped = 0
  /** Which file it is: another one of this name is not ours. */
  #inode: number | undefined
  #lost = 0

  /** `onLost` is told when the file was deleted or replaced under us. Throws StoreError where the file can be neither read nor made, or is of another version. */
  constructor(path: string, now: number, onLost: (path: string) => void = () => {}) {
    this.#path = path
    this.#onLost = onLost
    this.#load()
    const windows = new Map([...this.#spends.keys()].map((key) => [key, accountOfKey(key)?.window ?? 0]))
    // The clock may be a year ahead just now: the newest account is a second witness of what time it is.
    const latest = Math.min(now, Math.max(...windows.values()))
    for (const [key, window] of windows) if (window < latest - kept) this.#spends.delete(key)
    for (const [name, { until }] of this.#ended) if (until < now) this.#ended.delete(name)
    try {
      this.#rewrite()
    } catch (error) {
      // On a full disk the file goes on as it is; there is room for nothing else.
      if (!this.#isTorn || !(error instanceof StoreError) || error.code !== 'store_full') throw error
    }
  }

  /** Lines that could not be read when the file was opened, and were left out: parts of writes that a full disk or a crash cut off. */
  get skipped(): number {
    return this.#skipped
  }

  /** How often the file was deleted or replaced under us, and written again from memory. */
  get lost(): number {
    return this.#lost
  }

  /** The name this replica charges under: the same as long as its file is there. */
  get replica(): string {
    return this.#replica
  }

  /** By account and replica. */
  get spends(): ReadonlyMap<string, ReadonlyMap<string, Counts>> {
    return this.#spends
  }

  get owed(): ReadonlyMap<string, Owed> {
    return this.#owed
  }

  get grants(): ReadonlyMap<string, SealedRow> {
    return this.#grants
  }

  get ended(): readonly RunEnd[] {
    return [...this.#ended.values()]
  }

  /** Takes in what the server says of an account: the larger of each number counts. */
  learn(account: string, replica: string, counts: Counts): void {
    const before = this.#spends.get(account)?.get(replica)
    const merged = larger(before, counts)
    if (before && merged.every((each, i) => each === before[i])) return
    this.#write({ kind: 'spend', account, replica, counts: merged })
  }

  /** Resolves when it is on disk. Rejects with StoreError. */
  async owe(id: string, owed: Owed): Promise<void> {
    this.#write({ kind: 'owe', id, ...owed })
    await this.flush()
  }

  paid(id: string): void {
    if (this.#owed.has(id)) this.#write({ kind: 'paid', id })
  }

  keepGrant(credential: string, row: SealedRow): void {
    const before = this.#grants.get(credential)
    if (before && JSON.stringify(before) === JSON.stringify(row)) return
    this.#write({ kind: 'grant', credential, row })
  }

  oweEnd(fact: RunEnd): void {
    if (!this.#ended.has(fact.name)) this.#write({ kind: 'ended', fact })
  }

  toldEnd(name: string): void {
    if (this.#ended.has(name)) this.#write({ kind: 'told', name })
  }

  /** Resolves when everything so far is on disk. Rejects with StoreError, and what was not written is tried again. */
  async flush(): Promise<void> {
    while (this.#waiting.length > 0 || this.#writing) {
      this.#writing ??= this.#append().finally(() => {
        this.#writing = undefined
      })
      await this.#writing
    }
  }

  #write(line: Line): void {
    this.#take(line)
    this.#waiting.push(line)
    // Whoever must know calls `flush` and hears of it.
    void this.flush().catch(() => {})
  }

  async #append(): Promise<void> {
    const lines = this.#waiting
    this.#waiting = []
    const text = textOf(lines)
    try {
      const isGone = !this.#isThere()
      if (isGone || this.#added > longest) {
        this.#rewrite()
        if (isGone) {
          this.#lost += 1
          this.#onLost(this.#path)
        }
        return
      }
      // A full disk takes a part of what is appended: the next line must not begin in the middle of that.
      if (this.#isTorn) await truncate(this.#path, this.#size)
      this.#isTorn = true
      await appendFile(this.#path, text, { flush: true, mode: 0o600 })
      this.#isTorn = false
      this.#size += Buffer.byteLength(text)
      this.#added += text.length
    } catch (error) {
      this.#waiting = [...lines, ...this.#waiting]
      throw toStoreError(this.#path, error, 'journal')
    }
  }

  #load(): void {
    let text: string
    try {
      text = readFileSync(this.#path, 'utf8')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
      throw toStoreError(this.#path, error, 'journal')
    }
    const { lines, skipped } = readLines(text, parse)
    const [head] = lines
    if (head?.kind !== 'head' && !headStart.startsWith(text.slice(0, headStart.length)))
      throw new StoreError('store_corrupt', `${this.#path}: is not a journal; name another file in \`redis.journal\``)
    if (head?.kind === 'head' && head.version !== version)
      throw new StoreError(
        'store_version',
        `${this.#path}: is of version ${head.version} and this program reads version ${version}; run the newer iron-proxy`,
      )
    for (const line of lines) this.#take(line)
    this.#skipped = skipped
    this.#size = Buffer.byteLength(text.slice(0, text.lastIndexOf('\n') + 1))
    this.#inode = statSync(this.#path).ino
    this.#isTorn = true
  }

  #take(line: Line): void {
    switch (line.kind) {
      case 'head':
        this.#replica = line.replica
        return
      case 'spend': {
        const replicas = this.#spends.get(line.account) ?? new Map<string, Counts>()
        this.#spends.set(line.account, replicas.set(line.replica, larger(replicas.get(line.replica), line.counts)))
        return
      }
      case 'owe':
        this.#owed.set(line.id, { accounts: line.accounts, amounts: line.amounts, requests: line.requests ?? 1 })
        return
      case 'paid':
        this.#owed.delete(line.id)
        return
      case 'grant':
        this.#grants.set(line.credential, line.row)
        return
      case 'ended':
        this.#ended.set(line.fact.name, line.fact)
        return
      case 'told':
        this.#ended.delete(line.name)
        return
      default:
        line satisfies never
    }
  }

  /** Only what is still worth knowing, in a new file that takes the place of the old one. */
  #rewrite(): void {
    const lines: Line[] = [
      { kind: 'head', version, replica: this.#replica },
      ...[...this.#spends].flatMap(([account, replicas]) =>
        [...replicas].map(([replica, counts]): Line => ({ kind: 'spend', account, replica, counts })),
      ),
      ...[...this.#owed].map(([id, owed]): Line => ({ kind: 'owe', id, ...owed })),
      ...[...this.#grants].map(([credential, row]): Line => ({ kind: 'grant', credential, row })),
      ...this.ended.map((fact): Line => ({ kind: 'ended', fact })),
    ]
    const temporary = `${this.#path}.${randomUUID()}.new`
    const text = textOf(lines)
    try {
      mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 })
      const descriptor = openSync(temporary, 'wx', 0o600)
      try {
        writeFileSync(descriptor, text)
        fsyncSync(descriptor)
      } finally {
        closeSync(descriptor)
      }
      renameSync(temporary, this.#path)
    } catch (error) {
      // On a full disk what is left of it would be in the way of everything else.
      rmSync(temporary, { force: true })
      throw toStoreError(this.#path, error, 'journal')
    }
    this.#added = 0
    this.#size = Buffer.byteLength(text)
    this.#isTorn = false
    this.#inode = statSync(this.#path).ino
  }

  #isThere(): boolean {
    return statSync(this.#path, { throwIfNoEntry: false })?.ino === this.#inode
  }
}

function larger(one: Counts | undefined, other: Counts): Counts {
  return Array.from({ length: 6 }, (_, i) => Math.max(one?.[i] ?? 0, other[i] ?? 0))
}

function textOf(lines: readonly Line[]): string {
  return lines.map((line) => `${JSON.stringify(line)}\n`).join('')
}

/** What a journal begins with. */
const headStart = '{"kind":"head","version":'

const kinds = new Set<unknown>(['head', 'spend', 'owe', 'paid', 'grant', 'ended', 'told'])

function parse(text: string): Line | undefined {
  try {
    const line = JSON.parse(text) as Line
    return kinds.has(line.kind) ? line : undefined
  } catch {
    return undefined
  }
}
