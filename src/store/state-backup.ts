/** A backup is one file that has the files of a state in it, each as it was at one moment. Grants and runs in it stay sealed. */
import { existsSync, openSync, closeSync, readFileSync, rmSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { z } from 'zod'
import { makeWhole } from './new-file.ts'
import { ledgerBeside, runsBeside, spentBeside } from './state-files.ts'
import { StoreError, toStoreError } from './store-error.ts'

export const parts = ['grants', 'ledger', 'runs', 'spent'] as const
export type BackupPart = (typeof parts)[number]

/** Where each part of a state is. */
export function filesOf(path: string): Readonly<Record<BackupPart, string>> {
  return { grants: path, ledger: ledgerBeside(path), runs: runsBeside(path), spent: spentBeside(path) }
}

const version = 1
/** Milliseconds to wait for a proxy that is just writing. */
const busyMs = 5_000

const layout = `
  CREATE TABLE backup (version INTEGER NOT NULL, at INTEGER NOT NULL) STRICT;
  CREATE TABLE files (part TEXT PRIMARY KEY, content BLOB NOT NULL) STRICT;
`

/**
 * Copies the files of a state, that of a running proxy too, into a new file of mode 0600; gives the parts there were. Throws StoreError
 * where there is no state or it is damaged, and the system's error where the file is there already (`EEXIST`) or cannot be written.
 */
export function backUp(path: string, to: string, now: number): readonly BackupPart[] {
  const files = filesOf(path)
  const there = parts.filter((part) => existsSync(files[part]))
  if (!there.some((part) => part !== 'spent'))
    throw new StoreError('store_missing', `${path}: is not there, nor is ${files.ledger}`)
  const isMade = makeWhole(to, (temporary) => {
    const backup = new DatabaseSync(temporary)
    try {
      backup.exec(`PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; ${layout}`)
      backup.prepare('INSERT INTO backup (version, at) VALUES (?, ?)').run(version, now)
      const add = backup.prepare('INSERT INTO files (part, content) VALUES (?, ?)')
      // What is spent comes last, so that it knows of every generation before it.
      for (const part of there)
        add.run(part, part === 'spent' ? readFileSync(files.spent) : contentOf(files[part], `${temporary}.${part}`))
    } finally {
      backup.close()
    }
  })
  if (!isMade) throw Object.assign(new Error(`${to}: is there already`), { code: 'EEXIST' })
  return there
}

/** The parts of a backup, and when it was made. Throws StoreError. */
export function readBackup(file: string): { readonly at: number; readonly contents: ReadonlyMap<BackupPart, Uint8Array> } {
  if (!existsSync(file)) throw new StoreError('store_missing', `${file}: is not there`)
  let backup: DatabaseSync | undefined
  try {
    backup = new DatabaseSync(file, { readOnly: true })
    const head = headShape.parse(backup.prepare('SELECT version, at FROM backup').get())
    if (head.version !== version)
      throw new StoreError(
        'store_version',
        `${file}: is of version ${head.version} and this program reads version ${version}; run the newer iron-proxy`,
      )
    const rows = rowsShape.parse(backup.prepare('SELECT part, content FROM files').all())
    return { at: head.at, contents: new Map(rows.map(({ part, content }) => [part, content])) }
  } catch (error) {
    if (error instanceof StoreError) throw error
    throw new StoreError('store_corrupt', `${file}: is not a whole backup; name a file that \`iron-proxy state backup\` wrote`, {
      cause: error,
    })
  } finally {
    backup?.close()
  }
}

const headShape = z.object({ version: z.int(), at: z.int() })
const rowsShape = z.array(z.object({ part: z.enum(parts), content: z.instanceof(Uint8Array) }))

/** One database as it is at this moment, its log included. */
function contentOf(path: string, temporary: string): Uint8Array {
  try {
    const database = new DatabaseSync(path, { timeout: busyMs })
    try {
      closeSync(openSync(temporary, 'wx', 0o600))
      database.prepare('VACUUM INTO ?').run(temporary)
    } finally {
      database.close()
    }
    return readFileSync(temporary)
  } catch (error) {
    throw toStoreError(path, error)
  } finally {
    rmSync(temporary, { force: true })
  }
}
