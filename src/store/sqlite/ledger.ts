import { Worker } from 'node:worker_threads'
import type { Account, Amount, Balance, Claim, Ledger, Lesson, Reserved } from '#metering/types.ts'
import { mustBeWhole } from '../amounts.ts'
import { LedgerClock } from '../ledger-clock.ts'
import type { KeptTime } from '../ledger-clock.ts'
import { StoreError } from '../store-error.ts'
import type { StoreFault } from '../store-error.ts'

/** What the thread is asked to do. */
export type LedgerOrder =
  | { readonly kind: 'open' }
  | { readonly kind: 'reserve'; readonly id: string; readonly claims: readonly Claim[]; readonly deadline: number }
  | { readonly kind: 'extend'; readonly ids: readonly string[]; readonly deadline: number }
  | { readonly kind: 'shrink'; readonly id: string; readonly holds: readonly Amount[] }
  | {
      readonly kind: 'settle'
      readonly id: string
      readonly accounts: readonly Account[]
      readonly amounts: readonly Amount[]
      /** Default 1. */
      readonly requests?: number | undefined
    }
  | { readonly kind: 'release'; readonly id: string }
  | { readonly kind: 'balances'; readonly accounts: readonly Account[] }
  | { readonly kind: 'set'; readonly account: Account; readonly spent: Amount }
  | { readonly kind: 'mark'; readonly account: Account; readonly mark: string }
  | { readonly kind: 'accounts'; readonly since: number }
  | { readonly kind: 'learn'; readonly lessons: readonly Lesson[] }
  | { readonly kind: 'lessons' }
  | { readonly kind: 'close' }

export interface LedgerRequest {
  readonly seq: number
  /** The ledger's time, and what to keep beside it. */
  readonly time: { readonly now: number; readonly floor: number }
  /** False until what the file has kept of the time is known here. */
  readonly resumed: boolean
  readonly order: LedgerOrder
}

export interface LedgerAnswer {
  readonly seq: number
  /** What the file had kept of the time when it was opened. */
  readonly kept?: KeptTime | undefined
  readonly result?: unknown
  readonly fault?: { readonly code: StoreFault; readonly message: string }
  /** The file was deleted or replaced under us, and what was done. */
  readonly remade?: string
}

interface Waiting {
  readonly resolve: (result: unknown) => void
  readonly reject: (error: Error) => void
}

/** A ledger in one SQLite file, for one replica. The file is made, and its thread begun, when it is first asked. */
export class EmbeddedLedger implements Ledger {
  readonly #path: string
  readonly #wall: () => number
  readonly #onRemade: (what: string) => void
  readonly #onChange: (fault: StoreError | undefined) => void
  readonly #waiting = new Map<number, Waiting>()
  #worker: Worker | undefined
  #opened: Promise<void> | undefined
  readonly #elapsed: () => number
  readonly #clock = new LedgerClock()
  #resumed = false
  #seq = 0
  #fault: string | undefined

  /**
   * `wall`: this machine’s clock, which may be set back and forth. `onChange` is told when the file cannot be used, once for each
   * reason, and `undefined` when it can again. `elapsed`: the monotonic clock. `onRemade`
   * is told when the file was deleted or replaced under us, and was made again.
   */
  constructor(
    path: string,
    wall: () => number = Date.now,
    onChange: (fault: StoreError | undefined) => void = () => {},
    elapsed: () => number = () => performance.now(),
    onRemade: (what: string) => void = () => {},
  ) {
    this.#onRemade = onRemade
    this.#path = path
    this.#wall = wall
    this.#onChange = onChange
    this.#elapsed = elapsed
  }

