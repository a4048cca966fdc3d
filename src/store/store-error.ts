export type StoreFault =
  | 'seal_key_missing'
  | 'seal_key_mode'
  | 'seal_key_bad'
  | 'seal_key_wrong'
  | 'store_corrupt'
  | 'store_full'
  | 'store_readonly'
  | 'store_locked'
  | 'store_version'
  | 'store_io'
  | 'store_missing'
  | 'store_in_use'

/** Why nothing can be kept or read. For the operator: the message names the file and the fix, and never what is kept. */
export class StoreError extends Error {
  readonly code: StoreFault

  constructor(code: StoreFault, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'StoreError'
    this.code = code
  }
}

/** What a file keeps: what is lost with it follows from that. */
export type Kept = 'grants' | 'ledger' | 'runs' | 'journal'

const lost: Readonly<Record<Kept, string>> = {
  grants: 'move it away and log in again',
  ledger: 'move it away: its budgets then begin at zero; `iron-proxy budget set` says what was used',
  runs: 'move it away: the runs in it are then unknown, and must be minted again',
  journal: 'move it away: charges that Redis does not know yet are then lost',
}

/** What to do, by fault. The message says before it what has failed. */
const fixes = {
  store_corrupt: 'restore it from a copy, or',
  store_full: 'free some space; what was kept before is still kept',
  store_readonly: 'let the proxy write to it and to its folder',
  store_locked: 'another process is writing to it; try again',
  store_io: 'check the disk, and that the proxy may use the file and its folder',
} as const

/** Primary result codes, https://www.sqlite.org/rescode.html. */
const sqliteFaults: Readonly<Record<number, keyof typeof fixes>> = {
  // SQLITE_ERROR: a table is missing, so this is no store of ours.
  1: 'store_corrupt',
  // SQLITE_BUSY, SQLITE_LOCKED
  5: 'store_locked',
  6: 'store_locked',
  // SQLITE_READONLY
  8: 'store_readonly',
  // SQLITE_CORRUPT
  11: 'store_corrupt',
  // SQLITE_FULL
  13: 'store_full',
  // SQLITE_NOTADB
  26: 'store_corrupt',
}

const fileFaults: Readonly<Record<string, keyof typeof fixes>> = {
  ENOSPC: 'store_full',
  EDQUOT: 'store_full',
  // Past RLIMIT_FSIZE, or the largest file of its file system.
  EFBIG: 'store_full',
  EACCES: 'store_readonly',
  EPERM: 'store_readonly',
  EROFS: 'store_readonly',
  // node:sqlite: an integer that JavaScript cannot hold, and that we never wrote.
  ERR_OUT_OF_RANGE: 'store_corrupt',
}

/** The error for what SQLite or the file system has thrown about a store; a StoreError stays as it is. `kept`: what the file keeps. */
export function toStoreError(path: string, error: unknown, kept: Kept = 'grants'): StoreError {
  if (error instanceof StoreError) return error
  const { errcode, errstr, code = 'unknown error' } = error as SystemError
  // The low byte of an extended code is the primary one.
  const fault = (errcode === undefined ? fileFaults[code] : sqliteFaults[errcode & 0xff]) ?? 'store_io'
  const fix = fault === 'store_corrupt' ? `${fixes[fault]} ${lost[kept]}` : fixes[fault]
  // `errstr` is SQLite's fixed text for the code: it names no values.
  return new StoreError(fault, `${path}: ${errstr ?? code}; ${fix}`, { cause: error })
}

/** An error of node:sqlite, which has all three, or of node:fs. */
interface SystemError {
  readonly errcode?: number
  readonly errstr?: string
  readonly code?: string
}
