import type { Address } from '#base/address.ts'
import type { MemoryAccount } from '#base/memory-account.ts'
import type { Listen, Settings } from '#config/settings-schema.ts'
import { LiveSet } from '#journey/live.ts'
import type { Ports } from '#journey/ports.ts'
import type { Snapshot } from '#contracts/snapshot.ts'
import { Doors } from '#listeners/doors.ts'
import type { DoorAddresses, Together } from '#listeners/doors.ts'
import type { Leaves } from '#listeners/tls.ts'
import { waitUntil } from '#observe/system-clock.ts'
import { ownSockets } from '#upstream/own.ts'
import type { OwnSocket } from '#upstream/own.ts'
import { resolver } from '#upstream/resolve.ts'
import { Sender } from '#upstream/send.ts'
import type { DoorPorts } from './protocol.ts'

/** Where agents are served, on this thread or on others. */
export interface DataPlane {
  /** Opens the doors. Rejects with the system's error of the first that cannot be bound. */
  start(): Promise<DoorPorts>
  /** Somebody serves. */
  readonly ready: boolean
  /** Exchanges under way. */
  readonly running: number
  /** Open connections by door. */
  readonly connections: Readonly<Record<string, number>>
  readonly leafs: number
  /** Requests that wait for room, by budget. */
  readonly waiting: Readonly<Record<string, number>>
  /** Another policy is in force since a moment ago. */
  taken(snapshot: Snapshot): void
  /** Resolves once whatever changed is in force everywhere. */
  settled(): Promise<void>
  /** Cuts everything of a run. */
  endRun(run: string, reason: string): void
  /** Closes what this address has opened: whoever had it has it no more. */
  closeFrom(address: Address): void
  /** Lets what runs end, for so many milliseconds, and cuts the rest. */
  stop(deadline: number): Promise<void>
  /** Closes everything now. */
  close(): Promise<void>
}

/** Milliseconds after which something that runs since before a policy edit counts as long, and is re-decided. */
const longRunning = 3_000

/** Milliseconds a stopping proxy gives a connection that may be about to ask, or to read the end of its reply. */
const farewell = 1_000

export interface PlaneOptions {
  readonly doors: DoorAddresses
  readonly ports: Omit<Ports, 'live'>
  readonly leaves: Leaves & { readonly entries: number }
  readonly together?: Together
}

/** The data plane of one thread. */
export class Plane implements DataPlane {
  readonly ready = true
  readonly #live = new LiveSet()
  readonly #doors: Doors
  readonly #leaves: PlaneOptions['leaves']
  readonly #desk: Ports['desk']
  #snapshot: Snapshot | undefined

  constructor({ doors, ports, leaves, together }: PlaneOptions) {
    this.#leaves = leaves
    this.#desk = ports.desk
    this.#doors = new Doors(doors, { ...ports, live: this.#live }, leaves, together)
  }

  async start(): Promise<DoorPorts> {
    await this.#doors.start()
    return this.#doors.ports
  }

  get running(): number {
    return this.#live.size
  }

  get connections(): Readonly<Record<string, number>> {
    return this.#doors.connections
  }

  get leafs(): number {
    return this.#leaves.entries
  }

  get waiting(): Readonly<Record<string, number>> {
    return this.#desk.waiting
  }

  taken(snapshot: Snapshot): void {
    this.#desk.revise(snapshot.budgets)
    const before = this.#live.present()
    this.#snapshot = snapshot
    setTimeout(() => {
      if (this.#snapshot) this.#live.redecide(before, this.#snapshot)
    }, longRunning).unref()
  }

  async settled(): Promise<void> {}

  endRun(run: string, reason: string): void {
    this.#live.endRun(run, { kind: 'deny', code: 'policy_changed', reason })
  }

  closeFrom(address: Address): void {
    this.#doors.closeFrom(address)
  }

  async stop(deadline: number): Promise<void> {
    const end = performance.now() + deadline
    await this.#doors.retire()
    // Whoever was taken a moment ago has yet to shake hands and say what it wants.
    await waitUntil(() => this.#doors.open === 0, Math.min(deadline, farewell))
    this.#doors.drain()
    await waitUntil(() => this.#live.size === 0, end - performance.now())
    // The end of the last replies is on its way to their readers.
    await waitUntil(() => this.#doors.open === 0, Math.min(end - performance.now(), farewell))
    this.#live.cutAll()
    // One turn for what was cut to settle: its records belong to the audit.
    await waitUntil(() => this.#live.size === 0, 500)
  }

  async close(): Promise<void> {
    this.#doors.close()
  }
}

/** Where the doors are, as the settings say it. */
export function doorAddresses(listen: Settings['listen']): DoorAddresses {
  const open = (each: Listen) => (each === 'off' ? undefined : each)
  return { http: open(listen.http), https: open(listen.https), proxy: open(listen.proxy) }
}

/** The way out of one thread. `listening`: our own sockets, which nobody may be led back to. */
export function openSender(
  { upstream, advertise }: Pick<Settings, 'upstream' | 'advertise'>,
  extraRoots: readonly string[],
  memory: MemoryAccount,
  listening: () => readonly OwnSocket[],
): Sender {
  const own = ownSockets(listening, advertise)
  const { hosts, allowPrivate } = upstream
  return new Sender(
    { resolve: resolver(upstream.resolver), hosts, allowPrivate, own, extraRoots, connectTimeout: 10_000 },
    memory,
  )
}
