/** What operators see of the rooms: metrics, health, and the admin listener. */
import { resolve } from 'node:path'
import { serveAdmin, serveMetrics } from '#admin/server.ts'
import type { Check, ListenAddress, Listening, ReloadResult } from '#admin/server.ts'
import { readToken } from '#admin/token.ts'
import { placeText } from '#base/listen-place.ts'
import { formatIssue } from '#config/issue.ts'
import type { AdminListen } from '#config/settings-schema.ts'
import { agentNameAt } from '#journey/identify.ts'
import type { Reload } from '#observe/metrics.ts'
import { systemClock as clock } from '#observe/system-clock.ts'
import { ownSockets } from './build.ts'
import type { Rooms } from './build.ts'
import { operatorPages } from './operator-pages.ts'

/** The stages of the process's life, as health and status show them. */
export interface Life {
  readonly started: () => boolean
  readonly stopping: () => boolean
  readonly lastReload: () => Reload | undefined
  readonly reload: () => Promise<ReloadResult>
}

/** Opens the metrics and admin listeners of the settings, and notes their ports. */
export async function serveOperators(rooms: Rooms, life: Life): Promise<readonly Listening[]> {
  const { settings, around, ca, cluster, custody, budgets, inForce, metrics, ports, runs, state, trail } = rooms
  const { version } = around
  const listening: Listening[] = []
  if (settings.listen.metrics !== 'off') {
    const served = await serveMetrics(place(settings.listen.metrics), {
      metrics: () => metrics.text(),
      contentType: metrics.contentType,
      checks: () => checks(rooms, life),
      started: life.started,
      bundle: (only, peer) => ca.bundle(only, agentNameAt(inForce.snapshot, peer, cluster)),
      version,
    })
    listening.push(served)
    ports.metrics = served.port
  }
  if (settings.listen.admin !== 'off') {
    const pages = operatorPages(rooms, life, { checks: () => checks(rooms, life), status: () => status(rooms, life) })
    const served = await serveAdmin(
      place(settings.listen.admin),
      {
        status: () => status(rooms, life),
        reload: life.reload,
        records: (after) => trail.recent(after),
        credentials: () => custody.inventory(),
        budgets: () => budgets.rows(),
        setBudget: (change) => budgets.set(change),
        spent: async () => ({
          policies: resolve(settings.policies),
          spent: await budgets.spent(),
          unpriced: trail.unpriced.list(),
        }),
        moveSpend: (move) => budgets.move(move),
        budgetClock: state.clock,
        identify: (credential) => custody.identify(credential),
        beginLogin: (credential) => custody.beginLogin(credential),
        runs,
        explicitProxy: () => ({ address: settings.advertise, port: ports.proxy }),
        finishLogin: (credential, code) => custody.finishLogin(credential, code),
        clock,
        version,
      },
      await readToken(settings.adminToken),
      pages,
    )
    listening.push({ ...served, close: () => (pages.stop(), served.close()) })
    if (!('socket' in settings.listen.admin)) ports.admin = served.port
  }
  return listening
}

/** Lets the metrics read gauges from the rooms at each scrape. */
export function watchRooms(rooms: Rooms, life: Life): void {
  const { budgets, ca, cluster, custody, metrics, plane, state, trail, workers } = rooms
  metrics.watch({
    connections: () => plane.connections,
    auditQueue: () => trail.depth,
    budgets: () => budgets.gauges(),
    budgetWaiting: () => plane.waiting,
    checks: () => Object.fromEntries(checks(rooms, life).map(({ name, ok }) => [name, ok ? 1 : 0])),
    identity: () => cluster?.gauges(),
    shared: state.shared,
    ledgerAhead: () => state.clock.ahead(),
    ...ca.gauges(),
    leafCacheEntries: () => plane.leafs,
    workerLag: () => workers?.lag,
    ...custody.gauges(),
  })
}

/** Readiness, one reason each. */
function checks({ ca, cluster, inForce, plane, state, trail }: Rooms, { stopping }: Life): readonly Check[] {
  return [
    { name: 'policy', ok: inForce.snapshot !== undefined, detail: 'no policy is in force' },
    { name: 'identity', ok: cluster?.ready ?? true, detail: `the pods of ${cluster?.waiting.join(', ')} are not known yet` },
    { name: 'state', ok: state.fault() === undefined, detail: state.fault() },
    { name: 'workers', ok: plane.ready, detail: 'no worker serves' },
    { name: 'audit', ok: !trail.dropping && !trail.refuses, detail: 'audit records cannot be written' },
    { name: 'running', ok: !stopping(), detail: 'stopping' },
    { name: 'ca', ok: clock.now() < ca.issuer.notAfter, detail: 'the CA has expired' },
  ]
}

function status({ around, ca, inForce, plane, ports, settings, workers }: Rooms, { lastReload }: Life): object {
  return {
    version: around.version,
    policy: { hash: inForce.snapshot?.hash, lastReload: lastReload(), issues: inForce.issues.map(formatIssue) },
    agents: [...(inForce.snapshot?.policy.agents.values() ?? [])].map(({ id, mode }) => ({ id, mode })),
    listen: Object.fromEntries(ownSockets(settings, ports).map((each) => [each.name, placeText(each)])),
    running: plane.running,
    connections: plane.connections,
    workers: workers?.rows(),
    ca: ca.status(),
  }
}

function place(listen: Exclude<AdminListen, 'off'>): ListenAddress {
  return 'socket' in listen ? listen : { host: listen.address, port: listen.port }
}
