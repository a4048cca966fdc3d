/**
 * A database whose file may be deleted or replaced while it is open. SQLite goes on writing to the file that is gone, and a restart
 * then finds an older one or none. So a file is looked at before it is written to, and made again from the one that is open.
 */
import { existsSync, rmSync, statSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { makeWhole } from '../new-file.ts'
import { setAside } from '../state-files.ts'

/** Made in a copy: which file it was made from. */
const table = 'CREATE TABLE IF NOT EXISTS remade (file TEXT NOT NULL) STRICT'

export interface Remade {
  /** What stood there and was not ours, under its new name. */
  readonly aside: string | undefined
  /** Another process had made it again already. */
  readonly adopted: boolean
}

/** Which file a database was opened as. */
export class HeldFile {
  readonly #path: string
  readonly #file: string | undefined

  constructor(path: string) {
    this.#path = path
    this.#file = fileAt(path)
  }

  isThere(): boolean {
    return fileAt(this.#path) === this.#file
  }

  /**
   * Puts what `database` has back under its name, for the caller to open; what stands there now is renamed, not overwritten. Throws what node:fs
   * and SQLite throw: `database` is then as it was.
   */
  remake(database: DatabaseSync): Remade {
    const path = this.#path
    const now = fileAt(path)
    // Of two processes with the same file, the second finds what the first has made of it.
    if (now !== undefined && this.#wasMadeFromOurs(path)) {
      abandon(database)
      return { aside: undefined, adopted: true }
    }
    let aside: string | undefined
    makeWhole(path, (temporary) => {
      database.prepare('VACUUM INTO ?').run(temporary)
      const copy = new DatabaseSync(temporary)
      try {
        copy.exec(`PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; ${table}; DELETE FROM remade`)
        copy.prepare('INSERT INTO remade (file) VALUES (?)').run(this.#file ?? '')
      } finally {
        copy.close()
      }
      if (now !== undefined) aside = setAside(path, 'replaced')
      // Last of all, and with a log of the old file still there: SQLite would play it into the new one.
      else for (const part of ['-wal', '-shm']) rmSync(path + part, { force: true })
    })
    abandon(database)
    return { aside, adopted: false }
  }

  #wasMadeFromOurs(path: string): boolean {
    let there: DatabaseSync | undefined
    try {
      there = new DatabaseSync(path, { readOnly: true })
      return there.prepare('SELECT file FROM remade').get()?.['file'] === this.#file
    } catch {
      return false
    } finally {
      there?.close()
    }
  }
}

/** For the log: what was found, and what was done. */
export function describeRemade(path: string, { aside, adopted }: Remade): string {
  if (adopted) return `${path}: was deleted under us, and another process has made it again`
  if (aside === undefined) return `${path}: was deleted while the proxy ran; it is made again from memory`
  return `${path}: was replaced while the proxy ran; it is made again from memory, and what stood there is now ${aside}`
}

/** Closing removes the log by its name, which now is that of the new file: so they are kept until the process ends. */
const abandoned: DatabaseSync[] = []

function abandon(database: DatabaseSync): void {
  abandoned.push(database)
}

function fileAt(path: string): string | undefined {
  const found = existsSync(path) ? statSync(path, { throwIfNoEntry: false }) : undefined
  return found && `${found.dev}/${found.ino}`
}
