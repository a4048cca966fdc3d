import type { Clock } from '#base/clock.ts'
import { keyOf } from './account.ts'
import { lesser, nothing } from './amount.ts'
import { Lease, leaseSize, mayLease } from './lease.ts'
import type { Account, Amount, Balance, Claim, Ledger, Lesson, Reserved } from './types.ts'

/**
 * An account that is used `often` within `interest` gets a lease, and one that is not used for as long gives it back: a lease costs two
 * writes, and one a beat. `again`: how long to wait after a lease was not to be had; `life`: when the ledger charges a lease that is not
 * extended. All in milliseconds but the first.
 */
const terms = { often: 4, interest: 10_000, again: 5_000, life: 60_000 } as const

/** An account in use, and the leases of it: the one that new requests run on, and those that only end what runs. */
interface Share {
  usedAt: number
  /** How often it was used without a pause. */
  uses: number
  /** Not before this is a lease asked for. */
  notBefore: number
  taking: boolean
  current: Lease | undefined
  readonly old: Set<Lease>
}

/** What one request holds of each lease. */
interface Hold {
  readonly leases: readonly Lease[]
  amounts: readonly Amount[]
}

/**
 * A ledger that answers most requests from memory. It takes a lease of each account that is in use: a hold like any other to the ledger
 * below, which is durable before it is spent from. Requests that fit into a lease are held and charged there, and what they used is
 * reported once a beat. All others go to the ledger below. What a process that dies has not reported counts as spent, as its leases
 * are holds that nobody settles.
 */
