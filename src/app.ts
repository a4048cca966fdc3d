/**
 * Builds the rooms from settings, starts them, reloads what is live, and closes all in reverse. Tests and the demo start here.
 */
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { serveAdmin, serveMetrics } from '#admin/server.ts'
import { readToken } from '#admin/token.ts'
import type { Check, ListenAddress, Listening, ReloadResult } from '#admin/server.ts'
import { placeText } from '#base/listen-place.ts'
import { openCa } from '#ca/live.ts'
import type { LiveCa } from '#ca/live.ts'
import { formatIssue, PolicyError } from '#config/issue.ts'
import type { Issue } from '#config/issue.ts'
import { loadPolicies } from '#config/load.ts'
import type { PolicyFile } from '#config/load.ts'
import type { AdminListen, Settings } from '#config/settings-schema.ts'
import { Watch } from '#config/watch.ts'
import { DnsServer } from '#dns/server.ts'
import { Runs } from '#identity/runs.ts'
import type { Cluster } from '#identity/cluster.ts'
import { followPods, openCluster } from '#identity/open.ts'
import { agentNameAt } from '#journey/identify.ts'
import type { Snapshot } from '#journey/types.ts'
import { Budgets } from '#observe/budgets.ts'
import { systemClock as clock } from '#observe/system-clock.ts'
import { Trail } from '#observe/trail.ts'
import { ulids } from '#observe/ids.ts'
import { openMemory } from '#observe/memory-room.ts'
import type { Log } from '#observe/log.ts'
import { createMetrics } from '#observe/metrics.ts'
import { Neighbours } from '#observe/neighbours.ts'
import type { Metrics, Reload } from '#observe/metrics.ts'
import { openState } from '#store/state.ts'
import type { State } from '#store/state.ts'
import { OwnCalls } from '#upstream/call.ts'
import type { OwnSocket } from '#upstream/own.ts'
import type { Sender } from '#upstream/send.ts'
import { Custody } from '#vault/custody.ts'
import { hashes } from '#vault/hashes.ts'
import { leaseTools } from '#vault/jwt.ts'
import { sources } from '#vault/sources/index.ts'
import type { Workers } from '#workers/workers.ts'
import { openWorkers, openPlane } from '#workers/open.ts'
import { openSender } from '#workers/plane.ts'
import type { DataPlane } from '#workers/plane.ts'

/** What the process brings: everything else the app makes itself. */
export interface Surroundings {
  readonly log: Log
  readonly version: string
  readonly revision: string
  readonly node: string
  readonly env: Readonly<Record<string, string | undefined>>
  readonly stdout: Writable
  /** Of the process, to know whose the CA key is. */
  readonly uid: number | undefined
}

/** Milliseconds that new work is still taken after readiness went off, and that running streams may go on after that. */
export interface StopOptions {
  readonly lameDuck: number
  readonly deadline: number
}

export type PortName = 'dns' | 'http' | 'https' | 'proxy' | 'metrics' | 'admin'

export class App {
  readonly ports: Partial<Record<PortName, number>> = {}
  readonly #ca: LiveCa
  readonly #settings: Settings
  readonly #around: Surroundings
  readonly #metrics: Metrics
  readonly #trail: Trail
  readonly #state: State
  readonly #custody: Custody
  readonly #budgets: Budgets
  readonly #cluster: Cluster | undefined
  readonly #runs: Runs
  readonly #sender: Sender
  readonly #plane: DataPlane
  readonly #workers: Workers | undefined
  readonly #dns: DnsServer | undefined
  readonly #watch: Watch
  readonly #listening: Listening[] = []
  #snapshot: Snapshot | undefined
  #sources: readonly PolicyFile[] = []
  #issues: readonly Issue[] = []
  #reloading: Promise<unknown> = Promise.resolve()
  #started = false
  #stopping: Promise<void> | undefined
  #lastReload: Reload | undefined

