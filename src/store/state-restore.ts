import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { accountsIn, openAccounts } from './sqlite/accounts.ts'
import { claimFile, endLogins } from './sqlite/database-id.ts'
import { openDatabase, transact } from './sqlite/database.ts'
import { openRuns, readRuns } from './sqlite/runs.ts'
import { setAside } from './state-files.ts'
import { openSeal } from './seal-key.ts'
import type { Seal } from './seal.ts'
import { Spent } from './spent.ts'
import { filesOf, readBackup } from './state-backup.ts'
import { StoreError, toStoreError } from './store-error.ts'

export interface RestoreOrder {
  /** The backup. */
  readonly file: string
  /** Where the grants go; the other files stand beside it. */
  readonly path: string
  readonly sealKey: string
  readonly uid: number | undefined
  /** The logins were not used since the backup, says the operator. */
  readonly trustGrants: boolean
  /** Milliseconds since the epoch. */
  readonly now: number
}

export interface Restored {
  /** When the backup was made, milliseconds since the epoch. */
  readonly at: number
  /** `needsLogin`: it must not be used; it may have been, or is known to have been, since the backup. */
  readonly grants: readonly { readonly credential: string; readonly generation: number; readonly needsLogin: boolean }[]
  readonly accounts: number
  readonly runs: number
  /** Files that were in the way, under their new names. */
  readonly aside: readonly string[]
}

/**
 * Puts the state of a backup in place, for a proxy that does not run. Spend is the larger number of both, an end of a run counts, and
 * the grants are those of the backup. Throws StoreError: `store_in_use` where a process has the state open, a wrong key or version.
 */
export function restoreState(order: RestoreOrder): Restored {
  const { file, path, sealKey, uid, now } = order
  const { at, contents } = readBackup(file)
  const files = filesOf(path)
  for (const part of ['grants', 'ledger', 'runs'] as const) mustBeIdle(files[part])
  const seal = openSeal({ path: sealKey, make: false, uid })
  const staged: string[] = []
  const aside: string[] = []
  const stage = (part: 'grants' | 'ledger' | 'runs'): string | undefined => {
    const content = contents.get(part)
    if (!content) return undefined
    const temporary = `${files[part]}.restored`
    rmSync(temporary, { force: true })
    writeFileSync(temporary, content, { mode: 0o600, flag: 'wx', flush: true })
    staged.push(temporary)
    return temporary
  }
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    const [grants, ledger, runs] = [stage('grants'), stage('ledger'), stage('runs')]
    // All that may be wrong with the backup shows before anything is changed.
    if (ledger !== undefined) openAccounts(ledger).close()
    if (runs !== undefined) openRuns(runs, seal).close()
    const prepared = grants === undefined ? [] : prepareGrants(grants, seal, order, at)
    const spent = new Spent(files.spent)
    spent.addAll(Buffer.from(contents.get('spent') ?? []).toString('utf8'))
    if (grants !== undefined) {
      if (existsSync(files.grants)) aside.push(setAside(files.grants, 'replaced'))
      renameSync(grants, files.grants)
      settle(files.grants, seal, spent, now)
    }
    const accounts = ledger === undefined ? 0 : mergeLedger(ledger, files.ledger, aside)
    const living = runs === undefined ? 0 : mergeRuns(runs, files.runs, { seal, aside, now })
    return {
      at,
      grants: prepared.map((grant) => ({
        ...grant,
        needsLogin: grant.needsLogin || grant.generation < spent.newest(grant.credential),
      })),
      accounts,
      runs: living,
      aside,
    }
  } catch (error) {
    throw toStoreError(path, error)
  } finally {
    for (const each of staged) for (const part of ['', '-wal', '-shm']) rmSync(each + part, { force: true })
  }
}

/** A process that has it open holds a shared lock on it for as long, which leaving the log needs alone. */
function mustBeIdle(path: string): void {
  if (!existsSync(path)) return
  const database = new DatabaseSync(path, { timeout: 0 })
  try {
    database.exec('PRAGMA journal_mode = DELETE')
  } catch (error) {
    if (toStoreError(path, error).code !== 'store_locked') return
    throw new StoreError('store_in_use', `${path}: a proxy is running on it; stop it first`, { cause: error })
  } finally {
    database.close()
  }
}

