import { lesser } from '#metering/amount.ts'
import type { Account, Amount, Balance, Claim, Ledger, Lesson, Reserved } from '#metering/types.ts'
import { accountKey, accountOfKey, mustBeWhole } from '../amounts.ts'
import type { Journal, Owed } from './journal.ts'
import { ledgerScript } from './ledger-script.ts'
import { RedisLeases } from './leases.ts'
import { LedgerClock } from '../ledger-clock.ts'
import { scriptOf } from './client.ts'
import type { RedisMember, RedisLink } from './link.ts'
import { StoreError } from '../store-error.ts'

/** A hold of a request that still runs here. */
interface Live {
  readonly claims: readonly { readonly account: Account; readonly hold: Amount }[]
  readonly tail: boolean
}

const script = scriptOf(ledgerScript)
/** Milliseconds: what a hold that is brought back lives for unless it is extended, and how long a settled id is told again. */
const times = { hold: 60_000, settled: 120_000 } as const
/** The clocks of this machine, in milliseconds: the wall's, and the monotonic one. */
export interface MachineTime {
  wall(): number
  elapsed(): number
}

const machine: MachineTime = { wall: Date.now, elapsed: () => performance.now() }

/** Accounts in one order: what is brought back must not keep the server from others for long. */
const batch = 200

/**
 * The ledger of several replicas, in Redis. What it has charged is in its journal too, and what runs is in its memory, so that a
 * server that lost something is told again before it is asked. While the server is away, requests run on what this replica has
 * leased, and settlements wait in the journal.
 */
export class RedisLedger implements Ledger, RedisMember {
  readonly #link: RedisLink
  readonly #journal: Journal
  readonly #leases = new RedisLeases()
  readonly #live = new Map<string, Live>()
  /** When each was settled, on the monotonic clock. */
  readonly #settled = new Map<string, number>()
  /** Holds that may be there though nobody has them. */
  readonly #unwanted = new Set<string>()
  readonly #time: MachineTime
  readonly #clock = new LedgerClock()
  /** What the server said last of the time of budgets, and when on our monotonic clock. */
  #heard: { readonly now: number; readonly elapsed: number } | undefined

  constructor(link: RedisLink, journal: Journal, time: MachineTime = machine) {
    this.#link = link
    this.#journal = journal
    this.#time = time
    link.enter(this)
  }

