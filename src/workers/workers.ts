import { randomBytes } from 'node:crypto'
import { createServer } from 'node:net'
import type { Address } from '#base/address.ts'
import type { Clock } from '#base/clock.ts'
import type { Authority } from '#ca/authority.ts'
import { imageOfAuthority } from '#ca/authority-replica.ts'
import { newLeafKey } from '#ca/leaf.ts'
import type { Settings } from '#config/settings-schema.ts'
import type { Lookups } from '#identity/owners-replica.ts'
import type { Owner } from '#contracts/owners.ts'
import type { BudgetEvent } from '#metering/notice.ts'
import type { Account, Budget } from '#metering/types.ts'
import type { OwnSocket } from '#upstream/own.ts'
import { Member } from './member.ts'
import { doorAddresses } from './plane.ts'
import type { DataPlane } from './plane.ts'
import { SharedLedger } from './shared-ledger.ts'
import type { DoorPorts, WorkerAssignment, MainSide, Pulse, TrustImage, WorkerState } from './protocol.ts'

/** What the main thread knows, asked whenever a worker has to be told. */
export interface WorkerFacts {
  /** `undefined`: nothing was ever loaded. */
  readonly policy: () => WorkerState['policy'] | undefined
  readonly trust: () => { readonly issuer: Authority; readonly ours: string }
  readonly runs: () => WorkerState['runs']
  readonly owners: () => WorkerState['owners']
  readonly pending: () => boolean
  readonly auditRefuses: () => boolean
  readonly own: () => readonly OwnSocket[]
}

export interface WorkersOptions {
  readonly settings: Settings
  readonly extraRoots: readonly string[]
  readonly known: WorkerFacts
  /** What workers may ask; the room itself adds what is about the others among them. */
  readonly main: Omit<MainSide, 'pulse'>
  readonly clock: Clock
  readonly say: (level: 'info' | 'warn' | 'error', fields: object, message: string) => void
  readonly lookups: (lookups: Lookups) => void
  /** So many workers serve now. */
  readonly up: (workers: number) => void
  readonly restarted: () => void
}

/** Milliseconds: between two looks at what may change by itself; how long a reload waits for a worker. */
const times = { look: 1_000, patience: 5_000 } as const

/** Data planes on threads of their own. One that ends of itself costs its own connections, and another takes its place. */
export class Workers implements DataPlane {
  readonly #options: WorkersOptions
  readonly #errand: WorkerAssignment
  readonly #members: readonly Member[]
  readonly #pulses = new Map<Member, Pulse>()
  readonly #teller: SharedLedger
  #ports: DoorPorts = {}
  #trust: { readonly issuer: Authority; readonly ours: string } | undefined
  #pending = false
  #auditRefuses = false
  #own = ''
  #valuesChanged = false
  #forget = (): void => {}
  #stopping = false

  constructor(options: WorkersOptions) {
    this.#options = options
    const { settings, extraRoots } = options
    const { upstream, listen, advertise, workers } = settings
    const allowPrivate = upstream.allowPrivate.map(({ text }) => text)
    const keys = { leafKey: newLeafKey(), ticketKeys: randomBytes(48) }
    this.#teller = new SharedLedger(options.main.ledger)
    this.#errand = { upstream: { ...upstream, allowPrivate }, listen, advertise, extraRoots, ...keys, workers }
    this.#members = Array.from({ length: workers }, (_, index) => this.#member(index + 1))
  }

