/** Wires the rooms into one graph, bottom-up: each room gets rooms that exist. What must be reported back goes through `Events`. */
import { randomBytes } from 'node:crypto'
import type { Writable } from 'node:stream'
import type { Address } from '#base/address.ts'
import { Signal } from '#base/signal.ts'
import type { LiveCa } from '#ca/live.ts'
import { InForce } from '#config/in-force.ts'
import type { Settings } from '#config/settings-schema.ts'
import { DnsServer } from '#dns/server.ts'
import type { Cluster } from '#identity/cluster.ts'
import { openCluster } from '#identity/open.ts'
import { RunRegistry } from '#runs/runs.ts'
import { Budgets } from '#observe/budgets.ts'
import { ulids } from '#observe/ids.ts'
import type { Log } from '#observe/log.ts'
import { openMemory } from '#observe/memory-room.ts'
import type { Metrics } from '#observe/metrics.ts'
import { Neighbours } from '#observe/neighbours.ts'
import { systemClock as clock } from '#observe/system-clock.ts'
import { AuditTrail } from '#observe/audit-trail.ts'
import { openState } from '#store/state.ts'
import type { State } from '#store/state.ts'
import { OwnCalls } from '#upstream/call.ts'
import type { OwnSocket } from '#upstream/own.ts'
import type { Sender } from '#upstream/send.ts'
import { LiveCredentials } from '#vault/live-credentials.ts'
import { hashes } from '#vault/hashes.ts'
import { leaseTools } from '#vault/leases/jwt.ts'
import { sources } from '#vault/sources/index.ts'
import { openPlane, openWorkers } from '#workers/open.ts'
import { openSender } from '#workers/plane.ts'
import type { DataPlane } from '#workers/plane.ts'
import type { Workers } from '#workers/workers.ts'

/** What the process gives: everything else is made here. */
export interface Surroundings {
  readonly log: Log
  readonly version: string
  readonly revision: string
  readonly node: string
  readonly env: Readonly<Record<string, string | undefined>>
  readonly stdout: Writable
  /** The user id of the process, for the check of who may read the CA key. */
  readonly uid: number | undefined
}

export type PortName = 'dns' | 'http' | 'https' | 'proxy' | 'metrics' | 'admin'

/** What is made before the rooms: it has to be read, or it counts from the first moment. */
export interface Foundations {
  readonly ca: LiveCa
  readonly metrics: Metrics
  /** Roots that upstreams may have, in PEM, beside the public ones. */
  readonly extraRoots: readonly string[]
}

/** The graph. */
export interface Rooms extends Foundations {
  readonly settings: Settings
  readonly around: Surroundings
  /** TCP and UDP ports that are open. */
  readonly ports: Partial<Record<PortName, number>>
  readonly inForce: InForce
  readonly trail: AuditTrail
  readonly state: State
  readonly custody: LiveCredentials
  readonly budgets: Budgets
  readonly cluster: Cluster | undefined
  readonly runs: RunRegistry
  readonly sender: Sender
  readonly workers: Workers | undefined
  readonly plane: DataPlane
  readonly dns: DnsServer | undefined
}

/** What inner rooms report to rooms that are built after them. */
class Events {
  readonly valuesChanged = new Signal()
  readonly runsChanged = new Signal<[], Promise<void>>()
  readonly runEnded = new Signal<[run: string, reason: string]>()
  readonly addressLeft = new Signal<[address: Address]>()
  readonly addressMoved = new Signal<Parameters<Workers['moved']>>()
  readonly podsSynced = new Signal()
}

