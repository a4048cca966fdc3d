import { monitorEventLoopDelay } from 'node:perf_hooks'
import { parseCidr } from '#base/address.ts'
import type { MemoryAccount } from '#base/memory-account.ts'
import type { Authority } from '#ca/authority.ts'
import { authorityOfImage } from '#ca/authority-replica.ts'
import { bundlePem } from '#ca/bundle.ts'
import { deniedAllowance, LeafCache } from '#ca/leaf.ts'
import { compileFiles } from '#config/load.ts'
import { OwnersReplica } from '#identity/owners-replica.ts'
import { RunTable } from '#runs/table.ts'
import type { Ports } from '#journey/ports.ts'
import type { Snapshot } from '#contracts/snapshot.ts'
import { Admissions } from '#metering/admissions.ts'
import { ulids } from '#observe/ids.ts'
import { openMemory } from '#observe/memory-room.ts'
import { systemClock as clock } from '#observe/system-clock.ts'
import type { OwnSocket } from '#upstream/own.ts'
import { VaultReplica } from '#vault/replica.ts'
import type { VaultLine } from '#vault/replica.ts'
import { hashes } from '#vault/hashes.ts'
import { Line } from './line.ts'
import type { Wire } from './line.ts'
import { doorAddresses, openSender, Plane } from './plane.ts'
import { Records } from './records.ts'
import { RemoteLedger } from './remote-ledger.ts'
import type { DoorPorts, WorkerAssignment, MainSide, PolicyImage, TrustImage, WorkerSide, WorkerState } from './protocol.ts'

/** Milliseconds between two pulses. */
const beat = 1_000

/** One worker: a data plane whose neighbours are on the main thread. */
export class WorkerPlane implements WorkerSide {
  readonly #errand: WorkerAssignment
  readonly #main: Line<MainSide>
  readonly #records: Records
  readonly #vault: VaultReplica
  readonly #runs = new RunTable(clock)
  readonly #desk: Admissions
  readonly #leaves: LeafCache
  readonly #memory: MemoryAccount
  readonly #sender: ReturnType<typeof openSender>
  readonly #lag = monitorEventLoopDelay()
  #owners: OwnersReplica | undefined
  #own: readonly OwnSocket[] = []
  #issuer: Authority | undefined
  #ours = ''
  #snapshot: Snapshot | undefined
  #plane: Plane | undefined
  /** What was told is taken in one after the other: to compile a policy takes a while. */
  #turns: Promise<unknown> = Promise.resolve()