  async start(): Promise<DoorPorts> {
    const [first, ...others] = this.#members
    const doors = Object.values(doorAddresses(this.#errand.listen)).filter((each) => each !== undefined)
    try {
      await Promise.all(doors.filter(({ port }) => port !== 0).map(mustBeFree))
      // Any port is the one that the first finds.
      const found = first?.start()
      if (doors.some(({ port }) => port === 0)) this.#ports = (await found) ?? {}
      const [ports] = await Promise.all([found, ...others.map((member) => member.start())])
      this.#ports = ports ?? {}
    } catch (error) {
      await this.close()
      throw error
    }
    this.#look()
    return this.#ports
  }

  get ready(): boolean {
    return this.#members.some(({ up }) => up)
  }

  get running(): number {
    return sum([...this.#pulses.values()].map(({ running }) => running))
  }

  get connections(): Readonly<Record<string, number>> {
    const doors = ['http', 'https', 'proxy']
    return Object.fromEntries(
      doors.map((door) => [door, sum([...this.#pulses.values()].map(({ connections }) => connections[door] ?? 0))]),
    )
  }

  get leafs(): number {
    return sum([...this.#pulses.values()].map(({ leafs }) => leafs))
  }

  get waiting(): Readonly<Record<string, number>> {
    const all = [...this.#pulses.values()].map(({ waiting }) => waiting)
    const budgets = new Set(all.flatMap((each) => Object.keys(each)))
    return Object.fromEntries([...budgets].map((budget) => [budget, sum(all.map((each) => each[budget] ?? 0))]))
  }

  /** Seconds: see `Pulse`, of the worker that is latest. */
  get lag(): number {
    return Math.max(0, ...[...this.#pulses.values()].map(({ lag }) => lag))
  }

  /** For operators. */
  rows(): readonly object[] {
    return this.#members.map((member, index) => {
      const { running = 0, connections = {}, lag } = this.#pulses.get(member) ?? {}
      return { worker: index + 1, serves: member.up, running, connections, lag }
    })
  }

  taken(): void {
    this.notice()
    const policy = this.#options.known.policy()
    this.#valuesChanged = false
    if (policy) this.#all(({ line }) => line?.tell('policy', policy))
  }

  /** A real value has changed. What changes in one turn is told once, and a new policy takes its values along. */
  valuesChanged(): void {
    if (this.#valuesChanged) return
    this.#valuesChanged = true
    queueMicrotask(() => this.#tellValues())
  }

  /** Tells what has changed by itself: an intermediate that grew old, the last pod that became known. */
  notice(): void {
    const { trust, pending, auditRefuses, own } = this.#options.known
    const { issuer, ours } = trust()
    if (this.#trust && (issuer !== this.#trust.issuer || ours !== this.#trust.ours)) {
      const image = this.#trustNow()
      this.#all(({ line }) => line?.tell('trust', image))
    }
    if (pending() !== this.#pending) {
      this.#pending = pending()
      this.#all(({ line }) => line?.tell('pending', this.#pending))
    }
    if (auditRefuses() !== this.#auditRefuses) {
      this.#auditRefuses = auditRefuses()
      this.#all(({ line }) => line?.tell('auditRefuses', this.#auditRefuses))
    }
    const sockets = own()
    const text = JSON.stringify(sockets)
    if (text !== this.#own) this.#all(({ line }) => line?.tell('own', sockets))
    this.#own = text
  }

  async settled(): Promise<void> {
    this.notice()
    this.#tellValues()
    const { promise: late, resolve } = Promise.withResolvers<'late'>()
    const forget = this.#options.clock.later(times.patience, () => resolve('late'))
    const all = Promise.all(this.#members.map(async ({ line }) => line?.ask('settled').catch(() => {})))
    const how = await Promise.race([all, late])
    forget()
    if (how === 'late')
      this.#options.say('error', { event: 'workers' }, 'a worker has not taken in what changed; it will when it can')
  }

  /** Resolves when all of them know. */
  async runsChanged(): Promise<void> {
    const runs = this.#options.known.runs()
    this.#all(({ line }) => line?.tell('runs', runs))
    await this.settled()
  }

  endRun(run: string, reason: string): void {
    this.#all(({ line }) => line?.tell('endRun', run, reason))
  }

  moved(address: Address, owner: Owner): void {
    this.#all(({ line }) => line?.tell('moved', address, owner))
  }

  closeFrom(address: Address): void {
    this.#all(({ line }) => line?.tell('closeFrom', address))
  }

  async stop(deadline: number): Promise<void> {
    this.#stopping = true
    await Promise.all(this.#members.map((member) => member.stop(deadline)))
  }

  async close(): Promise<void> {
    this.#stopping = true
    this.#forget()
    await Promise.all(this.#members.map((member) => member.close()))
  }

  #member(index: number): Member {
    const { clock, say, restarted } = this.#options
    const member: Member = new Member({
      index,
      errand: this.#errand,
      clock,
      say,
      side: () => this.#sideFor(member),
      world: () => this.#world(),
      changed: () => {
        if (!member.up) this.#lost(member)
        this.#options.up(this.#members.filter(({ up }) => up).length)
      },
      restarted,
      stopping: () => this.#stopping,
    })
    return member
  }

  #world(): WorkerState {
    // To the others, before this one is told all there is.
    this.notice()
    const { policy, runs, owners, own } = this.#options.known
    const known = policy()
    if (!known) throw new Error('workers begin once there is a policy')
    return { policy: known, trust: this.#trustNow(), runs: runs(), owners: owners(), own: own(), ports: this.#ports }
  }

  #trustNow(): TrustImage {
    this.#trust = this.#options.known.trust()
    return { issuer: imageOfAuthority(this.#trust.issuer), ours: this.#trust.ours }
  }

  #sideFor(member: Member): MainSide {
    const { main, lookups } = this.#options
    return {
      ...main,
      // A value that is new is told to all before one of them places it: what comes back is searched for it.
      grant: (id) => main.grant(id).finally(() => this.#tellValues()),
      renew: (id, generation) => main.renew(id, generation).finally(() => this.#tellValues()),
      ledger: (order) => this.#teller.order(member, order),
      news: (event) => {
        main.news(event)
        if (event.kind === 'exhausted') this.#spent(member, event)
      },
      pulse: (pulse) => {
        member.heard()
        this.#pulses.set(member, pulse)
        this.notice()
        if (pulse.lookups) lookups(pulse.lookups)
      },
    }
  }

  #lost(member: Member): void {
    this.#pulses.delete(member)
    this.#teller.lost(member)
  }

  #spent(by: Member, { budget, account }: { readonly budget: Budget; readonly account: Account } & BudgetEvent): void {
    this.#all((member) => member !== by && member.line?.tell('spent', budget, account))
  }

  #look(): void {
    this.notice()
    for (const member of this.#members) member.look()
    this.#forget = this.#options.clock.later(times.look, () => this.#look())
  }

  #tellValues(): void {
    const policy = this.#valuesChanged ? this.#options.known.policy() : undefined
    this.#valuesChanged = false
    if (policy) this.#all(({ line }) => line?.tell('values', policy.vault))
  }

  #all(act: (member: Member) => unknown): void {
    for (const member of this.#members) act(member)
  }
}

/** Sharing a port is allowed to whoever runs as the same user; another proxy of ours must not take half of the connections. */
async function mustBeFree({ address, port }: { readonly address: string; readonly port: number }): Promise<void> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host: address, port, exclusive: true }, () => server.close(() => resolve()))
  })
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0)
}
