import type { Writable } from 'node:stream'
import type { Audit, Runs } from '#journey/ports.ts'
import type { AuditRecord } from '#journey/types.ts'
import { AuditLog } from './audit.ts'
import type { Neighbours } from './neighbours.ts'
import { auditLine } from './audit-line.ts'
import { Recent } from './recent.ts'
import type { Metrics, Reload } from './metrics.ts'
import { UnpricedModels } from './unpriced.ts'
import { natsSink } from './nats.ts'
import type { NatsOptions } from './nats.ts'
import { fileSink, streamSink } from './sinks.ts'

export interface TrailOptions {
  readonly stdout: boolean
  /** Path of a file that the same lines are appended to. */
  readonly file?: string | undefined
  /** Without `url`, no events are published. */
  readonly nats?: Omit<NatsOptions, 'url'> & { readonly url?: string | undefined }
  /** `refuse`: no request begins that could not be recorded. Default: `drop`. */
  readonly whenFull?: 'drop' | 'refuse' | undefined
}

/** Where every record goes: into the metrics, and to each sink of the settings. */
export class Trail implements Audit {
  readonly #metrics: Metrics
  readonly #refuses: boolean
  readonly #logs = new Map<string, AuditLog>()
  #runs: Pick<Runs, 'boundTo'> | undefined
  readonly #recent = new Recent()
  #neighbours: Neighbours | undefined
  readonly unpriced = new UnpricedModels()

  /** `log`: the operator's, where a sink that takes nothing is named. */
  constructor(
    { stdout, file, nats, whenFull }: TrailOptions,
    stream: Writable,
    metrics: Metrics,
    log?: Readonly<Record<'info' | 'error', (fields: object, message: string) => void>>,
  ) {
    this.#metrics = metrics
    this.#refuses = whenFull === 'refuse'
    const open = (name: string, sink: ConstructorParameters<typeof AuditLog>[0]) =>
      this.#logs.set(
        name,
        new AuditLog(sink, {
          onResult: (result, records) => metrics.auditResult(name, result, records),
          onDropping(dropping) {
            if (dropping)
              log?.error({ event: 'audit', sink: name }, `${name} takes no records and the queue is full: records are lost`)
            else log?.info({ event: 'audit', sink: name }, 'no audit record is lost any more')
          },
          onTrouble(error) {
            const { code = 'unknown error' } = (error ?? {}) as NodeJS.ErrnoException
            if (error === undefined) log?.info({ event: 'audit', sink: name }, 'audit records are written again')
            else
              log?.error({ event: 'audit', sink: name, code }, `audit records cannot be written to ${name}; they wait in memory`)
          },
        }),
      )
    if (stdout) open('stdout', streamSink(stream))
    if (file !== undefined) open('file', fileSink(file))
    if (nats?.url !== undefined) open('nats', natsSink({ ...nats, url: nats.url }))
  }

  /** A sink loses records. */
  get dropping(): boolean {
    return [...this.#logs.values()].some((log) => log.dropping)
  }

  /** No request may begin: what it does could not be recorded. */
  get refuses(): boolean {
    if (!this.#refuses) return false
    for (const log of this.#logs.values()) if (log.full) return true
    return false
  }

  /** Records not yet written, by sink. */
  get depth(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#logs].map(([name, log]) => [name, log.depth]))
  }

  write(record: AuditRecord): void {
    this.#metrics.observe(record)
    const stamped = this.#stamp(record)
    this.#neighbours?.observe(stamped)
    this.#recent.add(stamped)
    this.unpriced.observe(record)
    for (const log of this.#logs.values()) log.write(stamped)
  }

  /** The last records as lines of audit, oldest first; `after`: those that follow the record of this id. */
  recent(after?: string): readonly string[] {
    return this.#recent.after(after).map(auditLine)
  }

  /** Looks whether agents are neighbours that can read our files. */
  watch(neighbours: Neighbours): void {
    this.#neighbours = neighbours
  }

  /** Names who knows which run an agent is on. */
  follow(runs: Pick<Runs, 'boundTo'>): void {
    this.#runs = runs
  }

  /** Another policy is in force, or one was refused: an event, and no record of what an agent did. */
  reloaded({ ok, trigger, hash, at }: Reload): void {
    const event = { id: `policy-${at}`, time: new Date(at).toISOString(), type: 'policy', event: ok ? 'reloaded' : 'rejected' }
    this.#logs
      .get('nats')
      ?.put(JSON.stringify({ ...event, agent: null, verdict: ok ? 'allow' : 'error', trigger, policyHash: hash }))
  }

  /** An exchange knows the run it began in; what is counted or noticed beside them belongs to the one of now. */
  #stamp(record: AuditRecord): AuditRecord {
    if (record.agent === null || (record.type !== 'dns' && record.type !== 'budget')) return record
    const runId = this.#runs?.boundTo(record.agent)
    return runId === undefined ? record : { ...record, runId }
  }

  reopen(): void {
    for (const log of this.#logs.values()) log.reopen()
  }

  async close(): Promise<void> {
    await Promise.all([...this.#logs.values()].map((log) => log.close()))
  }
}
