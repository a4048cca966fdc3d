/** One step of a run, whatever wrote it down. */
import type { AuditRecord } from '#contracts/audit-record.ts'
import type { TimelineEvent } from './run-event.ts'

/** What the crew's memory keeps, as far as a timeline needs it. */
export interface MemoryLine {
  readonly id: string
  readonly time: string
  readonly type: string
  readonly agent: string
  readonly title: string
  readonly run_id: string
}

export type Step =
  | { readonly from: 'audit'; readonly at: number; readonly record: AuditRecord }
  | { readonly from: 'agent'; readonly at: number; readonly event: TimelineEvent }
  | { readonly from: 'memory'; readonly at: number; readonly memory: MemoryLine }

const memoryTypes = new Set(['decision', 'incident', 'pattern', 'runbook'])

/** The step of a line: of an audit, of run events, of the memory, or a CloudEvent around one of them. `undefined`: it is of no run. */
export function stepOf(line: string): { readonly run: string; readonly step: Step } | undefined {
  // Most lines of an audit are of no run; parsing them would cost most of the time.
  if (!line.includes('"runId":"') && !line.includes('"run_id":"')) return undefined
  let said: Record<string, unknown>
  try {
    said = JSON.parse(line) as Record<string, unknown>
  } catch {
    // A line that was cut by a crash.
    return undefined
  }
  if (typeof said !== 'object' || said === null) return undefined
  if (said['specversion'] === '1.0' && typeof said['data'] === 'object' && said['data'] !== null)
    said = said['data'] as Record<string, unknown>
  const { runId, run_id: ofMemory, time, type } = said
  const at = typeof time === 'string' ? Date.parse(time) : Number.NaN
  if (Number.isNaN(at) || typeof type !== 'string') return undefined
  if (typeof ofMemory === 'string' && memoryTypes.has(type) && typeof said['title'] === 'string')
    return { run: ofMemory, step: { from: 'memory', at, memory: said as unknown as MemoryLine } }
  if (typeof runId !== 'string' || typeof said['event'] !== 'string') return undefined
  return 'verdict' in said
    ? { run: runId, step: { from: 'audit', at, record: said as unknown as AuditRecord } }
    : { run: runId, step: { from: 'agent', at, event: said as unknown as TimelineEvent } }
}

/** What tells a step from another: the same line may come from a file and from NATS. */
export function stepKey(step: Step): string {
  switch (step.from) {
    case 'audit':
      return `${step.record.id} ${step.record.event}`
    case 'agent':
      return `run ${step.event.id}`
    case 'memory':
      return `memory ${step.memory.id}`
    default:
      return step satisfies never
  }
}
