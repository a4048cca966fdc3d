/**
 * What must not be shown to a provider again, in a file beside the database: it stays when the database is lost, or replaced by an
 * older copy. Digests of seeds that were spent, and the newest generation of each grant. Nothing in it is secret.
 */
import { closeSync, fsyncSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { readLines } from './journal-lines.ts'

type Line =
  | { readonly kind: 'seed'; readonly digest: string }
  | { readonly kind: 'newest'; readonly credential: string; readonly generation: number }

export class Spent {
  readonly #path: string
  readonly #seeds = new Set<string>()
  readonly #newest = new Map<string, number>()
  #fits = true

  /** Throws the system's error where the file is there and cannot be read. */
  constructor(path: string) {
    this.#path = path
    let text = ''
    try {
      text = readFileSync(path, 'utf8')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
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

  /** Durable when it returns. Throws the system's error. */
  addSeed(digest: string): void {
    if (!this.#seeds.has(digest)) this.#append({ kind: 'seed', digest })
  }

  /** Durable when it returns. Throws the system's error. */
  addNewest(credential: string, generation: number): void {
    if (generation > this.newest(credential)) this.#append({ kind: 'newest', credential, generation })
  }

  #append(line: Line): void {
    const descriptor = openSync(this.#path, 'a', 0o600)
    // After a write that failed, half of a line may stand at the end.
    const text = `${this.#fits ? '' : '\n'}${JSON.stringify(line)}\n`
    this.#fits = false
    try {
      writeFileSync(descriptor, text)
      fsyncSync(descriptor)
    } finally {
      closeSync(descriptor)
    }
    this.#fits = true
    this.#take(line)
  }

  #take(line: Line): void {
    if (line.kind === 'seed') this.#seeds.add(line.digest)
    else this.#newest.set(line.credential, Math.max(this.newest(line.credential), line.generation))
  }
}

function parse(text: string): Line | undefined {
  try {
    const line = JSON.parse(text) as Line
    return line.kind === 'seed' || line.kind === 'newest' ? line : undefined
  } catch {
    return undefined
  }
}
