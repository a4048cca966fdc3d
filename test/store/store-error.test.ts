import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { openAccounts } from '#store/sqlite/accounts.ts'
import { openDatabase } from '#store/sqlite/database.ts'
import { Journal } from '#store/redis/journal.ts'
import { openSeal } from '#store/seal-key.ts'
import { toStoreError } from '#store/store-error.ts'

const folder = mkdtempSync(join(tmpdir(), 'store-error-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const seal = openSeal({ path: join(folder, 'seal.key'), make: true, uid: undefined })
const garbage = (name: string): string => {
  const path = join(folder, name)
  writeFileSync(path, 'not a database, by any means, and long enough to be looked at as one'.repeat(20))
  return path
}

describe('a file that cannot be read', () => {
  it.each([
    ['the grants', () => openDatabase(garbage('state.db'), seal), /or move it away and log in again$/],
    [
      'the ledger',
      () => openAccounts(garbage('state.db-ledger')),
      /or move it away: its budgets then begin at zero; `iron-proxy budget set`/,
    ],
    [
      'the runs',
      () => openDatabase(garbage('state.db-runs'), seal, 'CREATE TABLE runs (id TEXT)'),
      /or move it away: the runs in it are then unknown/,
    ],
  ] as const)('says what is lost with %s, and what helps', (what, open, says) => {
    expect(open).toThrow(says)
    if (what !== 'the grants') expect(open).not.toThrow(/log in/)
  })

  it('says of a journal that charges are lost with it', () => {
    const error = toStoreError('/journal', Object.assign(new Error('x'), { errcode: 11, errstr: 'malformed' }), 'journal')
    expect(error.message).toBe(
      '/journal: malformed; restore it from a copy, or move it away: charges that Redis does not know yet are then lost',
    )
    expect(() => new Journal(folder, 0)).not.toThrow(/log in/)
  })
})