  constructor(errand: WorkerAssignment, port: Wire) {
    this.#errand = errand
    this.#main = new Line<MainSide>(port, this)
    const main = this.#main
    this.#records = new Records((lines) => main.tell('records', lines))
    const line: VaultLine = {
      grant: (id) => this.#afterAll(main.ask('grant', id)),
      renew: (id, generation) => this.#afterAll(main.ask('renew', id, generation)),
    }
    this.#vault = new VaultReplica(line, clock)
    this.#desk = new Admissions({
      ledger: new RemoteLedger(
        (order) => main.ask('ledger', order),
        () => clock.now(),
      ),
      clock,
      news: (event) => main.tell('news', event),
      blind: ({ id }, how) => main.tell('blind', id, how),
    })
    const { burst, perSecond } = deniedAllowance
    this.#leaves = new LeafCache(() => this.#issuerNow(), {
      clock,
      key: errand.leafKey,
      ticketKeys: errand.ticketKeys,
      deniedPerAgent: { burst: Math.ceil(burst / errand.workers), perSecond: perSecond / errand.workers },
      onMint: (result) => main.tell('minted', result),
    })
    const { allowPrivate, ...upstream } = errand.upstream
    const ranges = allowPrivate.flatMap((text) => parseCidr(text) ?? [])
    const settings = { upstream: { ...upstream, allowPrivate: ranges }, advertise: errand.advertise }
    this.#memory = openMemory(errand.workers)
    this.#sender = openSender(settings, errand.extraRoots, this.#memory, () => this.#own)
  }

  begin({ policy, trust, runs, owners, own, ports }: WorkerState): Promise<DoorPorts> {
    return this.#inTurn(async () => {
      this.#trustNow(trust)
      this.#runs.take(runs)
      this.#own = own
      if (owners) {
        this.#owners = new OwnersReplica()
        this.#owners.take(owners)
      }
      await this.#compile(policy)
      const plane = this.#build(ports)
      const taken = await plane.start()
      this.#plane = plane
      this.#lag.enable()
      this.#beat()
      return taken
    })
  }

  policy(image: PolicyImage): void {
    void this.#inTurn(() => this.#compile(image))
  }

  values(image: PolicyImage['vault']): void {
    void this.#inTurn(() => this.#vault.take(image))
  }

  trust(image: TrustImage): void {
    void this.#inTurn(() => this.#trustNow(image))
  }

  runs(image: Parameters<RunTable['take']>[0]): void {
    void this.#inTurn(() => this.#runs.take(image))
  }

  endRun(run: string, reason: string): void {
    void this.#inTurn(() => this.#plane?.endRun(run, reason))
  }

  moved(...[address, owner]: Parameters<WorkerSide['moved']>): void {
    void this.#inTurn(() => this.#owners?.move(address, owner))
  }

  pending(pending: boolean): void {
    void this.#inTurn(() => this.#owners?.wait(pending))
  }

  auditRefuses(refuses: boolean): void {
    this.#records.refuses = refuses
  }

  closeFrom(address: Parameters<WorkerSide['closeFrom']>[0]): void {
    void this.#inTurn(() => this.#plane?.closeFrom(address))
  }

  own(sockets: readonly OwnSocket[]): void {
    this.#own = sockets
  }

  room(): void {
    this.#desk.wake()
  }

  spent(...[budget, account]: Parameters<WorkerSide['spent']>): void {
    void this.#desk.review([budget], [account])
  }

  settled(): Promise<void> {
    return this.#inTurn(() => {})
  }

  async stop(deadline: number): Promise<void> {
    await this.#plane?.stop(deadline)
    await this.#plane?.close()
    await this.#sender.close()
    await this.#desk.close()
    this.#records.flush()
  }

  #inTurn<Result>(act: () => Result | Promise<Result>): Promise<Result> {
    const turn = this.#turns.then(act)
    this.#turns = turn
    return turn
  }

  /** An answer is used once all that was told before it is in force: no value is placed that replies are not searched for. */
  async #afterAll<Answer>(answer: Promise<Answer>): Promise<Answer> {
    try {
      return await answer
    } finally {
      await this.#turns
    }
  }

  /** The same bytes were compiled on the main thread already, so that they compile here too. */
  async #compile({ directory, files, vault }: PolicyImage): Promise<void> {
    const { snapshot } = await compileFiles(
      directory,
      files.map(({ file, bytes }) => ({ file, bytes: Buffer.from(bytes) })),
    )
    if (!snapshot) throw new Error('a policy that was good on the main thread is not here')
    this.#vault.take(vault)
    this.#snapshot = snapshot
    this.#plane?.taken(snapshot)
  }

  #trustNow({ issuer, ours }: TrustImage): void {
    this.#issuer = authorityOfImage(issuer)
    this.#ours = ours
    // Running connections go on with what they were shown.
    this.#leaves.clear()
  }

  #issuerNow(): Authority {
    if (!this.#issuer) throw new Error('nobody has told who signs')
    return this.#issuer
  }

  #build(taken: DoorPorts): Plane {
    const { listen, workers } = this.#errand
    const ports: Omit<Ports, 'live'> = {
      clock,
      ids: ulids(() => clock.now()),
      memory: this.#memory,
      policies: { current: () => this.#runs.over(this.#snapshot) },
      owners: this.#owners,
      bundle: (agent) => {
        this.#main.tell('bundled', agent)
        return bundlePem(this.#ours)
      },
      vault: this.#vault,
      runs: this.#runs,
      logins: { capture: ({ id }, endpoint, login) => this.#main.ask('capture', id, endpoint, login) },
      upstream: this.#sender,
      audit: this.#records,
      desk: this.#desk,
      hashes,
    }
    const doors = Object.entries(doorAddresses(listen)).flatMap(([door, place]) =>
      place ? [[door, { ...place, port: taken[door as keyof DoorPorts] ?? place.port, reusePort: true }] as const] : [],
    )
    const together = { threads: workers }
    const plane = new Plane({ doors: Object.fromEntries(doors), ports, leaves: this.#leaves, together })
    if (this.#snapshot) plane.taken(this.#snapshot)
    return plane
  }

  #beat(): void {
    const { running, connections, leafs, waiting } = this.#plane ?? { running: 0, connections: {}, leafs: 0, waiting: {} }
    const lag = this.#lag.percentile(99) / 1e9
    this.#lag.reset()
    this.#main.tell('pulse', { running, connections, leafs, waiting, lag, lookups: this.#owners?.drain() })
    setTimeout(() => this.#beat(), beat).unref()
  }
}

/** Serves as whoever is at the other end of the port says. */
export function openWorkerPlane(errand: WorkerAssignment, port: Wire): WorkerPlane {
  return new WorkerPlane(errand, port)
}