  now(): number {
    return Math.floor(this.#clock.read(this.#wall(), this.#elapsed()))
  }

  /** Milliseconds that the time of this ledger is ahead of the wall clock; negative: behind. */
  ahead(): number {
    return this.#clock.ahead(this.#wall(), this.#elapsed())
  }

  /** Takes the wall clock for right, and what was spent in windows that have not begun for nothing. Gives their balances. */
  async putRight(): Promise<readonly Balance[]> {
    await this.open()
    const wall = this.#wall()
    this.#clock.set(wall, this.#elapsed())
    const early = await this.accounts(wall + 1)
    for (const { account } of early) await this.set(account, { tokens: 0, nano: 0 })
    return early
  }

  open(): Promise<void> {
    this.#opened ??= this.#ask<void>({ kind: 'open' }).catch((error: unknown) => {
      this.#opened = undefined
      throw error
    })
    return this.#opened
  }

  async reserve(id: string, claims: readonly Claim[], deadline: number): Promise<Reserved> {
    for (const { hold, least } of claims) mustBeWhole(hold, least)
    return this.#ask({ kind: 'reserve', id, claims, deadline })
  }

  async extend(ids: readonly string[], deadline: number): Promise<void> {
    if (ids.length > 0) await this.#ask({ kind: 'extend', ids, deadline })
  }

  async shrink(id: string, holds: readonly Amount[]): Promise<void> {
    mustBeWhole(...holds)
    await this.#ask({ kind: 'shrink', id, holds })
  }

  async settle(id: string, accounts: readonly Account[], amounts: readonly Amount[], requests = 1): Promise<void> {
    mustBeWhole(...amounts)
    await this.#ask({ kind: 'settle', id, accounts, amounts, requests })
  }

  async release(id: string): Promise<void> {
    await this.#ask({ kind: 'release', id })
  }

  async balances(accounts: readonly Account[]): Promise<readonly Balance[]> {
    return accounts.length === 0 ? [] : this.#ask({ kind: 'balances', accounts })
  }

  async set(account: Account, spent: Amount): Promise<void> {
    mustBeWhole(spent)
    await this.#ask({ kind: 'set', account, spent })
  }

  async mark(account: Account, mark: string): Promise<boolean> {
    return this.#ask({ kind: 'mark', account, mark })
  }

  async accounts(since: number): Promise<readonly Balance[]> {
    return this.#ask({ kind: 'accounts', since })
  }

  async learn(lessons: readonly Lesson[]): Promise<void> {
    if (lessons.length > 0) await this.#ask({ kind: 'learn', lessons })
  }

  async lessons(): Promise<readonly Lesson[]> {
    return this.#ask({ kind: 'lessons' })
  }

  async close(): Promise<void> {
    const worker = this.#worker
    if (!worker) return
    await this.#ask({ kind: 'close' }).catch(() => {})
    await worker.terminate()
  }

  async #ask<Result>(order: LedgerOrder): Promise<Result> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    this.#seq += 1
    this.#waiting.set(this.#seq, { resolve, reject })
    const worker = this.#thread()
    // Idle, it is no reason for the process to go on; asked, it is.
    worker.ref()
    const kept = this.#clock.kept(this.#wall(), this.#elapsed())
    const time = { now: Math.floor(kept.now), floor: Math.floor(kept.floor) }
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
    worker.postMessage({ seq: this.#seq, time, resumed: this.#resumed, order } satisfies LedgerRequest)
    try {
      return (await promise) as Result
    } finally {
      if (this.#waiting.size === 0) this.#worker?.unref()
    }
  }

  #thread(): Worker {
    if (this.#worker) return this.#worker
    const worker = new Worker(new URL('ledger-worker.ts', import.meta.url), { workerData: { path: this.#path } })
    worker.on('message', (answers: readonly LedgerAnswer[]) => this.#take(answers))
    worker.on('error', (error: unknown) => this.#lose(worker, error))
    worker.on('exit', () => this.#lose(worker))
    this.#worker = worker
    return worker
  }

  #take(answers: readonly LedgerAnswer[]): void {
    const remade = answers[0]?.remade
    if (remade !== undefined) this.#onRemade(remade)
    for (const { seq, kept, result, fault } of answers) {
      if (kept && !this.#resumed) {
        this.#resumed = true
        this.#clock.resume(kept, this.#wall(), this.#elapsed())
      }
      const waiting = this.#waiting.get(seq)
      this.#waiting.delete(seq)
      const error = fault && new StoreError(fault.code, fault.message)
      this.#notice(error)
      if (error) waiting?.reject(error)
      else waiting?.resolve(result)
    }
  }

  #notice(fault: StoreError | undefined): void {
    if (fault?.message === this.#fault) return
    this.#fault = fault?.message
    this.#onChange(fault)
  }

  /** The thread is gone; the next question begins another. */
  #lose(worker: Worker, cause?: unknown): void {
    if (this.#worker !== worker) return
    this.#worker = undefined
    this.#opened = undefined
    const waiting = [...this.#waiting.values()]
    this.#waiting.clear()
    const error = new StoreError('store_io', `${this.#path}: the ledger’s thread has ended`, { cause })
    if (waiting.length > 0) this.#notice(error)
    for (const { reject } of waiting) reject(error)
  }
}
