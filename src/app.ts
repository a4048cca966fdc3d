/**
 * The app: builds the rooms from settings, starts them, reloads what is live, and takes everything down in reverse.
 * Tests and the demo start here; `main.ts` only puts a process around it.
 */
import { readFile } from 'node:fs/promises'
import type { Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { serveAdmin, serveMetrics } from '#admin/server.ts'
import { readToken } from '#admin/token.ts'
import type { Check, Listening, ReloadResult } from '#admin/server.ts'
import type { Clock } from '#base/clock.ts'
import type { Authority } from '#ca/authority.ts'
import { bundlePem } from '#ca/bundle.ts'
import { firstAuthority } from '#ca/first.ts'
import { LeafCache } from '#ca/leaf.ts'
import { formatIssue, PolicyError } from '#config/issue.ts'
import type { Issue } from '#config/issue.ts'
import { loadPolicies } from '#config/load.ts'
import type { Listen, Settings } from '#config/settings-schema.ts'
import { Watch } from '#config/watch.ts'
import { DnsServer } from '#dns/server.ts'
import { LiveSet } from '#journey/live.ts'
import { BodyMemory } from '#journey/whole-body.ts'
import type { Ports } from '#journey/ports.ts'
import type { Snapshot } from '#journey/types.ts'
import { Doors } from '#listeners/doors.ts'
import { Budgets } from '#observe/budgets.ts'
import { Trail } from '#observe/trail.ts'
import { ulids } from '#observe/ids.ts'
import type { Log } from '#observe/log.ts'
import { createMetrics } from '#observe/metrics.ts'
import type { Metrics, Reload } from '#observe/metrics.ts'
import { openState } from '#store/state.ts'
import type { State } from '#store/state.ts'
import { OwnCalls } from '#upstream/call.ts'
import { ownSockets } from '#upstream/own.ts'
import { resolver } from '#upstream/resolve.ts'
import { Sender } from '#upstream/send.ts'
import { Custody } from '#vault/custody.ts'
import { hashes } from '#vault/hashes.ts'
import { leaseTools } from '#vault/jwt.ts'
import { sources } from '#vault/sources/index.ts'
import type { Reading } from '#vault/vault.ts'

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

/** Milliseconds. */
export interface StopOptions {
  /** How long new work is still taken after readiness went off: until whoever routes to us has noticed. */
  readonly lameDuck: number
  /** How long running streams may go on after that. */
  readonly deadline: number
}

export type PortName = 'dns' | 'http' | 'https' | 'proxy' | 'metrics' | 'admin'

const clock: Clock = {
  now: () => Date.now(),
  elapsed: () => performance.now(),
  later(milliseconds, act) {
    const timer = setTimeout(act, milliseconds)
    return () => clearTimeout(timer)
  },
}

/** Milliseconds after which something that runs since before a policy edit counts as long, and is re-decided. */
const longRunning = 3_000

/** Milliseconds a stopping proxy gives a connection that may be about to ask, or to read the end of its reply. */
const farewell = 1_000

export class App {
  readonly ports: Partial<Record<PortName, number>> = {}
  readonly authority: Authority
  readonly #settings: Settings
  readonly #around: Surroundings
  readonly #metrics: Metrics
  readonly #trail: Trail
  readonly #state: State
  readonly #custody: Custody
  readonly #budgets: Budgets
  readonly #live = new LiveSet()
  readonly #sender: Sender
  readonly #doors: Doors
  readonly #dns: DnsServer | undefined
  readonly #watch: Watch
  readonly #listening: Listening[] = []
  #snapshot: Snapshot | undefined
  #issues: readonly Issue[] = []
  #reloading: Promise<unknown> = Promise.resolve()
  #started = false
  #stopping: Promise<void> | undefined
  #lastReload: Reload | undefined

  constructor(settings: Settings, authority: Authority, extraRoots: readonly string[], around: Surroundings) {
    this.#settings = settings
    this.#around = around
    this.authority = authority
    this.#metrics = createMetrics({ version: around.version, revision: around.revision, node: around.node }, { runtime: true })
    this.#trail = new Trail(settings.audit, around.stdout, this.#metrics)
    this.#sender = new Sender({
      resolve: resolver(settings.upstream.resolver),
      hosts: settings.upstream.hosts,
      allowPrivate: settings.upstream.allowPrivate,
      own: ownSockets(() => this.#ownSockets(), settings.advertise),
      extraRoots,
      connectTimeout: 10_000,
    })
    const ids = ulids(() => clock.now())
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
      abandonedAfter: this.#state.abandonedAfter,
      say: (level, fields, message) => around.log[level](fields, message),
      count: (credential, result) => this.#metrics.refreshed(credential, result),
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
    const { vault } = this.#custody
    const policies = { current: () => this.#snapshot }
    const ports: Ports = {
      clock,
      ids,
      policies,
      memory: new BodyMemory(),
      vault,
      logins: this.#custody.logins,
      upstream: this.#sender,
      live: this.#live,
      audit: this.#trail,
      desk: this.#budgets.desk,
      hashes,
    }
    const leaves = new LeafCache(authority, { clock, onMint: (result) => this.#metrics.leafMinted(result) })
    this.#doors = new Doors(doorAddresses(settings), ports, {
      allow: (host) => void leaves.contextFor(host),
      allowDenied: (host, agent) => leaves.contextForDenied(host, agent) !== undefined,
      present: (host) => leaves.present(host),
    })
    const dns = settings.listen.dns
    this.#dns =
      dns === 'off'
        ? undefined
        : new DnsServer({ listen: dns, advertise: [settings.advertise], policies, audit: this.#trail, ids, clock })
    this.#watch = new Watch(() => void this.reload('watch'))
    this.#metrics.watch({
      connections: () => this.#doors.connections,
      leafCacheEntries: () => leaves.entries,
      auditQueue: () => this.#trail.depth,
      budgets: () => this.#budgets.gauges(),
      shared: this.#state.shared,
      caFingerprint: () => authority.fingerprint,
      caExpiry: () => ({ root: authority.notAfter }),
      credentialExpiry: () =>
        Object.fromEntries(vault.status().flatMap(({ id, expiresAt }) => (expiresAt === undefined ? [] : [[id, expiresAt]]))),
      reauthRequired: () =>
        Object.fromEntries(vault.status().map(({ id, needsLogin }) => [id, needsLogin === undefined ? 0 : 1])),
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
      await this.#doors.start()
      Object.assign(this.ports, this.#doors.ports)
      if (this.#dns) this.ports.dns = (await this.#dns.start()).udpPort
      await this.#serveOperators()
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
    const loaded = await loadPolicies(this.#settings.policies)
    // Files that are gone all at once are a volume that went away, and no operator's wish.
    const vanished = this.#snapshot !== undefined && loaded.snapshot !== undefined && loaded.files.length === 0
    const snapshot = vanished ? undefined : loaded.snapshot
    this.#issues = loaded.issues
    if (vanished)
      this.#around.log.error(
        { event: 'policy' },
        `${this.#settings.policies}: no policy file is left; the last good policy stays in force`,
      )
    for (const issue of loaded.issues)
      this.#around.log[issue.severity === 'error' ? 'error' : 'warn']({ event: 'policy' }, formatIssue(issue))
    const changed = snapshot !== undefined && snapshot.hash !== this.#snapshot?.hash
    if (changed) this.#take(snapshot)
    else this.#look(this.#custody.refresh())
    this.#lastReload = { trigger, ok: snapshot !== undefined, hash: this.#snapshot?.hash, at: clock.now() }
    this.#metrics.reloaded(this.#lastReload)
    if (changed || snapshot === undefined)
      this.#around.log.info(
        { event: 'reload', trigger, ok: snapshot !== undefined, hash: this.#snapshot?.hash },
        'policy reloaded',
      )
    await this.#watch.set({ directories: [this.#settings.policies], files: this.#custody.vault.paths() })
    return { ok: snapshot !== undefined, hash: this.#snapshot?.hash, issues: loaded.issues.map(formatIssue) }
  }

  /** Swaps policy and secrets in one step: no request sees the one without the other. */
  #take(snapshot: Snapshot): void {
    const before = this.#live.present()
    this.#look(this.#custody.use(snapshot))
    this.#snapshot = snapshot
    setTimeout(() => {
      if (this.#snapshot) this.#live.redecide(before, this.#snapshot)
    }, longRunning).unref()
  }

  #look(readings: readonly Reading[]): void {
    for (const { ref, result, detail, credentials } of readings) {
      if (result === 'new') this.#around.log.info({ event: 'secret', ref }, 'secret loaded')
      if (result !== 'failed') continue
      this.#around.log.warn({ event: 'secret', ref, detail }, 'secret cannot be read; the last good value stays in force')
      for (const credential of credentials) this.#metrics.secretReadFailed(credential)
    }
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
        bundle: (only) => bundlePem(this.authority.certPem, { only }),
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
          identify: (credential) => this.#custody.identify(credential),
          beginLogin: (credential) => this.#custody.beginLogin(credential),
          finishLogin: (credential, code) => this.#custody.finishLogin(credential, code),
          clock,
          version,
        },
        await readToken(this.#settings.adminToken),
      )
      this.#listening.push(listening)
      this.ports.admin = listening.port
    }
  }

  #checks(): readonly Check[] {
    return [
      { name: 'policy', ok: this.#snapshot !== undefined, detail: 'no policy is in force' },
      { name: 'running', ok: this.#stopping === undefined, detail: 'stopping' },
      { name: 'ca', ok: clock.now() < this.authority.notAfter, detail: 'the CA has expired' },
    ]
  }

  #status(): object {
    return {
      version: this.#around.version,
      policy: { hash: this.#snapshot?.hash, lastReload: this.#lastReload, issues: this.#issues.map(formatIssue) },
      agents: [...(this.#snapshot?.policy.agents.values() ?? [])].map(({ id, mode }) => ({ id, mode })),
      running: this.#live.size,
      connections: this.#doors.connections,
      ca: { fingerprint: this.authority.fingerprint, notAfter: new Date(this.authority.notAfter).toISOString() },
    }
  }

  #ownSockets(): { readonly address: Extract<Listen, object>['address']; readonly port: number }[] {
    return Object.entries(this.#settings.listen).flatMap(([name, listen]) => {
      const port = this.ports[name as PortName]
      return listen === 'off' || port === undefined ? [] : [{ address: listen.address, port }]
    })
  }

  async #stop({ lameDuck, deadline }: StopOptions): Promise<void> {
    await sleep(lameDuck)
    const end = clock.elapsed() + deadline
    await this.#doors.retire()
    // Whoever was taken a moment ago has yet to shake hands and say what it wants.
    await waitUntil(() => this.#doors.open === 0, Math.min(deadline, farewell))
    this.#doors.drain()
    await waitUntil(() => this.#live.size === 0, end - clock.elapsed())
    // The end of the last replies is on its way to their readers.
    await waitUntil(() => this.#doors.open === 0, Math.min(end - clock.elapsed(), farewell))
    this.#live.cutAll()
    // One turn for what was cut to settle: its records belong to the audit.
    await waitUntil(() => this.#live.size === 0, 500)
    await this.#close()
  }

  async #close(): Promise<void> {
    this.#watch[Symbol.dispose]()
    this.#doors.close()
    await this.#dns?.stop()
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
  const authority = await firstAuthority(
    { certPath: settings.ca.cert, keyPath: settings.ca.key, now: clock.now(), uid: around.uid },
    () => around.log.info({ event: 'ca', cert: settings.ca.cert }, 'made a new CA'),
  )
  const extraRoots = await Promise.all(settings.upstream.ca.map((file) => readFile(file, 'utf8')))
  if (extraRoots.some((pem) => pem.includes(authority.certPem.trim()))) {
    throw new Error('upstream.ca: our own CA must not be trusted for upstreams')
  }
  const app = new App(settings, authority, extraRoots, around)
  await app.start()
  return app
}

/** Looks again every few milliseconds, for as many as given. */
async function waitUntil(holds: () => boolean, milliseconds: number): Promise<void> {
  const end = clock.elapsed() + milliseconds
  while (!holds() && clock.elapsed() < end) await sleep(10)
}

function doorAddresses({ listen }: Settings): ConstructorParameters<typeof Doors>[0] {
  const open = (each: Listen) => (each === 'off' ? undefined : each)
  return { http: open(listen.http), https: open(listen.https), proxy: open(listen.proxy) }
}

function place({ address, port }: Exclude<Listen, 'off'>): { readonly host: string; readonly port: number } {
  return { host: address, port }
}
