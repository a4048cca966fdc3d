/**
 * The thread that owns the ledger's file. Writing to disk takes milliseconds, which the data plane has not: what comes in while
 * one transaction is being written is the next one, all of it (group commit).
 */
import { parentPort, workerData } from 'node:worker_threads'
import type { DatabaseSync } from 'node:sqlite'
import { accountsIn, openAccounts } from './accounts.ts'
import type { Accounts } from './accounts.ts'
import { transact } from './database.ts'
import { describeRemade, HeldFile } from './held-file.ts'
import type { LedgerAnswer, LedgerRequest, LedgerOrder } from './ledger.ts'
import { toStoreError } from '../store-error.ts'

const { path } = workerData as { readonly path: string }
/** Milliseconds between two attempts to open what could not be opened, and between two rounds of forgetting. */
const pause = { open: 1_000, forget: 3_600_000 } as const

/** What changes nothing needs no transaction. */
const reads: ReadonlySet<LedgerOrder['kind']> = new Set<LedgerOrder['kind']>(['balances', 'accounts', 'lessons', 'open'])

let open: { readonly database: DatabaseSync; readonly accounts: Accounts; readonly file: HeldFile } | undefined
let remade: string | undefined
let firstOpen = true
let failedAt = Number.NEGATIVE_INFINITY
let failure: unknown
let forgotAt = Number.NEGATIVE_INFINITY
let waiting: LedgerRequest[] = []

parentPort?.on('message', (asked: LedgerRequest) => {
  waiting.push(asked)
  // What else has arrived by the next turn goes with it.
  if (waiting.length === 1) setImmediate(work)
})

function work(): void {
  const batch = waiting
  waiting = []
  const answered = answers(batch)
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
  parentPort?.postMessage(remade === undefined ? answered : answered.map((each) => ({ ...each, remade })))
  remade = undefined
  if (batch.some(({ order }) => order.kind === 'close')) parentPort?.close()
}

function answers(batch: readonly LedgerRequest[]): readonly LedgerAnswer[] {
  try {
    const { database, accounts } = ready()
    const kept = accounts.kept()
    const asked = batch.reduce((one, other) => (other.time.now > one.time.now ? other : one)).time
    // Until the time of the file is known there, what is said of the time may be a clock that is wrong since before our start.
    const resumed = batch.every((each) => each.resumed)
    const now = resumed ? asked.now : Math.max(asked.now, kept.now)
    const answer = ({ seq, order }: LedgerRequest): LedgerAnswer => ({
      seq,
      kept: resumed ? undefined : kept,
      result: apply(order, accounts, now),
    })
    if (batch.every(({ order }) => reads.has(order.kind))) return batch.map(answer)
    return transact(database, () => {
      if (resumed) accounts.tick(asked)
      accounts.expire(now)
      if (resumed && performance.now() - forgotAt > pause.forget) {
        accounts.forget(asked.floor)
        forgotAt = performance.now()
      }
      return batch.map(answer)
    })
  } catch (error) {
    const { code, message } = toStoreError(path, error, 'ledger')
    close()
    // What was only told again is no new failure: the next attempt comes when it is due.
    if (error !== failure) {
      failure = error
      failedAt = performance.now()
    }
    return batch.map(({ seq, order }) =>
      order.kind === 'close' ? { seq, result: undefined } : { seq, fault: { code, message } },
    )
  } finally {
    if (batch.some(({ order }) => order.kind === 'close')) close()
  }
}

function ready(): { readonly database: DatabaseSync; readonly accounts: Accounts } {
  if (open?.file.isThere()) return open
  if (open) {
    remade = describeRemade(path, open.file.remake(open.database))
    open = undefined
  }
  if (performance.now() - failedAt < pause.open) throw failure
  const database = openAccounts(path)
  const accounts = accountsIn(database)
  // Who held these is no more: what they may have spent counts as spent.
  if (firstOpen) transact(database, () => accounts.expire(Number.MAX_SAFE_INTEGER))
  firstOpen = false
  open = { database, accounts, file: new HeldFile(path) }
  return open
}

function close(): void {
  try {
    open?.database.close()
  } catch {
    // It is given up either way.
  }
  open = undefined
}

function apply(order: LedgerOrder, accounts: Accounts, now: number): unknown {
  switch (order.kind) {
    case 'reserve':
      return accounts.reserve(order.id, order.claims, order.deadline, now)
    case 'extend':
      return accounts.extend(order.ids, order.deadline)
    case 'settle':
      return accounts.settle(order, now)
    case 'shrink':
      return accounts.shrink(order.id, order.holds)
    case 'release':
      return accounts.release(order.id)
    case 'balances':
      return accounts.balances(order.accounts, now)
    case 'set':
      return accounts.set(order.account, order.spent)
    case 'mark':
      return accounts.mark(order.account, order.mark)
    case 'accounts':
      return accounts.since(order.since, now)
    case 'learn':
      return accounts.learn(order.lessons, now)
    case 'lessons':
      return accounts.lessons()
    case 'open':
    case 'close':
      return undefined
    default:
      return order satisfies never
  }
}