export function build(settings: Settings, { ca, metrics, extraRoots }: Foundations, around: Surroundings): Rooms {
  const events = new Events()
  const inForce = new InForce()
  const ports: Rooms['ports'] = {}
  const own = () => ownSockets(settings, ports)
  const ids = ulids(() => clock.now())
  const say = (level: 'info' | 'warn' | 'error', fields: object, message: string) => around.log[level](fields, message)
  const snapshot = () => inForce.snapshot

  const trail = new AuditTrail(settings.audit, around.stdout, metrics, around.log, around.uid)
  const memory = openMemory(settings.workers)
  const sender = openSender(settings, extraRoots, memory, own)
  const calls = new OwnCalls({ upstream: sender, audit: trail, ids, clock })
  const state = openState(settings, around)
  const custody = new LiveCredentials(sources(around.env), {
    store: state.grants,
    caller: calls,
    asker: settings.whoami ? calls : undefined,
    audit: trail,
    ids,
    clock,
    tools: leaseTools,
    random: Math.random,
    ...state.marks,
    say,
    count: (credential, result) => metrics.refreshed(credential, result),
    unread: (credential) => metrics.secretReadFailed(credential),
    changed: events.valuesChanged.emit,
  })
  const budgets = new Budgets({
    ledger: state.ledger,
    clock,
    ids,
    audit: trail,
    log: around.log,
    snapshot,
    webhook: settings.budgetWebhook,
    blind: (budget, how) => metrics.blind(budget, how),
  })
  const runs = new RunRegistry({
    clock,
    ids,
    random: (bytes) => randomBytes(bytes).toString('base64url'),
    snapshot,
    audit: trail,
    store: state.runs,
    changed: async () => void (await Promise.all(events.runsChanged.emit())),
    cut: events.runEnded.emit,
  })
  trail.follow(runs)
  trail.watch(new Neighbours(around, () => Object.values(ports)))
  const cluster = openCluster(settings, around.env, {
    clock,
    random: Math.random,
    say,
    left: events.addressLeft.emit,
    moved: events.addressMoved.emit,
    synced: events.podsSynced.emit,
  })

  const policies = { current: () => runs.over(inForce.snapshot) }
  const journey = {
    clock,
    ids,
    memory,
    policies,
    owners: cluster,
    bundle: (agent: string) => ca.bundle(undefined, agent),
    vault: custody.vault,
    runs,
    logins: custody.logins,
    upstream: sender,
    audit: trail,
    desk: budgets.desk,
    hashes,
  }
  const shared = { ports: journey, ca, custody, budgets, ledger: state.ledger, metrics, trail, runs }
  const workers = openWorkers(settings, { ...shared, cluster, extraRoots, clock, say, policy: () => inForce.policy, own })
  const plane = workers ?? openPlane(settings, shared)
  const dns =
    settings.listen.dns === 'off'
      ? undefined
      : new DnsServer({
          listen: settings.listen.dns,
          advertise: [settings.advertise],
          policies,
          owners: cluster,
          audit: trail,
          ids,
          clock,
        })

  events.runEnded.on((run, reason) => plane.endRun(run, reason))
  events.addressLeft.on((address) => plane.closeFrom(address))
  if (dns) events.addressLeft.on((address) => dns.closeFrom(address))
  if (workers) {
    events.valuesChanged.on(() => workers.valuesChanged())
    events.runsChanged.on(() => workers.runsChanged())
    events.addressMoved.on((...move) => workers.moved(...move))
    events.podsSynced.on(() => workers.notice())
  }
  const rooms = {
    settings,
    around,
    ca,
    metrics,
    extraRoots,
    ports,
    inForce,
    trail,
    state,
    custody,
    budgets,
    cluster,
    runs,
    sender,
  }
  return { ...rooms, workers, plane, dns }
}

/** The sockets that the proxy itself listens on: no request may be sent there. */
export function ownSockets({ listen }: Settings, ports: Rooms['ports']): (OwnSocket & { readonly name: string })[] {
  return Object.entries(listen).flatMap(([name, at]) => {
    const port = ports[name as PortName]
    return at === 'off' || 'socket' in at || port === undefined ? [] : [{ name, address: at.address, port }]
  })
}
