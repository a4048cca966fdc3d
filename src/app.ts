/** The life of the proxy: start, reload, stop, close. Tests and the demo start here; `build.ts` has the graph. */
import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Listening, ReloadResult } from '#admin/server.ts'
import { openCa } from '#ca/live.ts'
import { formatIssue, PolicyError } from '#config/issue.ts'
import { loadPolicies } from '#config/load.ts'
import type { PolicyFile } from '#config/load.ts'
import type { Settings } from '#config/settings-schema.ts'
import { Watch } from '#config/watch.ts'
import { adviseOnAddress } from '#dns/advertised.ts'
import { followPods } from '#identity/open.ts'
import type { Snapshot } from '#contracts/snapshot.ts'
import { createMetrics } from '#observe/metrics.ts'
import type { Reload } from '#observe/metrics.ts'
import { systemClock as clock } from '#observe/system-clock.ts'
import { build } from './build.ts'
import type { PortName, Rooms, Surroundings } from './build.ts'
import { serveOperators, watchRooms } from './operators.ts'
import type { Life } from './operators.ts'

export type { PortName, Surroundings }

/** Milliseconds. */
export interface StopOptions {
  /** How long the doors still take new work after readiness went off, until load balancers have noticed. */
  readonly lameDuck: number
  /** How long running streams may go on after that. */
  readonly deadline: number
}

export class App {
  readonly #rooms: Rooms
  readonly #watch: Watch
  #listening: readonly Listening[] = []
  #reloading: Promise<unknown> = Promise.resolve()
  #started = false
  #stopping: Promise<void> | undefined
  #lastReload: Reload | undefined

  constructor(rooms: Rooms) {
    this.#rooms = rooms
    this.#watch = new Watch(() => void this.reload('watch'))
    watchRooms(rooms, this.#life())
  }

  /** TCP and UDP ports that are open. */
  get ports(): Readonly<Partial<Record<PortName, number>>> {
    return this.#rooms.ports
  }

  /** The snapshot in force. */
  snapshot(): Snapshot | undefined {
    return this.#rooms.inForce.snapshot
  }

  /** Hash of the policy in force. */
  snapshotHash(): string | undefined {
    return this.snapshot()?.hash
  }

  /** Loads the policy and opens the doors. Throws `PolicyError`, or the system's error of the door that cannot be bound. */
  async start(): Promise<void> {
    const { dns, inForce, plane, ports, runs } = this.#rooms
    const first = await this.reload('start')
    if (!first.ok) throw new PolicyError(inForce.issues)
    try {
      await runs.open()
      Object.assign(ports, await plane.start())
      if (dns) ports.dns = (await dns.start()).udpPort
      this.#listening = await serveOperators(this.#rooms, this.#life())
      await plane.settled()
    } catch (error) {
      await this.#close()
      throw error
    }
    this.#started = true
    void this.#warnOfAddress()
  }

  /** Reads policies and secrets again; a mistake changes nothing. One reload at a time, in the order of the calls. */
  reload(trigger: Reload['trigger']): Promise<ReloadResult> {
    const turn = this.#reloading.then(() => this.#reload(trigger))
    this.#reloading = turn.catch(() => {})
    return turn
  }

  /** Opens the audit file again, after a rotation. */
  reopen(): void {
    this.#rooms.trail.reopen()
  }

  /** Readiness off, lame duck, drain, cut what is left at the deadline, flush. A second call hurries. */
  stop(options: StopOptions = { lameDuck: 0, deadline: 0 }): Promise<void> {
    this.#stopping ??= this.#stop(options)
    return this.#stopping
  }

  async #warnOfAddress(): Promise<void> {
    const { around, settings } = this.#rooms
    const advice = await adviseOnAddress(settings)
    if (advice !== undefined) around.log.warn({ event: 'advertise' }, advice)
  }

  #life(): Life {
    return {
      started: () => this.#started,
      stopping: () => this.#stopping !== undefined,
      lastReload: () => this.#lastReload,
      reload: () => this.reload('admin'),
    }
  }

  async #reload(trigger: Reload['trigger']): Promise<ReloadResult> {
    const { around, ca, custody, inForce, metrics, plane, settings, trail } = this.#rooms
    await ca.reload()
    const loaded = await loadPolicies(settings.policies)
    // Files that are gone all at once are a volume that went away, not an operator's wish.
    const vanished = inForce.snapshot !== undefined && loaded.snapshot !== undefined && loaded.files.length === 0
    const snapshot = vanished ? undefined : loaded.snapshot
    inForce.issues = loaded.issues
    if (vanished)
      around.log.error({ event: 'policy' }, `${settings.policies}: no policy file is left; the last good policy stays in force`)
    for (const issue of loaded.issues)
      around.log[issue.severity === 'error' ? 'error' : 'warn']({ event: 'policy' }, formatIssue(issue))
    const changed = snapshot !== undefined && snapshot.hash !== inForce.snapshot?.hash
    if (changed) this.#take(snapshot, loaded.sources)
    else custody.refresh()
    const last = { trigger, ok: snapshot !== undefined, hash: inForce.snapshot?.hash, at: clock.now() }
    this.#lastReload = last
    metrics.reloaded(last)
    if (changed || snapshot === undefined) {
      const { at: _, ...fields } = { event: 'reload', ...last }
      if (last.ok) around.log.info(fields, 'policy reloaded')
      else around.log.error(fields, 'policy not reloaded: the last good one stays in force')
      trail.reloaded(last)
    }
    await plane.settled()
    await this.#watch.set({ directories: [settings.policies], files: [...custody.vault.paths(), ...ca.files] })
    return { ok: last.ok, hash: inForce.snapshot?.hash, issues: loaded.issues.map(formatIssue) }
  }

  /** Swaps policy and secrets in one step: no request sees the one without the other. */
  #take(snapshot: Snapshot, sources: readonly PolicyFile[]): void {
    const { around, cluster, custody, inForce, plane } = this.#rooms
    custody.use(snapshot)
    inForce.snapshot = snapshot
    inForce.sources = sources
    followPods(cluster, snapshot.policy, (message) => around.log.warn({ event: 'kubernetes' }, message))
    plane.taken(snapshot)
  }

  async #stop({ lameDuck, deadline }: StopOptions): Promise<void> {
    await sleep(lameDuck)
    await this.#rooms.plane.stop(deadline)
    await this.#close()
  }

  async #close(): Promise<void> {
    const { budgets, cluster, custody, dns, plane, runs, sender, state, trail } = this.#rooms
    this.#watch[Symbol.dispose]()
    await runs.close()
    await plane.close()
    await dns?.stop()
    await cluster?.close()
    // Before the way out is closed: a rotation that is under way holds the only copy of what comes back.
    await custody.close()
    await state.grants.close()
    await sender.close()
    await budgets.close()
    await Promise.all(this.#listening.map((each) => each.close()))
    await trail.close()
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
  const app = new App(build(settings, { ca, metrics, extraRoots }, around))
  await app.start()
  return app
}
