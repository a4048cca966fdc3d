/**
 * What must not be shown to a provider again, in a file beside the database: it stays when the database is lost, or replaced by an
 * older copy. Digests of seeds that were spent, the newest generation of each grant, and the database that was used last. Nothing in
 * it is secret.
 */
import { closeSync, fstatSync, fsyncSync, openSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { readLines } from './journal-lines.ts'

type Line =
  | { readonly kind: 'seed'; readonly digest: string }
  | { readonly kind: 'newest'; readonly credential: string; readonly generation: number }
  | { readonly kind: 'database'; readonly id: string; readonly opens: number }

export class Spent {
  readonly #path: string
  readonly #seeds = new Set<string>()
  readonly #newest = new Map<string, number>()
  #database: { readonly id: string; readonly opens: number } | undefined
  #fits = true
  #inode: number | undefined

  /** Throws the system's error where the file is there and cannot be read. */
  constructor(path: string) {
    this.#path = path
    let text = ''
    try {
      text = readFileSync(path, 'utf8')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
    this.#inode = statSync(path, { throwIfNoEntry: false })?.ino
    this.#fits = text === '' || text.endsWith('\n')
    for (const line of readLines(text, parse).lines) this.#take(line)
  }

  hasSeed(digest: string): boolean {
    return this.#seeds.has(digest)
  }

  /** 0: the grant was never here. */
  newest(credential: string): number {
    return this.#newest.get(credential) ?? 0
  }

  /** The database that was used last, and how often it had been opened. */
  get database(): { readonly id: string; readonly opens: number } | undefined {
    return this.#database
  }

  /** Durable when it returns. Throws the system's error. */
  addSeed(digest: string): void {
    if (!this.#seeds.has(digest)) this.#append({ kind: 'seed', digest })
  }

  /** Durable when it returns. Throws the system's error. */
  addNewest(credential: string, generation: number): void {
    if (generation > this.newest(credential)) this.#append({ kind: 'newest', credential, generation })
  }

  /** Durable when it returns. Throws the system's error. */
  addDatabase(id: string, opens: number): void {
    this.#append({ kind: 'database', id, opens })
  }

  /** Takes in what a backup knows. Durable when it returns. Throws the system's error. */
  addAll(text: string): void {
    for (const line of readLines(text, parse).lines) {
      if (line.kind === 'seed') this.addSeed(line.digest)
      if (line.kind === 'newest') this.addNewest(line.credential, line.generation)
    }
  }

  #append(line: Line): void {
    const descriptor = openSync(this.#path, 'a', 0o600)
    // One that was deleted or replaced under us gets all that it had.
    const { ino } = fstatSync(descriptor)
    const isOurs = this.#inode === ino
    const before = isOurs ? '' : this.#whole()
    // After a write that failed, half of a line may stand at the end.
    const text = `${this.#fits && isOurs ? '' : '\n'}${before}${JSON.stringify(line)}\n`
    this.#fits = false
    try {
      writeFileSync(descriptor, text)
      fsyncSync(descriptor)
    } finally {
      closeSync(descriptor)
    }
    this.#fits = true
    this.#inode = ino
    this.#take(line)
  }

  #whole(): string {
    const lines: Line[] = [
      ...[...this.#seeds].map((digest): Line => ({ kind: 'seed', digest })),
      ...[...this.#newest].map(([credential, generation]): Line => ({ kind: 'newest', credential, generation })),
      ...(this.#database ? [{ kind: 'database', ...this.#database } as const] : []),
    ]
    return lines.map((line) => `${JSON.stringify(line)}\n`).join('')
  }

  #take(line: Line): void {
    if (line.kind === 'seed') this.#seeds.add(line.digest)
    else if (line.kind === 'database') this.#database = { id: line.id, opens: line.opens }
    else this.#newest.set(line.credential, Math.max(this.newest(line.credential), line.generation))
  }
}

const kinds: ReadonlySet<unknown> = new Set<Line['kind']>(['seed', 'newest', 'database'])

function parse(text: string): Line | undefined {
  try {
    const line = JSON.parse(text) as Line
    return kinds.has(line.kind) ? line : undefined
  } catch {
    return undefined
  }
}
