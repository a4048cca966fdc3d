import type { Clock } from '#base/clock.ts'
import { ProxyError } from '#base/errors.ts'
import type { LiveCa } from '#ca/live.ts'
import type { PolicyFile } from '#config/load.ts'
import type { Settings } from '#config/settings-schema.ts'
import type { Credential } from '#credentials/types.ts'
import type { Cluster } from '#identity/cluster.ts'
import type { RunRegistry } from '#runs/runs.ts'
import type { Ports } from '#journey/ports.ts'
import type { Snapshot } from '#contracts/snapshot.ts'
import type { Ledger } from '#metering/types.ts'
import type { Budgets } from '#observe/budgets.ts'
import type { Metrics } from '#observe/metrics.ts'
import type { AuditTrail } from '#observe/audit-trail.ts'
import type { OwnSocket } from '#upstream/own.ts'
import type { LiveCredentials } from '#vault/live-credentials.ts'
import { imageOfValue } from '#vault/replica-state.ts'
import { Workers } from './workers.ts'
import { doorAddresses, Plane } from './plane.ts'
import { linesOf } from './records.ts'
import { perform } from './remote-ledger.ts'
import type { MainSide } from './protocol.ts'

/** What the main thread has, of which workers see copies. */
export interface WorkerRooms {
  readonly ports: Omit<Ports, 'live'>
  readonly ca: LiveCa
  readonly custody: LiveCredentials
  readonly budgets: Budgets
  readonly ledger: Ledger
  readonly metrics: Metrics
  readonly trail: AuditTrail
  readonly runs: RunRegistry
  readonly cluster: Cluster | undefined
  readonly extraRoots: readonly string[]
  readonly clock: Clock
  readonly say: (level: 'info' | 'warn' | 'error', fields: object, message: string) => void
  /** The policy in force with what its files held. */
  readonly policy: () => { readonly snapshot: Snapshot; readonly sources: readonly PolicyFile[] } | undefined
  readonly own: () => readonly OwnSocket[]
}

/** The workers of the settings; `undefined`: this thread serves alone. */
export function openWorkers(settings: Settings, rooms: WorkerRooms): Workers | undefined {
  if (settings.workers === 1) return undefined
  const { ca, clock, cluster, custody, extraRoots, metrics, own, policy, runs, say } = rooms
  return new Workers({
    settings,
    extraRoots,
    clock,
    say,
    main: mainSide(rooms),
    known: {
      policy: () => {
        const known = policy()
        return known && { directory: settings.policies, files: known.sources, vault: custody.vault.image() }
      },
      trust: () => ({ issuer: ca.issuer, ours: ca.trust.ours }),
      runs: () => runs.image(),
      owners: () => cluster?.image(),
      pending: () => cluster?.pending ?? false,
      auditRefuses: () => rooms.ports.audit.refuses ?? false,
      own,
    },
    lookups: (lookups) => cluster?.count(lookups),
    up: (workers) => metrics.workers(workers),
    restarted: () => metrics.workerRestarted(),
  })
}

/** The data plane of this thread. */
export function openPlane(settings: Settings, { ports, ca }: Pick<WorkerRooms, 'ports' | 'ca'>): Plane {
  return new Plane({ doors: doorAddresses(settings.listen), ports, leaves: ca.leaves })
}

/** What workers may ask of the rooms there is one of each. */
function mainSide({ budgets, ca, custody, ledger, metrics, policy, trail }: WorkerRooms): Omit<MainSide, 'pulse'> {
  const { vault, logins } = custody
  const find = (id: string): Credential => {
    const credential = policy()?.snapshot.credentials.get(id)
    if (!credential) throw new ProxyError('credential_unavailable', `the policy has no credential ${id} any more`)
    return credential
  }
  return {
    grant: async (id) => imageOfValue(await vault.grant(find(id))),
    renew: async (id, generation) => {
      const renewed = await vault.renew({ credential: find(id), generation })
      return renewed && imageOfValue(renewed)
    },
    capture: (id, endpoint, login) => logins.capture(find(id), endpoint, login),
    ledger: (order) => perform(ledger, order),
    records(lines) {
      for (const line of linesOf(lines)) trail.take(line)
    },
    news: (event) => budgets.tell(event),
    blind: (budget, how) => metrics.blind(budget, how),
    minted: (result) => metrics.leafMinted(result),
    bundled: (agent) => void ca.bundle(undefined, agent),
  }
}
