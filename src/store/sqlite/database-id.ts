/** Which database a file is, how often it was opened, and whether the file was copied to where it is. */
import { randomUUID } from 'node:crypto'
import { statSync } from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import { transact } from './database.ts'
import { reasonContext } from '../sealed-pair.ts'
import type { Seal } from '../seal.ts'
import type { Spent } from '../spent.ts'

/** Made where it is missing: an older program leaves it alone, so it is no new version. `file`: inode and birth it had, `used`: when, ms. */
const table =
  'CREATE TABLE IF NOT EXISTS identity (id TEXT NOT NULL, opens INTEGER NOT NULL, file TEXT NOT NULL, used INTEGER NOT NULL) STRICT'

interface Opening {
  readonly id: string
  readonly opens: number
  /** Milliseconds since the epoch of the last use before the copy; `undefined`: nothing shows that this is a copy. */
  readonly copiedAfter: number | undefined
}

/**
 * Counts one more opening, here and beside the database, and says what is odd: another database than the one last used, or a
 * copy. The logins of a copy need a login: where it was taken from may have used them since. `undefined`: all is as it was left.
 */
export function noteOpening(
  database: DatabaseSync,
  path: string,
  { seal, spent, now }: { readonly seal: Seal; readonly spent: Spent; readonly now: number },
): string | undefined {
  const last = spent.database
  const { id, opens, copiedAfter } = countOpening(database, path, now)
  let odd: string | undefined
  if (last && last.id !== id) odd = `${path}: is database ${id}, and ${last.id} was used last; restore that one, or log in again`
  else if (last && opens <= last.opens)
    odd = `${path}: is an older copy of database ${id}: opened ${opens} times, and the last one ${last.opens} times`
  else if (copiedAfter !== undefined)
    odd = `${path}: is a copy: the file is younger than its last use at ${new Date(copiedAfter).toISOString()}`
  if (copiedAfter !== undefined) {
    odd += '; its logins need a login, as they may have been used elsewhere since (`iron-proxy state restore` moves a state)'
    endLogins(database, seal, `${path} is a copy, and its logins may have been used since; \`iron-proxy login\` begins anew`)
  }
  spent.addDatabase(id, opens)
  return odd
}

/** Makes every grant need a login, for this reason. */
export function endLogins(database: DatabaseSync, seal: Seal, reason: string): void {
  transact(database, () => {
    const end = database.prepare(
      'UPDATE grants SET needs_login = :reason, in_flight_since = NULL WHERE credential = :credential AND needs_login IS NULL',
    )
    for (const { credential } of database.prepare('SELECT credential FROM grants').all())
      end.run({ credential: String(credential), reason: seal.seal(reason, reasonContext(String(credential))) })
  })
}

/** The file at `path` is this database from now on, made by us. `anew`: it gets an id of its own. `undefined`: it never had one. */
export function claimFile(
  database: DatabaseSync,
  path: string,
  now: number,
  anew = false,
): { readonly id: string; readonly opens: number } | undefined {
  const { file } = fileOf(path)
  return transact(database, () => {
    database.exec(table)
    database.prepare('UPDATE identity SET file = :file, used = :now').run({ file, now })
    if (anew) database.prepare('UPDATE identity SET id = :id').run({ id: randomUUID() })
    const found = database.prepare('SELECT id, opens FROM identity').get()
    return found && { id: String(found['id']), opens: Number(found['opens']) }
  })
}

function countOpening(database: DatabaseSync, path: string, now: number): Opening {
  const { file, born } = fileOf(path)
  return transact(database, () => {
    database.exec(table)
    const before = database.prepare('SELECT id, opens, file, used FROM identity').get()
    if (!before) {
      const id = randomUUID()
      database.prepare('INSERT INTO identity (id, opens, file, used) VALUES (:id, 1, :file, :now)').run({ id, file, now })
      return { id, opens: 1, copiedAfter: undefined }
    }
    database.prepare('UPDATE identity SET opens = opens + 1, file = :file, used = :now').run({ file, now })
    const written = Number(database.prepare('SELECT max(written_at) AS at FROM grants').get()?.['at'] ?? 0)
    const used = Math.max(Number(before['used']), written)
    // One sign alone proves nothing: some file systems give other inodes after a mount, and a clock may have been set back.
    const isCopy = before['file'] !== file && born > used
    return { id: String(before['id']), opens: Number(before['opens']) + 1, copiedAfter: isCopy ? used : undefined }
  })
}

/** `born`: milliseconds since the epoch, 0 where the file system does not know it. An inode is soon that of another file. */
function fileOf(path: string): { readonly file: string; readonly born: number } {
  const { ino, birthtimeMs: born } = statSync(path)
  return { file: `${ino}/${born}`, born }
}
