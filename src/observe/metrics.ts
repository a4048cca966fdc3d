/** Numbers for the operator, in Prometheus' words. What concerns exchanges is folded from AuditRecords in `fold.ts`. */
import { collectDefaultMetrics, Registry } from 'prom-client'
import type { AuditRecord } from '#contracts/audit-record.ts'
import { folding } from './fold.ts'
import { describeMetrics, type Gauges, type Instruments } from './instruments.ts'

export type { Gauges }

export interface Build {
  readonly version: string
  readonly revision: string
  readonly node: string
}

export interface Reload {
  readonly trigger: 'start' | 'watch' | 'signal' | 'admin'
  readonly ok: boolean
  /** Of the policy now in force; `undefined`: none is. */
  readonly hash: string | undefined
  /** Milliseconds since the epoch. */
  readonly at: number
}

export interface Metrics {
  readonly contentType: string
  /** The whole exposition. */
  text(): Promise<string>
  /** Names the gauges that other rooms hold; may be called again with more. */
  watch(gauges: Gauges): void
  /** Folds one record in. */
  observe(record: AuditRecord): void
  reloaded(reload: Reload): void
  refreshed(credential: string, result: 'ok' | 'failed' | 'needs_login' | 'store_failed'): void
  secretReadFailed(credential: string): void
  blind(budget: string, result: 'leased' | 'allowed' | 'refused'): void
  leafMinted(result: 'allowed' | 'denied' | 'refused'): void
  /** Threads that serve beside this one. */
  workers(up: number): void
  workerRestarted(): void
  auditResult(sink: string, result: 'ok' | 'error' | 'dropped', records: number): void
}

/** `runtime` adds the metrics of process and event loop; tests leave them out. */
export function createMetrics(build: Build, options: { readonly runtime?: boolean } = {}): Metrics {
  const registry = new Registry()
  let gauges: Gauges = {}
  const instruments = describeMetrics(registry, () => gauges)
  if (options.runtime) addRuntime(registry)
  instruments.build.set({ version: build.version, revision: build.revision, node_version: build.node }, 1)
  instruments.configSuccessful.set(0)
  return {
    contentType: registry.contentType,
    text: () => registry.metrics(),
    watch(more) {
      gauges = { ...gauges, ...more }
    },
    observe: folding(instruments),
    reloaded: (reload) => countReload(instruments, reload),
    refreshed: (credential, result) => instruments.refreshes.inc({ credential, result }),
    secretReadFailed: (credential) => instruments.secretReadErrors.inc({ credential }),
    blind: (budget, result) => instruments.blind.inc({ budget, result }),
    leafMinted: (result) => instruments.leafsMinted.inc({ result }),
    workers: (up) => instruments.workers.set(up),
    workerRestarted: () => instruments.workerRestarts.inc({}),
    auditResult: (sink, result, records) => instruments.auditEvents.inc({ sink, result }, records),
  }
}

function countReload(instruments: Instruments, { trigger, ok, hash, at }: Reload): void {
  instruments.configReloads.inc({ trigger, result: ok ? 'ok' : 'error' })
  instruments.configSuccessful.set(ok ? 1 : 0)
  if (ok) instruments.configSuccessTime.set(at / 1000)
  instruments.configInfo.reset()
  if (hash !== undefined) instruments.configInfo.set({ hash }, 1)
}

function addRuntime(register: Registry): void {
  collectDefaultMetrics({ register })
  // prom-client 15 names these gauges as if they were counters, which promtool refuses.
  for (const kind of ['handles', 'requests', 'resources']) register.removeSingleMetric(`nodejs_active_${kind}_total`)
}