  now(): number {
    const [heard, elapsed] = [this.#heard, this.#time.elapsed()]
    return Math.floor(heard ? heard.now + elapsed - heard.elapsed : this.#clock.read(this.#time.wall(), elapsed))
  }

  /** Milliseconds that the time of this ledger is ahead of the wall clock; negative: behind. */
  ahead(): number {
    return this.now() - this.#time.wall()
  }

  /** Takes the wall clock for right, and what was spent in windows that have not begun for nothing. Gives their balances. */
  async putRight(): Promise<readonly Balance[]> {
    const wall = this.#time.wall()
    this.#clock.set(wall, this.#time.elapsed())
    const early = await this.accounts(wall + 1)
    for (const { account } of early) await this.set(account, { tokens: 0, nano: 0 })
    return early
  }

  open(): Promise<void> {
    return this.#link.opened()
  }

  async reserve(id: string, claims: readonly Claim[], deadline: number): Promise<Reserved> {
    for (const { hold, least } of claims) mustBeWhole(hold, least)
    this.#leases.want(claims)
    try {
      const order = { id, deadline, claims: claims.map((claim) => ({ ...claim, account: shaped(claim.account) })) }
      const result = await this.#ask('reserve', claims.map(accountIn), order)
      return this.#entered(id, claims, readReserved(result, claims))
    } catch (error) {
      const blind = this.#leases.reserve(id, claims)
      // Nobody knows whether the order was carried out: with a hold of this id it can be settled, without it must go.
      if (!blind) this.#unwanted.add(id)
      if (blind) return this.#entered(id, claims, blind)
      throw error
    }
  }

  async extend(ids: readonly string[], deadline: number): Promise<void> {
    if (ids.length > 0) await this.#ask('extend', [], { ids, deadline })
  }

  async shrink(id: string, holds: readonly Amount[]): Promise<void> {
    mustBeWhole(...holds)
    const live = this.#live.get(id)
    // What is brought back to a server that lost it must be no more than this either.
    if (live) this.#live.set(id, { tail: false, claims: live.claims.map((each, i) => shrunk(each, holds[i])) })
    await this.#ask('shrink', [], { id, holds })
  }

  async settle(id: string, accounts: readonly Account[], amounts: readonly Amount[], requests = 1): Promise<void> {
    mustBeWhole(...amounts)
    this.#leases.settle(id, amounts)
    try {
      await this.#pay(id, { accounts, amounts, requests })
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      await this.#journal.owe(id, { accounts, amounts, requests })
    }
    this.#live.delete(id)
  }

  async release(id: string): Promise<void> {
    this.#leases.release(id)
    this.#live.delete(id)
    this.#unwanted.add(id)
    // Where it cannot be told now, it is told with the next beat.
    await this.#ask('release', [], { id }).then(
      () => this.#unwanted.delete(id),
      () => {},
    )
  }

  async balances(accounts: readonly Account[]): Promise<readonly Balance[]> {
    if (accounts.length === 0) return []
    const rows = (await this.#ask('balances', accounts, {})) as readonly (readonly string[])[]
    return accounts.map((account, i) => readBalance(account, rows[i] ?? []))
  }

  async set(account: Account, spent: Amount): Promise<void> {
    mustBeWhole(spent)
    await this.#ask('set', [account], { spent })
  }

  async mark(account: Account, mark: string): Promise<boolean> {
    const [taken] = await this.#ask('mark', [account], { mark })
    return taken === 1
  }

  async accounts(since: number): Promise<readonly Balance[]> {
    const rows = (await this.#ask('accounts', [], { since })) as readonly (readonly [string, readonly string[]])[]
    return rows.flatMap(([key, words]) => {
      const account = accountOfKey(key)
      const balance = account && readBalance(account, words)
      return balance && (balance.spent.tokens > 0 || balance.spent.nano > 0) ? [balance] : []
    })
  }

  async learn(lessons: readonly Lesson[]): Promise<void> {
    if (lessons.length > 0) await this.#ask('learn', [], { lessons })
  }

  async lessons(): Promise<readonly Lesson[]> {
    const words = (await this.#ask('lessons', [], {})) as readonly string[]
    return Array.from({ length: words.length / 2 }, (_, i) => ({ name: words[2 * i] ?? '', text: words[2 * i + 1] ?? '' }))
  }

  async close(): Promise<void> {
    this.#link.leave(this)
    await this.#journal.flush().catch(() => {})
  }

  /** Tells a server everything that is known here. */
  async bring(): Promise<void> {
    const spends = [...this.#journal.spends].flatMap(([key, replicas]) => {
      const account = accountOfKey(key)
      return account ? [{ account: shaped(account), counts: Object.fromEntries(replicas) }] : []
    })
    this.#forgetSettled()
    const deadline = this.now() + times.hold
    const holds = [...this.#live].map(([id, { claims, tail }]) => ({
      id,
      tail,
      deadline,
      claims: claims.map(({ account, hold }) => ({ account: shaped(account), ...hold })),
    }))
    const settled = [...this.#settled.keys()]
    for (let at = 0; at === 0 || at < Math.max(spends.length, holds.length, settled.length); at += batch) {
      const part = <Each>(all: readonly Each[]) => all.slice(at, at + batch)
      const order = {
        spends: part(spends),
        holds: part(holds),
        settled: part(settled),
        known: this.#heard && this.now(),
        ...this.#clockNow(),
      }
      this.#learn(await this.#link.tell(script, { verb: 'bring', me: this.#journal.replica, ...order }))
    }
  }

  /** Tells what could not be told, and renews the leases. */
  async beat(): Promise<void> {
    for (const [id, owed] of this.#journal.owed) {
      await this.#pay(id, owed)
      this.#journal.paid(id)
    }
    for (const id of this.#unwanted) {
      await this.#ask('release', [], { id })
      this.#unwanted.delete(id)
    }
    const due = this.#leases.due(this.now())
    if (!due) return
    const order = { ...due.order, leases: due.order.leases.map((each) => ({ ...each, account: shaped(each.account) })) }
    due.take((await this.#ask('lease', [], order)) as readonly number[])
  }

  async #pay(id: string, { accounts, amounts, requests = 1 }: Owed): Promise<void> {
    await this.#ask('settle', accounts, { id, amounts, requests })
    this.#settled.set(id, performance.now())
    this.#forgetSettled()
  }

  #forgetSettled(): void {
    for (const [id, at] of this.#settled) {
      if (performance.now() - at < times.settled) return
      this.#settled.delete(id)
    }
  }

  #entered(id: string, claims: readonly Claim[], reserved: Reserved): Reserved {
    if (reserved.kind !== 'held') return reserved
    const { holds, tail } = reserved
    this.#live.set(id, { tail, claims: claims.map(({ account }, i) => ({ account, hold: holds[i] ?? { tokens: 0, nano: 0 } })) })
    return reserved
  }

  async #ask(verb: string, accounts: readonly Account[], order: object): Promise<readonly unknown[]> {
    const me = this.#journal.replica
    const reply = await this.#link.ask(script, () => ({
      verb,
      me,
      ...this.#clockNow(),
      accounts: accounts.map(shaped),
      floors: accounts.map(accountKey).flatMap((key) => {
        const counts = this.#journal.spends.get(key)?.get(me)
        return counts ? [{ key, counts }] : []
      }),
      ...order,
    }))
    return this.#learn(['ok', ...reply])
  }

  /** Our clock, which the server compares with its own. */
  #clockNow(): { readonly clock: number; readonly floor: number } {
    const { now, floor } = this.#clock.kept(this.#time.wall(), this.#time.elapsed())
    return { clock: Math.floor(now), floor: Math.floor(floor) }
  }

  /** Takes in what a reply says of time and accounts; gives its result. */
  #learn([, now, result, views]: readonly unknown[]): readonly unknown[] {
    this.#heard = { now: Number(now), elapsed: this.#time.elapsed() }
    for (const [key = '', , fields = []] of (views ?? []) as readonly (readonly [string, string, readonly string[]])[]) {
      for (let i = 0; i + 1 < fields.length; i += 2)
        this.#journal.learn(key, fields[i] ?? '', (fields[i + 1] ?? '').split(' ').map(Number))
    }
    return (result ?? []) as readonly unknown[]
  }
}