export class LeasedLedger implements Ledger {
  readonly #below: Ledger
  readonly #clock: Clock
  readonly #shares = new Map<string, Share>()
  readonly #holds = new Map<string, Hold>()
  /** The ledger has failed, and has not answered since: nothing new runs on leases, and the policy decides what becomes of it. */
  #failing = false
  /** Reports and balances, one after the other: what is on its way must not be counted twice, or not at all. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor(below: Ledger, clock: Clock) {
    this.#below = below
    this.#clock = clock
  }

  open(): Promise<void> {
    return this.#below.open()
  }

  now(): number {
    return this.#below.now()
  }

  /** Holds all claims on leases and asks nobody; `undefined`: they do not cover them. */
  hold(id: string, claims: readonly Claim[]): Reserved | undefined {
    const now = this.#clock.elapsed()
    const leases: Lease[] = []
    for (const [at, claim] of claims.entries()) {
      const share = this.#use(claim, `${id}:${at}`, now)
      if (share.current?.covers(claim)) leases.push(share.current)
    }
    if (this.#failing || leases.length < claims.length || claims.length === 0) return undefined
    const amounts = claims.map(({ hold }) => hold)
    for (const [i, lease] of leases.entries()) lease.hold(amounts[i] ?? nothing)
    this.#holds.set(id, { leases, amounts })
    return { kind: 'held', holds: amounts, tail: false }
  }

  async reserve(id: string, claims: readonly Claim[], deadline: number): Promise<Reserved> {
    const held = this.#holds.get(id)
    if (held) return { kind: 'held', holds: held.amounts, tail: false }
    return this.hold(id, claims) ?? this.ask(id, claims, deadline)
  }

  /** Holds all claims in the ledger below, or none. */
  async ask(id: string, claims: readonly Claim[], deadline: number): Promise<Reserved> {
    const reserved = await this.#below.reserve(id, claims, deadline)
    if (reserved.kind === 'held') {
      if (!reserved.blind) this.#failing = false
      return reserved
    }
    // What is free in leases of ours may be just what is missing, and what was used of them is held there and not yet spent.
    if (!(await this.#giveBack(claims.map(({ account }) => account)))) return reserved
    return this.#below.reserve(id, claims, deadline)
  }

  async extend(ids: readonly string[], deadline: number): Promise<void> {
    const leases = [...this.#shares.values()].flatMap(leasesOf).map(({ id }) => id)
    const all = [...ids.filter((id) => !this.#holds.has(id)), ...leases]
    if (all.length > 0) await this.#below.extend(all, deadline)
  }

  async shrink(id: string, holds: readonly Amount[]): Promise<void> {
    const held = this.#holds.get(id)
    if (!held) return this.#below.shrink(id, holds)
    const amounts = held.amounts.map((before, i) => lesser(before, holds[i] ?? before))
    for (const [i, lease] of held.leases.entries()) lease.shrink(held.amounts[i] ?? nothing, amounts[i] ?? nothing)
    held.amounts = amounts
  }

  async settle(id: string, accounts: readonly Account[], amounts: readonly Amount[], requests?: number): Promise<void> {
    if (!this.charge(id, amounts)) await this.#below.settle(id, accounts, amounts, requests)
  }

  /** Charges a request to the leases that it runs on. `false`: it runs on none, or they do not afford it; it is off them either way. */
  charge(id: string, amounts: readonly Amount[]): boolean {
    const { leases = noLeases } = this.#take(id) ?? {}
    if (leases.length === 0) return false
    for (let i = 0; i < leases.length; i += 1) if (!leases[i]?.affords(amounts[i] ?? nothing)) return false
    for (let i = 0; i < leases.length; i += 1) leases[i]?.charge(amounts[i] ?? nothing)
    return true
  }

  async release(id: string): Promise<void> {
    if (!this.#take(id)) await this.#below.release(id)
  }

  async balances(accounts: readonly Account[]): Promise<readonly Balance[]> {
    if (!accounts.some((account) => this.#shares.has(keyOf(account)))) return this.#below.balances(accounts)
    return this.#inTurn(async () => (await this.#below.balances(accounts)).map((balance) => this.#shown(balance)))
  }

  async accounts(since: number): Promise<readonly Balance[]> {
    return this.#inTurn(async () => (await this.#below.accounts(since)).map((balance) => this.#shown(balance)))
  }

  async set(account: Account, spent: Amount): Promise<void> {
    await this.#giveBack([account])
    await this.#below.set(account, spent)
  }

  mark(account: Account, mark: string): Promise<boolean> {
    return this.#below.mark(account, mark)
  }

  learn(lessons: readonly Lesson[]): Promise<void> {
    return this.#below.learn(lessons)
  }

  lessons(): Promise<readonly Lesson[]> {
    return this.#below.lessons()
  }

  /** True if a request runs on a lease. */
  leases(id: string): boolean {
    return this.#holds.has(id)
  }

  /** Reports what leases were used for, and gives back those that are not. `false`: there are none. Never rejects. */
  async beat(): Promise<boolean> {
    const now = this.#clock.elapsed()
    for (const share of this.#shares.values()) if (now - share.usedAt >= terms.interest) retire(share)
    try {
      await this.#report([...this.#shares.values()])
      this.#failing = false
    } catch {
      this.#failing = true
    }
    for (const [key, share] of this.#shares)
      if (leasesOf(share).length === 0 && !share.taking && now - share.usedAt >= terms.interest) this.#shares.delete(key)
    return this.#shares.size > 0
  }

  /** Gives everything back that nothing runs on. Never rejects: what the ledger cannot take now it charges. */
  async giveBackAll(): Promise<void> {
    for (const share of this.#shares.values()) retire(share)
    await this.#report([...this.#shares.values()]).catch(ignore)
  }

  /** Does not close the ledger below before it has what was used. */
  async close(): Promise<void> {
    await this.giveBackAll()
    await this.#below.close()
  }

  /** An account is used: one that is used often is worth a lease. */
  #use(claim: Claim, id: string, now: number): Share {
    const key = keyOf(claim.account)
    let share = this.#shares.get(key)
    if (!share) {
      share = { usedAt: now, uses: 0, notBefore: 0, taking: false, current: undefined, old: new Set() }
      this.#shares.set(key, share)
    }
    share.uses = now - share.usedAt < terms.interest ? share.uses + 1 : 1
    share.usedAt = now
    const wanted = !share.current || share.current.low || !share.current.covers(claim)
    if (share.uses >= terms.often && wanted && !share.taking && now >= share.notBefore && mayLease(claim))
      void this.#lease(share, claim, `lease:${id}`)
    return share
  }

  async #lease(share: Share, claim: Claim, id: string): Promise<void> {
    share.taking = true
    const { account, limit } = claim
    try {
      const [balance] = await this.balances([account])
      const size = balance && leaseSize(claim, balance)
      const reserved =
        size && (await this.#below.reserve(id, [{ account, limit, hold: size, least: size }], this.now() + terms.life))
      if (size && reserved?.kind === 'held' && !reserved.tail && !reserved.blind) {
        retire(share)
        share.current = new Lease(id, claim, size)
      } else {
        share.notBefore = this.#clock.elapsed() + terms.again
        if (reserved?.kind === 'held') await this.#below.release(id)
      }
    } catch {
      share.notBefore = this.#clock.elapsed() + terms.again
    } finally {
      share.taking = false
    }
  }

  /** Gives back what is free in the leases of these accounts. `false`: they have none. */
  async #giveBack(accounts: readonly Account[]): Promise<boolean> {
    const shares = accounts.flatMap((account) => this.#shares.get(keyOf(account)) ?? [])
    const leased = shares.filter((share) => leasesOf(share).length > 0)
    for (const share of leased) {
      retire(share)
      share.notBefore = this.#clock.elapsed() + terms.again
    }
    if (leased.length > 0) await this.#report(leased)
    return leased.length > 0
  }

  /** Takes a request off its leases. */
  #take(id: string): Hold | undefined {
    const held = this.#holds.get(id)
    this.#holds.delete(id)
    for (const [i, lease] of held?.leases.entries() ?? []) lease.release(held?.amounts[i] ?? nothing)
    return held
  }

  #report(shares: readonly Share[]): Promise<void> {
    return this.#inTurn(async () => {
      for (const share of shares) {
        if (share.current) await this.#tell(share.current)
        for (const lease of share.old) {
          await this.#tell(lease)
          // Nothing new runs on it, so that what is idle and reported stays so.
          if (lease.idle && !lease.part()) {
            await this.#below.release(lease.id)
            share.old.delete(lease)
          } else await this.#below.shrink(lease.id, [lease.giveUp()])
        }
      }
    })
  }

  /** What was used by now; what is used meanwhile has the next beat. The charge first, and only then is less held: a process that dies between the two has spent more, and never less. */
  async #tell(lease: Lease): Promise<void> {
    const part = lease.part()
    if (!part) return
    await this.#below.settle(part.id, [lease.account], [part.amount], part.requests)
    lease.reported(part)
    await this.#below.shrink(lease.id, [lease.size])
  }

  #shown(balance: Balance): Balance {
    const share = this.#shares.get(keyOf(balance.account))
    return share ? leasesOf(share).reduce((shown, lease) => lease.show(shown), balance) : balance
  }

  #inTurn<Result>(act: () => Promise<Result>): Promise<Result> {
    const turn = this.#turn.then(act)
    this.#turn = turn.catch(ignore)
    return turn
  }
}

const noLeases: readonly Lease[] = []

/** Nothing new runs on its lease. */
function retire(share: Share): void {
  if (share.current) share.old.add(share.current)
  share.current = undefined
}

function leasesOf({ current, old }: Share): readonly Lease[] {
  return current ? [current, ...old] : [...old]
}

function ignore(): void {}
