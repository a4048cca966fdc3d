import { chmodSync, existsSync, statSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { makeWhole } from '../new-file.ts'
import type { Seal } from '../seal.ts'
import { StoreError, toStoreError } from '../store-error.ts'

/** Grows with every change of the tables. `meta.version` is read before all else, so it must stay where it is. */
const schemaVersion = 1

const meta = 'CREATE TABLE meta (version INTEGER NOT NULL, sealed BLOB NOT NULL) STRICT;'
const grants = `
  CREATE TABLE grants (
    credential TEXT PRIMARY KEY,
    generation INTEGER NOT NULL,
    pair BLOB NOT NULL,
    previous BLOB,
    seed TEXT,
    in_flight_since INTEGER,
    needs_login BLOB,
    written_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
`

/** Milliseconds to wait for another process. Everything else in this one waits too, and a write takes far less. */
const busyMs = 250

const keyCheck = { text: 'iron-proxy', context: ['meta', 'key'] } as const

/**
 * Opens the file of a store, or makes it when there is none. The file, and what SQLite puts beside it, is for us alone.
 * It is refused, and left as it is, unless it is a store of this version, sealed with this key, that can be written to:
 * a token must not be spent when what comes back for it cannot be kept. `tables`: what a new file is made with. Throws StoreError.
 */
export function openDatabase(path: string, seal: Seal, tables: string = grants): DatabaseSync {
  try {
    makeIfMissing(path, seal, tables)
    const database = new DatabaseSync(path, { timeout: busyMs })
    try {
      inspect(database, path, seal)
      prepare(database, path)
      return database
    } catch (error) {
      database.close()
      throw error
    }
  } catch (error) {
    throw toStoreError(path, error, tables === grants ? 'grants' : 'runs')
  }
}

/** Runs it in one transaction that is durable when this returns, and never was when this throws. */
export function transact<Result>(database: DatabaseSync, act: () => Result): Result {
  // IMMEDIATE: a transaction that begins by reading cannot wait for another writer when it comes to write.
  database.exec('BEGIN IMMEDIATE')
  try {
    const result = act()
    database.exec('COMMIT')
    return result
  } finally {
    // SQLite has already gone back by itself after some errors, a full disk among them.
    if (database.isTransaction) database.exec('ROLLBACK')
  }
}

function makeIfMissing(path: string, seal: Seal, tables: string): void {
  // SQLite would play a log without its file into a new file, and delete a log beside an empty one.
  const log = existsSync(`${path}-wal`)
  if (!existsSync(path)) {
    if (log) throw new StoreError('store_corrupt', `${path}: is not there, but its log is; restore it, or move ${path}-wal away`)
    makeWhole(path, (temporary) => layOut(temporary, seal, tables))
  }
  if (statSync(path).size === 0)
    throw new StoreError('store_corrupt', `${path}: is empty; restore it from a copy, or move it away and log in again`)
  for (const file of [path, `${path}-wal`, `${path}-shm`]) makePrivate(file)
}

function layOut(path: string, seal: Seal, tables: string): void {
  const database = new DatabaseSync(path)
  try {
    database.exec('PRAGMA synchronous = FULL; PRAGMA fullfsync = ON')
    transact(database, () => {
      database.exec(meta + tables)
      database
        .prepare('INSERT INTO meta (version, sealed) VALUES (?, ?)')
        .run(schemaVersion, seal.seal(keyCheck.text, keyCheck.context))
    })
    // Only now: with a log from the start, the tables would be in a file that stays behind when this one gets its name.
    database.exec('PRAGMA journal_mode = WAL')
  } finally {
    database.close()
  }
}

/** Takes back what a volume's `fsGroup` has added. What is in the file is sealed, so failing here opens nothing. */
function makePrivate(path: string): void {
  try {
    const { mode } = statSync(path)
    if ((mode & 0o077) !== 0) chmodSync(path, mode & 0o700)
  } catch {
    // It is not there, or not ours.
  }
}

/** Reads only: a file that is not for us stays as it is. */
function inspect(database: DatabaseSync, path: string, seal: Seal): void {
  const version = database.prepare('SELECT version FROM meta').get()?.version
  if (version !== schemaVersion) {
    throw new StoreError(
      'store_version',
      `${path}: is of version ${String(version)} and this program reads version ${schemaVersion}; run the newer iron-proxy`,
    )
  }
  const sealed = database.prepare('SELECT sealed FROM meta').get()?.sealed
  if (sealed instanceof Uint8Array && seal.open(sealed, keyCheck.context) === keyCheck.text) return
  throw new StoreError(
    'seal_key_wrong',
    `${path}: is sealed with another key than \`sealKey\`; restore that key, or move the store away and log in again`,
  )
}

function prepare(database: DatabaseSync, path: string): void {
  // fullfsync: on macOS a plain fsync leaves the data in the drive's cache.
  database.exec('PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON')
  const mode = database.prepare('PRAGMA journal_mode = WAL').get()?.journal_mode
  if (mode !== 'wal')
    throw new StoreError('store_io', `${path}: its file system cannot share memory, as SQLite's log needs; use a local disk`)
  // A read-only file lets a transaction begin, and refuses the first write in it.
  database.exec('BEGIN IMMEDIATE')
  database.exec('UPDATE meta SET version = version')
  database.exec('ROLLBACK')
}