function shrunk(claim: Live['claims'][number], most: Amount | undefined): Live['claims'][number] {
  return most ? { ...claim, hold: lesser(claim.hold, most) } : claim
}

/** An account as the script wants it: its name, and when its keys may go. */
function shaped(account: Account): { readonly key: string; readonly window: number } {
  return { key: accountKey(account), window: account.window }
}

function accountIn({ account }: Claim): Account {
  return account
}

function readReserved([kind, ...rest]: readonly unknown[], claims: readonly Claim[]): Reserved {
  if (kind === 'held') {
    const [tail, ...numbers] = rest
    const holds = claims.map((_, i) => ({ tokens: Number(numbers[2 * i] ?? 0), nano: Number(numbers[2 * i + 1] ?? 0) }))
    return { kind: 'held', holds, tail: tail === '1' }
  }
  const [position, measure, balance] = rest as unknown as readonly [number, 'tokens' | 'usd', readonly string[]]
  const account = claims[position - 1]?.account
  if (!account) throw new StoreError('store_corrupt', 'the ledger answers about an account it was not asked about')
  if (kind === 'busy') return { kind: 'busy', account }
  return { kind: 'exhausted', account, measure, balance: readBalance(account, balance) }
}

function readBalance(account: Account, words: readonly string[]): Balance {
  const [tokens = 0, nano = 0, heldTokens = 0, heldNano = 0, requests = 0] = words.map(Number)
  return { account, spent: { tokens, nano }, held: { tokens: heldTokens, nano: heldNano }, requests }
}
