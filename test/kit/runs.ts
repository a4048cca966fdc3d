import { randomBytes } from 'node:crypto'
import type { AdminSources } from '#admin/server.ts'
import { ulids } from '#observe/ids.ts'
import { RunRegistry } from '#runs/runs.ts'
import type { AuditRecord } from '#contracts/audit-record.ts'
import type { Snapshot } from '#contracts/snapshot.ts'
import { ManualClock } from './clock.ts'
import { MemoryRuns, RunHub } from './run-store.ts'

/** What an admin listener has of runs where a test wants none. */
export const noRuns: Pick<AdminSources, 'runs' | 'explicitProxy'> = {
  runs: {
    mint: async () => ({ kind: 'refused', code: 'no_policy', message: 'no run is expected here' }),
    end: async () => 'unknown',
    rows: () => [],
    bind: async () => 'unknown',
  },
  explicitProxy: () => ({ address: '127.0.0.1', port: 8080 }),
}

/** Runs under a manual clock, with what they write and cut; several of them on one hub are replicas. */
export function runsOf(snapshot: Snapshot, hub = new RunHub(), clock = new ManualClock()) {
  const store = new MemoryRuns(hub)
  const records: AuditRecord[] = []
  const cut: string[] = []
  const held = { snapshot: snapshot as Snapshot | undefined }
  const runs = new RunRegistry({
    clock,
    ids: ulids(() => clock.now()),
    random: (bytes) => randomBytes(bytes).toString('base64url'),
    snapshot: () => held.snapshot,
    store,
    audit: { write: (record) => void records.push(record) },
    cut: (run, reason) => void cut.push(`${run} ${reason}`),
  })
  return { runs, clock, hub, store, records, cut, held }
}
