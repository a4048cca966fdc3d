import { createHash } from 'node:crypto'
import { existsSync, rmSync } from 'node:fs'
import type { SQLOutputValue } from 'node:sqlite'
import type { Account } from '#metering/types.ts'
import { accountKey } from './amounts.ts'
import { accountsIn, openAccounts } from './sqlite/accounts.ts'
import { openDatabase, transact } from './sqlite/database.ts'
import { openEmbeddedStore } from './sqlite/grants.ts'
import { readRuns } from './sqlite/runs.ts'
import { runsBeside } from './state-files.ts'
import { RedisGrants } from './redis/grants.ts'
import { Journal } from './redis/journal.ts'
import type { Counts, SealedRow } from './redis/journal.ts'
import { RedisLedger } from './redis/ledger.ts'
import { RedisRuns } from './redis/runs.ts'
import type { Seal } from './seal.ts'
import { linkTo, sharedSeal } from './state.ts'
import type { StatePlace } from './state.ts'
import { StoreError } from './store-error.ts'

/** What was carried over. */
export interface Copied {
  /** `kept`: what the server had was newer, and stays. */
  readonly grants: readonly { readonly credential: string; readonly generation: number; readonly kept: boolean }[]
  readonly accounts: number
  /** Runs whose time is not over. */
  readonly runs: number
}

/**
 * Carries the state of one replica from its file to the server that `to` names, for a proxy that does not run any more. Grants go
 * over as they are sealed, with their generations; spend becomes that of a replica of its own, and runs go on until their time. Done twice, it changes nothing the
 * second time. Throws StoreError: no state there, a wrong key or version on either side, a grant that does not open.
 */
export async function copyState(from: string, to: StatePlace, uid: number | undefined): Promise<Copied> {
  const seal = sharedSeal(to.sealKey, uid)
  const rows = await readGrants(from, seal)
  const spends = readSpends(`${from}-ledger`)
  const known = readRuns(runsBeside(from), seal)
  if (![from, `${from}-ledger`, runsBeside(from)].some((file) => existsSync(file)))
    throw new StoreError('store_io', `${from}: is not there, nor is ${from}-ledger; name the file that \`state\` was`)
  // What a replica knows, it tells a server that does not: so this is one, for a moment.
  const path = `${from}.copy`
  const journal = new Journal(path, Date.now())
  try {
    for (const [credential, row] of rows) journal.keepGrant(credential, row)
    const replica = `file-${createHash('sha256').update(from).digest('hex').slice(0, 12)}`
    for (const { account, counts } of spends) journal.learn(accountKey(account), replica, counts)
    const link = linkTo(to, seal)
    const grants = new RedisGrants(link, journal, { seal })
    const ledger = new RedisLedger(link, journal)
    const runs = new RedisRuns(link, journal, { seal, known })
    try {
      await link.opened()
      const copied: Copied['grants'][number][] = []
      for (const [credential, row] of rows) {
        const generation = (await grants.read(credential))?.generation ?? 0
        copied.push({ credential, generation, kept: generation > Number(row['generation']) })
      }
      const living = known.filter((fact) => fact.kind === 'live' && fact.run.expiresAt > Date.now())
      return { grants: copied, accounts: spends.length, runs: living.length }
    } finally {
      await runs.close()
      await grants.close()
      await ledger.close()
    }
  } finally {
    rmSync(path, { force: true })
  }
}

/** The rows as Redis has them. Each is opened once, so that nothing is carried over that could not be used there. */
async function readGrants(path: string, seal: Seal): Promise<ReadonlyMap<string, SealedRow>> {
  if (!existsSync(path)) return new Map()
  const database = openDatabase(path, seal)
  const found = database.prepare('SELECT * FROM grants ORDER BY credential').all()
  database.close()
  const store = openEmbeddedStore({ path, seal })
  try {
    const rows = new Map<string, SealedRow>()
    for (const { credential, ...columns } of found) {
      await store.read(String(credential))
      rows.set(String(credential), Object.fromEntries(Object.entries(columns).flatMap(textOf)))
    }
    return rows
  } finally {
    await store.close()
  }
}

function textOf([name, value]: readonly [string, SQLOutputValue]): readonly (readonly [string, string])[] {
  if (value === null) return []
  return [[name, value instanceof Uint8Array ? Buffer.from(value).toString('base64') : String(value)]]
}

/** Spend of every window that is still known. Holds of a proxy that has ended are charges. */
function readSpends(path: string): readonly { readonly account: Account; readonly counts: Counts }[] {
  if (!existsSync(path)) return []
  const database = openAccounts(path)
  try {
    transact(database, () => accountsIn(database).expire(Number.MAX_SAFE_INTEGER))
    return database
      .prepare('SELECT budget, holder, window, tokens, nano, requests FROM spend')
      .all()
      .map(({ budget, holder, window, tokens, nano, requests }) => ({
        account: { budget: String(budget), holder: String(holder), window: Number(window) },
        counts: [Number(tokens), Number(nano), Number(requests), 0, 0, 0],
      }))
  } finally {
    database.close()
  }
}
