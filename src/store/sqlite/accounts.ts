/** The ledger's tables and what is done to them: each function is one step of a transaction that its caller holds. */
import { existsSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { lesser, minus, nothing } from '#metering/amount.ts'
import type { Account, Amount, Balance, Claim, Lesson, Reserved } from '#metering/types.ts'
import { transact } from './database.ts'
import { judge } from './admit-claim.ts'
import type { KeptTime } from '../ledger-clock.ts'
import type { Met } from './admit-claim.ts'
import { makeWhole } from '../new-file.ts'
import { StoreError, toStoreError } from '../store-error.ts'

/** Grows with every change of the tables. */
const schemaVersion = 1

// A hold that has become a charge stays, with `charged` 1, so that a late settlement can correct it.
const schema = `
  CREATE TABLE meta (version INTEGER NOT NULL, now INTEGER NOT NULL) STRICT;
  CREATE TABLE spend (
    budget TEXT NOT NULL, holder TEXT NOT NULL, window INTEGER NOT NULL,
    tokens INTEGER NOT NULL, nano INTEGER NOT NULL, requests INTEGER NOT NULL,
    PRIMARY KEY (budget, holder, window)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE holds (
    id TEXT NOT NULL, position INTEGER NOT NULL,
    budget TEXT NOT NULL, holder TEXT NOT NULL, window INTEGER NOT NULL,
    tokens INTEGER NOT NULL, nano INTEGER NOT NULL,
    deadline INTEGER NOT NULL, tail INTEGER NOT NULL, charged INTEGER NOT NULL,
    PRIMARY KEY (id, position)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX holds_by_account ON holds (budget, holder, window) WHERE charged = 0;
  CREATE INDEX holds_by_deadline ON holds (deadline) WHERE charged = 0;
  CREATE TABLE settled (id TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE marks (
    budget TEXT NOT NULL, holder TEXT NOT NULL, window INTEGER NOT NULL, mark TEXT NOT NULL,
    PRIMARY KEY (budget, holder, window, mark)
  ) STRICT, WITHOUT ROWID;
`

/** Made where it is missing: an older program leaves it alone, so it is no new version. */
const lessonsTable = `
  CREATE TABLE IF NOT EXISTS lessons (name TEXT PRIMARY KEY, text TEXT NOT NULL, at INTEGER NOT NULL) STRICT, WITHOUT ROWID
`

const clockTable = 'CREATE TABLE IF NOT EXISTS clock (floor INTEGER NOT NULL) STRICT'

const day = 86_400_000
/** Milliseconds after which a request is not heard of again, a month's account is of the past, and a lesson is out of date. */
const kept = { ids: 2 * day, accounts: 40 * day, lessons: 40 * day } as const

/**
 * Opens the file of a ledger, or makes it. It stands beside the store and not in it: amounts need no seal, and a busy ledger
 * must not make a rotation wait. Throws StoreError.
 */
export function openAccounts(path: string): DatabaseSync {
  try {
    if (!existsSync(path)) makeWhole(path, layOut)
    const database = new DatabaseSync(path, { timeout: 1_000 })
    try {
      const version = database.prepare('SELECT version FROM meta').get()?.['version']
      if (version !== schemaVersion)
        throw new StoreError(
          'store_version',
          `${path}: is of version ${String(version)} and this program reads version ${schemaVersion}; run the newer iron-proxy`,
        )
      database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA fullfsync = ON')
      // A read-only file lets a transaction begin, and refuses the first write in it.
      transact(database, () => {
        database.exec('UPDATE meta SET version = version')
        database.exec(lessonsTable)
        database.exec(clockTable)
      })
      return database
    } catch (error) {
      database.close()
      throw error
    }
  } catch (error) {
    throw toStoreError(path, error, 'ledger')
  }
}

function layOut(path: string): void {
  const database = new DatabaseSync(path)
  try {
    database.exec('PRAGMA synchronous = FULL; PRAGMA fullfsync = ON')
    transact(database, () => {
      database.exec(schema)
      database.prepare('INSERT INTO meta (version, now) VALUES (?, 0)').run(schemaVersion)
    })
    database.exec('PRAGMA journal_mode = WAL')
  } finally {
    database.close()
  }
}

/** The statements of one open ledger, and the steps made of them. Times are the ledger's own. */
export type Accounts = ReturnType<typeof accountsIn>

const ofAccount = 'budget = :budget AND holder = :holder AND window = :window'

export function accountsIn(database: DatabaseSync) {
  const statements = {
    now: database.prepare('SELECT now FROM meta'),
    setNow: database.prepare('UPDATE meta SET now = :now'),
    floor: database.prepare('SELECT floor FROM clock'),
    setFloor: database.prepare('UPDATE clock SET floor = :floor'),
    addFloor: database.prepare('INSERT INTO clock (floor) VALUES (:floor)'),
    spend: database.prepare(`SELECT tokens, nano, requests FROM spend WHERE ${ofAccount}`),
    add: database.prepare(`INSERT INTO spend (budget, holder, window, tokens, nano, requests)
      VALUES (:budget, :holder, :window, max(:tokens, 0), max(:nano, 0), :requests)
      ON CONFLICT DO UPDATE SET tokens = max(tokens + :tokens, 0), nano = max(nano + :nano, 0), requests = max(requests + :requests, 0)`),
    set: database.prepare(`INSERT INTO spend (budget, holder, window, tokens, nano, requests)
      VALUES (:budget, :holder, :window, :tokens, :nano, 0)
      ON CONFLICT DO UPDATE SET tokens = :tokens, nano = :nano`),
    live: database.prepare(`SELECT coalesce(sum(tokens), 0) AS tokens, coalesce(sum(nano), 0) AS nano,
      count(*) AS holds, coalesce(max(tail), 0) AS tail FROM holds WHERE ${ofAccount} AND charged = 0 AND deadline >= :now`),
    overdue: database.prepare(`SELECT coalesce(sum(tokens), 0) AS tokens, coalesce(sum(nano), 0) AS nano, count(*) AS holds
      FROM holds WHERE ${ofAccount} AND charged = 0 AND deadline < :now`),
    hold: database.prepare(`INSERT INTO holds (id, position, budget, holder, window, tokens, nano, deadline, tail, charged)
      VALUES (:id, :position, :budget, :holder, :window, :tokens, :nano, :deadline, :tail, 0)`),
    holdsOf: database.prepare('SELECT * FROM holds WHERE id = :id ORDER BY position'),
    drop: database.prepare('DELETE FROM holds WHERE id = :id'),
    extend: database.prepare('UPDATE holds SET deadline = max(deadline, :deadline) WHERE id = :id AND charged = 0'),
    expired: database.prepare('SELECT * FROM holds WHERE charged = 0 AND deadline < :now'),
    charge: database.prepare('UPDATE holds SET charged = 1 WHERE charged = 0 AND deadline < :now'),
    isSettled: database.prepare('SELECT 1 AS one FROM settled WHERE id = :id'),
    settle: database.prepare('INSERT OR IGNORE INTO settled (id, at) VALUES (:id, :now)'),
    shrink: database.prepare('UPDATE holds SET tokens = :tokens, nano = :nano, tail = 0 WHERE id = :id AND position = :position'),
    since: database.prepare(`SELECT budget, holder, window FROM spend WHERE window >= :since AND (tokens > 0 OR nano > 0)
      ORDER BY budget, holder, window`),
    learn: database.prepare('INSERT OR REPLACE INTO lessons (name, text, at) VALUES (:name, :text, :now)'),
    lessons: database.prepare('SELECT name, text FROM lessons ORDER BY at'),
    mark: database.prepare(`INSERT OR IGNORE INTO marks (budget, holder, window, mark)
      VALUES (:budget, :holder, :window, :mark)`),
    forget: [
      { statement: database.prepare('DELETE FROM settled WHERE at < :time'), after: kept.ids },
      { statement: database.prepare('DELETE FROM holds WHERE charged = 1 AND deadline < :time'), after: kept.ids },
      { statement: database.prepare('DELETE FROM spend WHERE window < :time'), after: kept.accounts },
      { statement: database.prepare('DELETE FROM marks WHERE window < :time'), after: kept.accounts },
      { statement: database.prepare('DELETE FROM lessons WHERE at < :time'), after: kept.lessons },
    ],
  } as const

  const add = (account: Account, { tokens, nano }: Amount, requests: number): void => {
    statements.add.run({ ...keyOf(account), tokens, nano, requests })
  }

  const balance = (account: Account, now: number): Met => {
    const key = keyOf(account)
    const spent = amountOf(statements.spend.get(key))
    const live = statements.live.get({ ...key, now })
    const overdue = statements.overdue.get({ ...key, now })
    const late = amountOf(overdue)
    return {
      account,
      spent: { tokens: spent.tokens + late.tokens, nano: spent.nano + late.nano },
      held: amountOf(live),
      requests: wholeOf(statements.spend.get(key)?.['requests']) + wholeOf(overdue?.['holds']),
      holds: wholeOf(live?.['holds']),
      tail: wholeOf(live?.['tail']) === 1,
    }
  }

  const shown = (account: Account, now: number): Balance => {
    const { spent, held, requests } = balance(account, now)
    return { account, spent, held, requests }
  }

  return {
    /** Keeps the time, for the next start. */
    tick({ now, floor }: { readonly now: number; readonly floor: number }): void {
      statements.setNow.run({ now })
      if (statements.setFloor.run({ floor }).changes === 0) statements.addFloor.run({ floor })
    },

    kept(): KeptTime {
      const floor = statements.floor.get()?.['floor']
      return { now: wholeOf(statements.now.get()?.['now']), floor: typeof floor === 'number' ? floor : undefined }
    },

    /** Holds past their deadline become charges. */
    expire(now: number): void {
      for (const row of statements.expired.all({ now })) add(accountOf(row), amountOf(row), 1)
      statements.charge.run({ now })
    },

    /** Takes out what nobody asks for any more. `now`: a time that no jump of a clock has moved. */
    forget(now: number): void {
      for (const { statement, after } of statements.forget) statement.run({ time: now - after })
    },

    reserve(id: string, claims: readonly Claim[], deadline: number, now: number): Reserved {
      const before = statements.holdsOf.all({ id })
      if (before.length > 0) return { kind: 'held', holds: before.map(amountOf), tail: before.some((row) => row['tail'] === 1) }
      const balances = claims.map(({ account }) => balance(account, now))
      const judged = claims.map((claim, i) => judge(claim, balances[i]))
      const refused = judged.find((each) => each.kind === 'exhausted') ?? judged.find((each) => each.kind === 'busy')
      if (refused) return refused
      const tail = judged.some((each) => each.kind === 'fits' && each.tail)
      const holds = judged.flatMap((each) => (each.kind === 'fits' ? [each.hold] : []))
      for (const [position, { account }] of claims.entries()) {
        const { tokens = 0, nano = 0 } = holds[position] ?? {}
        statements.hold.run({ id, position, ...keyOf(account), tokens, nano, deadline, tail: tail ? 1 : 0 })
      }
      return { kind: 'held', holds, tail }
    },

    extend(ids: readonly string[], deadline: number): void {
      for (const id of ids) statements.extend.run({ id, deadline })
    },

    shrink(id: string, holds: readonly Amount[]): void {
      for (const [position, row] of statements.holdsOf.all({ id }).entries()) {
        const before = amountOf(row)
        const after = lesser(before, holds[position] ?? before)
        statements.shrink.run({ id, position, ...after })
        if (row['charged'] === 1) add(accountOf(row), minus(after, before), 0)
      }
    },

    settle({ id, accounts, amounts, requests = 1 }: Charge, now: number): void {
      if (statements.isSettled.get({ id })) return
      const charged = statements.holdsOf.all({ id }).filter((row) => row['charged'] === 1)
      for (const row of charged) add(accountOf(row), negative(amountOf(row)), -1)
      for (const [i, account] of accounts.entries()) add(account, amounts[i] ?? nothing, requests)
      statements.drop.run({ id })
      statements.settle.run({ id, now })
    },

    release(id: string): void {
      for (const row of statements.holdsOf.all({ id })) {
        if (row['charged'] === 1) add(accountOf(row), negative(amountOf(row)), -1)
      }
      statements.drop.run({ id })
    },

    balances: (accounts: readonly Account[], now: number): readonly Balance[] => accounts.map((account) => shown(account, now)),

    since: (since: number, now: number): readonly Balance[] =>
      statements.since.all({ since }).map((row) => shown(accountOf(row), now)),

    learn(lessons: readonly Lesson[], now: number): void {
      for (const { name, text } of lessons) statements.learn.run({ name, text, now })
    },

    lessons: (): readonly Lesson[] =>
      statements.lessons.all().map((row) => ({ name: String(row['name']), text: String(row['text']) })),

    set(account: Account, { tokens, nano }: Amount): void {
      statements.set.run({ ...keyOf(account), tokens, nano })
    },

    mark: (account: Account, mark: string): boolean => statements.mark.run({ ...keyOf(account), mark }).changes === 1,
  }
}

/** What one settlement charges. */
interface Charge {
  readonly id: string
  readonly accounts: readonly Account[]
  readonly amounts: readonly Amount[]
  /** Default 1. */
  readonly requests?: number | undefined
}

function keyOf({ budget, holder, window }: Account) {
  return { budget, holder, window }
}

function accountOf(row: Readonly<Record<string, unknown>>): Account {
  return { budget: String(row['budget']), holder: String(row['holder']), window: wholeOf(row['window']) }
}

function amountOf(row: Readonly<Record<string, unknown>> | undefined): Amount {
  return { tokens: wholeOf(row?.['tokens']), nano: wholeOf(row?.['nano']) }
}

function negative({ tokens, nano }: Amount): Amount {
  return { tokens: -tokens, nano: -nano }
}

function wholeOf(value: unknown): number {
  return typeof value === 'number' ? value : 0
}