function prepareGrants(staged: string, seal: Seal, { path, trustGrants }: RestoreOrder, at: number) {
  const database = openDatabase(staged, seal)
  try {
    if (!trustGrants) {
      const when = new Date(at).toISOString()
      endLogins(database, seal, `${path} was restored from a backup of ${when}, and this login may have been used since`)
    }
    return database
      .prepare('SELECT credential, generation, needs_login IS NOT NULL AS ended FROM grants ORDER BY credential')
      .all()
      .map(({ credential, generation, ended }) => ({
        credential: String(credential),
        generation: Number(generation),
        needsLogin: ended === 1,
      }))
  } finally {
    database.close()
  }
}

/** It is the database that is used from now on, under an id of its own: the one it was copied from may still be about. */
function settle(path: string, seal: Seal, spent: Spent, now: number): void {
  const database = openDatabase(path, seal)
  try {
    const used = claimFile(database, path, now, true)
    if (used) spent.addDatabase(used.id, used.opens)
  } finally {
    database.close()
  }
}

/** Gives how many accounts the backup had. Holds of a proxy that has ended are charges, on both sides. */
function mergeLedger(staged: string, path: string, aside: string[]): number {
  const backup = openAccounts(staged)
  try {
    transact(backup, () => accountsIn(backup).expire(Number.MAX_SAFE_INTEGER))
    backup.exec('PRAGMA journal_mode = DELETE')
    const count = Number(backup.prepare('SELECT count(*) AS n FROM spend').get()?.['n'])
    backup.close()
    const database = usableOr(path, aside, () => openAccounts(path))
    if (!database) {
      renameSync(staged, path)
      return count
    }
    try {
      database.prepare('ATTACH DATABASE ? AS backup').run(staged)
      transact(database, () => {
        accountsIn(database).expire(Number.MAX_SAFE_INTEGER)
        database.exec(mergeSpend)
      })
    } finally {
      database.close()
    }
    return count
  } finally {
    if (backup.isOpen) backup.close()
  }
}

// "WHERE true": without it SQLite takes ON for a part of a join.
const mergeSpend = `
  INSERT INTO spend (budget, holder, window, tokens, nano, requests)
    SELECT budget, holder, window, tokens, nano, requests FROM backup.spend WHERE true
    ON CONFLICT DO UPDATE SET tokens = max(tokens, excluded.tokens), nano = max(nano, excluded.nano),
      requests = max(requests, excluded.requests);
  INSERT OR IGNORE INTO settled SELECT * FROM backup.settled;
  INSERT OR IGNORE INTO marks SELECT * FROM backup.marks;
  INSERT OR IGNORE INTO lessons SELECT * FROM backup.lessons;
`

/** Gives how many runs of the backup have not ended and not expired. */
function mergeRuns(
  staged: string,
  path: string,
  { seal, aside, now }: { readonly seal: Seal; readonly aside: string[]; readonly now: number },
): number {
  const count = readRuns(staged, seal).filter((fact) => fact.kind === 'live' && fact.run.expiresAt > now).length
  const backup = openRuns(staged, seal)
  backup.exec('PRAGMA journal_mode = DELETE')
  backup.close()
  const database = usableOr(path, aside, () => openRuns(path, seal))
  if (!database) {
    renameSync(staged, path)
    return count
  }
  try {
    database.prepare('ATTACH DATABASE ? AS backup').run(staged)
    database.exec(`INSERT INTO runs (name, seq, until, sealed) SELECT name, seq, until, sealed FROM backup.runs WHERE true
      ON CONFLICT DO UPDATE SET seq = excluded.seq, until = excluded.until, sealed = excluded.sealed WHERE excluded.seq > seq`)
  } finally {
    database.close()
  }
  return count
}

/** What is there, if it can be used; garbage is put aside. */
function usableOr(path: string, aside: string[], open: () => DatabaseSync): DatabaseSync | undefined {
  if (!existsSync(path)) return undefined
  try {
    return open()
  } catch (error) {
    if (!(error instanceof StoreError) || !['store_corrupt', 'seal_key_wrong'].includes(error.code)) throw error
    aside.push(setAside(path))
    return undefined
  }
}
