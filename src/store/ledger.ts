import { Worker } from 'node:worker_threads'
import type { Account, Amount, Balance, Claim, Ledger, Lesson, Reserved } from '#metering/types.ts'
import { mustBeWhole } from './amounts.ts'
import { StoreError } from './store-error.ts'
import type { StoreFault } from './store-error.ts'

/** What the thread is asked to do. */
export type Order =
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

export interface Asked {
  readonly seq: number
  /** Milliseconds since the epoch as this machine has it. */
  readonly wall: number
  readonly order: Order
}

/** `now`: the ledger's time. */
export interface Answer {
  readonly seq: number
  readonly now?: number
  readonly result?: unknown
  readonly fault?: { readonly code: StoreFault; readonly message: string }
}

interface Waiting {
  readonly resolve: (result: unknown) => void
  readonly reject: (error: Error) => void
}

/** A ledger in one SQLite file, for one replica. The file is made, and its thread begun, when it is first asked. */
export class EmbeddedLedger implements Ledger {
  readonly #path: string
  readonly #wall: () => number
  readonly #onChange: (fault: StoreError | undefined) => void
  readonly #waiting = new Map<number, Waiting>()
  #worker: Worker | undefined
  #opened: Promise<void> | undefined
  #seq = 0
  #now = 0
  #fault: string | undefined

  /**
   * `wall`: this machine’s clock, which may be set back and forth. `onChange` is told when the file cannot be used, once for each
   * reason, and `undefined` when it can again.
   */
  constructor(path: string, wall: () => number = Date.now, onChange: (fault: StoreError | undefined) => void = () => {}) {
    this.#path = path
    this.#wall = wall
    this.#onChange = onChange
  }

  now(): number {
    this.#now = Math.max(this.#now, this.#wall())
    return this.#now
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

  async #ask<Result>(order: Order): Promise<Result> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    this.#seq += 1
    this.#waiting.set(this.#seq, { resolve, reject })
    const worker = this.#thread()
    // Idle, it is no reason for the process to go on; asked, it is.
    worker.ref()
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
    worker.postMessage({ seq: this.#seq, wall: this.#wall(), order } satisfies Asked)
    try {
      return (await promise) as Result
    } finally {
      if (this.#waiting.size === 0) this.#worker?.unref()
    }
  }

  #thread(): Worker {
    if (this.#worker) return this.#worker
    const worker = new Worker(new URL('ledger-worker.ts', import.meta.url), { workerData: { path: this.#path } })
    worker.on('message', (answers: readonly Answer[]) => this.#take(answers))
    worker.on('error', (error: unknown) => this.#lose(worker, error))
    worker.on('exit', () => this.#lose(worker))
    this.#worker = worker
    return worker
  }

  #take(answers: readonly Answer[]): void {
    for (const { seq, now = 0, result, fault } of answers) {
      this.#now = Math.max(this.#now, now)
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