  constructor(settings: Settings, ca: LiveCa, metrics: Metrics, extraRoots: readonly string[], around: Surroundings) {
    this.#settings = settings
    this.#around = around
    this.#ca = ca
    this.#metrics = metrics
    this.#trail = new Trail(settings.audit, around.stdout, this.#metrics, around.log)
    const memory = openMemory(settings.workers)
    const own = () => this.#ownSockets()
    this.#sender = openSender(settings, extraRoots, memory, own)
    const ids = ulids(() => clock.now())
    const say = (level: 'info' | 'warn' | 'error', fields: object, message: string) => around.log[level](fields, message)
    const calls = new OwnCalls({ upstream: this.#sender, audit: this.#trail, ids, clock })
    this.#state = openState(settings, around)
    this.#custody = new Custody(sources(around.env), {
      store: this.#state.grants,
      caller: calls,
      asker: settings.whoami ? calls : undefined,
      audit: this.#trail,
      ids,
      clock,
      tools: leaseTools,
      random: Math.random,
      ...this.#state.marks,
      say,
      count: (credential, result) => this.#metrics.refreshed(credential, result),
      unread: (credential) => this.#metrics.secretReadFailed(credential),
      changed: () => this.#workers?.valuesChanged(),
    })
    this.#budgets = new Budgets({
      ledger: this.#state.ledger,
      clock,
      ids,
      audit: this.#trail,
      log: around.log,
      snapshot: () => this.#snapshot,
      webhook: settings.budgetWebhook,
      blind: (budget, how) => this.#metrics.blind(budget, how),
    })
    this.#runs = new Runs({
      clock,
      ids,
      random: (bytes) => randomBytes(bytes).toString('base64url'),
      snapshot: () => this.#snapshot,
      audit: this.#trail,
      store: this.#state.runs,
      changed: () => this.#workers?.runsChanged(),
      cut: (run, reason) => this.#plane.endRun(run, reason),
    })
    this.#trail.follow(this.#runs)
    this.#trail.watch(new Neighbours(around, () => Object.values(this.ports)))
    this.#cluster = openCluster(settings, around.env, {
      clock,
      random: Math.random,
      say,
      left: (address) => [this.#plane, this.#dns].forEach((each) => each?.closeFrom(address)),
      moved: (address, owner) => this.#workers?.moved(address, owner),
      synced: () => this.#workers?.notice(),
    })
    const policies = { current: () => this.#runs.over(this.#snapshot) }
    const owners = this.#cluster
    const ports = {
      clock,
      ids,
      memory,
      policies,
      owners,
      bundle: (agent: string) => ca.bundle(undefined, agent),
      vault: this.#custody.vault,
      runs: this.#runs,
      logins: this.#custody.logins,
      upstream: this.#sender,
      audit: this.#trail,
      desk: this.#budgets.desk,
      hashes,
    }
    const rooms = {
      ports,
      ca,
      custody: this.#custody,
      budgets: this.#budgets,
      ledger: this.#state.ledger,
      metrics,
      runs: this.#runs,
    }
    const policy = () => this.#snapshot && { snapshot: this.#snapshot, sources: this.#sources }
    this.#workers = openWorkers(settings, { ...rooms, cluster: owners, extraRoots, clock, say, policy, own })
    this.#plane = this.#workers ?? openPlane(settings, rooms)
    const dns = settings.listen.dns
    this.#dns =
      dns === 'off'
        ? undefined
        : new DnsServer({ listen: dns, advertise: [settings.advertise], policies, owners, audit: this.#trail, ids, clock })
    this.#watch = new Watch(() => void this.reload('watch'))
    this.#metrics.watch({
      connections: () => this.#plane.connections,
      auditQueue: () => this.#trail.depth,
      budgets: () => this.#budgets.gauges(),
      budgetWaiting: () => this.#plane.waiting,
      identity: () => this.#cluster?.gauges(),
      shared: this.#state.shared,
      ledgerAhead: () => this.#state.clock.ahead(),
      ...ca.gauges(),
      leafCacheEntries: () => this.#plane.leafs,
      workerLag: () => this.#workers?.lag,
      ...this.#custody.gauges(),
    })
  }

  /** Hash of the policy in force. */
  snapshotHash(): string | undefined {
    return this.#snapshot?.hash
  }

  /** The snapshot in force, for what only looks at it. */
  snapshot(): Snapshot | undefined {
    return this.#snapshot
  }

  /** Loads the policy and opens the doors. Throws `PolicyError`, or the system's error of the door that cannot be bound. */
  async start(): Promise<void> {
    const first = await this.reload('start')
    if (!first.ok) throw new PolicyError(this.#issues)
    try {
      await this.#runs.open()
      Object.assign(this.ports, await this.#plane.start())
      if (this.#dns) this.ports.dns = (await this.#dns.start()).udpPort
      await this.#serveOperators()
      await this.#plane.settled()
    } catch (error) {
      await this.#close()
      throw error
    }
    this.#started = true
  }

  /** Reads policies and secrets again; what is wrong changes nothing. One at a time, in the order asked for. */
  reload(trigger: Reload['trigger']): Promise<ReloadResult> {
    const turn = this.#reloading.then(() => this.#reload(trigger))
    this.#reloading = turn.catch(() => {})
    return turn
  }

  /** Opens the audit file again, for whoever rotates it. */
  reopen(): void {
    this.#trail.reopen()
  }

  /** Readiness off, lame duck, drain, cut what is left at the deadline, flush. Asked twice, it hurries. */
  stop(options: StopOptions = { lameDuck: 0, deadline: 0 }): Promise<void> {
    this.#stopping ??= this.#stop(options)
    return this.#stopping
  }

  async #reload(trigger: Reload['trigger']): Promise<ReloadResult> {
    await this.#ca.reload()
    const loaded = await loadPolicies(this.#settings.policies)
    // Files that are gone all at once are a volume that went away, and no operator's wish.
    const vanished = this.#snapshot !== undefined && loaded.snapshot !== undefined && loaded.files.length === 0
    const snapshot = vanished ? undefined : loaded.snapshot
    this.#issues = loaded.issues
    const { log } = this.#around
    const policies = this.#settings.policies
    if (vanished) log.error({ event: 'policy' }, `${policies}: no policy file is left; the last good policy stays in force`)
    for (const issue of loaded.issues) log[issue.severity === 'error' ? 'error' : 'warn']({ event: 'policy' }, formatIssue(issue))
    const changed = snapshot !== undefined && snapshot.hash !== this.#snapshot?.hash
    if (changed) this.#take(snapshot, loaded.sources)
    else this.#custody.refresh()
    this.#lastReload = { trigger, ok: snapshot !== undefined, hash: this.#snapshot?.hash, at: clock.now() }
    this.#metrics.reloaded(this.#lastReload)
    if (changed || snapshot === undefined) {
      const { ok, hash } = this.#lastReload
      if (ok) log.info({ event: 'reload', trigger, ok, hash }, 'policy reloaded')
      else log.error({ event: 'reload', trigger, ok, hash }, 'policy not reloaded: the last good one stays in force')
      this.#trail.reloaded(this.#lastReload)
    }
    await this.#plane.settled()
    await this.#watch.set({ directories: [this.#settings.policies], files: [...this.#custody.vault.paths(), ...this.#ca.files] })
    return { ok: snapshot !== undefined, hash: this.#snapshot?.hash, issues: loaded.issues.map(formatIssue) }
  }

  /** Swaps policy and secrets in one step: no request sees the one without the other. */
  #take(snapshot: Snapshot, files: readonly PolicyFile[]): void {
    this.#custody.use(snapshot)
    this.#snapshot = snapshot
    this.#sources = files
    followPods(this.#cluster, snapshot.policy, (message) => this.#around.log.warn({ event: 'kubernetes' }, message))
    this.#plane.taken(snapshot)
  }

  async #serveOperators(): Promise<void> {
    const { metrics, admin } = this.#settings.listen
    const { version } = this.#around
    if (metrics !== 'off') {
      const listening = await serveMetrics(place(metrics), {
        metrics: () => this.#metrics.text(),
        contentType: this.#metrics.contentType,
        checks: () => this.#checks(),
        started: () => this.#started,
        bundle: (only, peer) => this.#ca.bundle(only, agentNameAt(this.#snapshot, peer, this.#cluster)),
        version,
      })
      this.#listening.push(listening)
      this.ports.metrics = listening.port
    }
    if (admin !== 'off') {
      const listening = await serveAdmin(
        place(admin),
        {
          status: () => this.#status(),
          reload: () => this.reload('admin'),
          credentials: () => this.#custody.inventory(),
          budgets: () => this.#budgets.rows(),
          setBudget: (change) => this.#budgets.set(change),
          spent: async () => ({ policies: resolve(this.#settings.policies), spent: await this.#budgets.spent() }),
          moveSpend: (move) => this.#budgets.move(move),
          budgetClock: this.#state.clock,
          identify: (credential) => this.#custody.identify(credential),
          beginLogin: (credential) => this.#custody.beginLogin(credential),
          runs: this.#runs,
          explicitProxy: () => ({ address: this.#settings.advertise, port: this.ports.proxy }),
          finishLogin: (credential, code) => this.#custody.finishLogin(credential, code),
          clock,
          version,
        },
        await readToken(this.#settings.adminToken),
      )
      this.#listening.push(listening)
      if (!('socket' in admin)) this.ports.admin = listening.port
    }
  }

  #checks(): readonly Check[] {
    return [
      { name: 'policy', ok: this.#snapshot !== undefined, detail: 'no policy is in force' },
      { name: 'identity', ok: this.#cluster?.ready ?? true, detail: 'the pods of the cluster are not known yet' },
      { name: 'state', ok: this.#state.fault() === undefined, detail: this.#state.fault() },
      { name: 'workers', ok: this.#plane.ready, detail: 'no worker serves' },
      { name: 'audit', ok: !this.#trail.dropping && !this.#trail.refuses, detail: 'audit records cannot be written' },
      { name: 'running', ok: this.#stopping === undefined, detail: 'stopping' },
      { name: 'ca', ok: clock.now() < this.#ca.issuer.notAfter, detail: 'the CA has expired' },
    ]
  }

  #status(): object {
    return {
      version: this.#around.version,
      policy: { hash: this.#snapshot?.hash, lastReload: this.#lastReload, issues: this.#issues.map(formatIssue) },
      agents: [...(this.#snapshot?.policy.agents.values() ?? [])].map(({ id, mode }) => ({ id, mode })),
      listen: Object.fromEntries(this.#ownSockets().map((each) => [each.name, placeText(each)])),
      running: this.#plane.running,
      connections: this.#plane.connections,
      workers: this.#workers?.rows(),
      ca: this.#ca.status(),
    }
  }

  #ownSockets(): (OwnSocket & { readonly name: string })[] {
    return Object.entries(this.#settings.listen).flatMap(([name, listen]) => {
      const port = this.ports[name as PortName]
      return listen === 'off' || 'socket' in listen || port === undefined ? [] : [{ name, address: listen.address, port }]
    })
  }

  async #stop({ lameDuck, deadline }: StopOptions): Promise<void> {
    await sleep(lameDuck)
    await this.#plane.stop(deadline)
    await this.#close()
  }

  async #close(): Promise<void> {
    this.#watch[Symbol.dispose]()
    await this.#runs.close()
    await this.#plane.close()
    await this.#dns?.stop()
    await this.#cluster?.close()
    // Before the way out is closed: a rotation that is under way holds the only copy of what comes back.
    await this.#custody.close()
    await this.#state.grants.close()
    await this.#sender.close()
    await this.#budgets.close()
    await Promise.all(this.#listening.map((each) => each.close()))
    await this.#trail.close()
  }
}

/** Builds and starts an app. Throws what `App.start` and the CA's loading throw. */
export async function startApp(settings: Settings, around: Surroundings): Promise<App> {
  const metrics = createMetrics({ version: around.version, revision: around.revision, node: around.node }, { runtime: true })
  const ca = await openCa(settings.ca, {
    clock,
    uid: around.uid,
    onMint: (result) => metrics.leafMinted(result),
    say: (level, fields, message) => around.log[level](fields, message),
  })
  const extraRoots = await Promise.all(settings.upstream.ca.map((file) => readFile(file, 'utf8')))
  if (ca.isAmong(extraRoots)) throw new Error('upstream.ca: our own CA must not be trusted for upstreams')
  const app = new App(settings, ca, metrics, extraRoots, around)
  await app.start()
  return app
}

function place(listen: Exclude<AdminListen, 'off'>): ListenAddress {
  return 'socket' in listen ? listen : { host: listen.address, port: listen.port }
}
