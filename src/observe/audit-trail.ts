import type { Writable } from 'node:stream'
import type { Audit, AuditRecord } from '#contracts/audit-record.ts'
import type { Runs } from '#contracts/runs.ts'
import { AuditQueue } from './audit-queue.ts'
import type { Neighbours } from './neighbours.ts'
import { LineParts, writeAuditLine } from './audit-line.ts'
import { LineBuffer } from './line-buffer.ts'
import { Recent } from './recent.ts'
import type { Metrics, Reload } from './metrics.ts'
import { UnpricedModels } from './unpriced.ts'
import { natsSink } from './nats.ts'
import type { NatsOptions } from './nats.ts'
import { fileSink } from './file-sink.ts'
import type { FileSinkOptions } from './file-sink.ts'
import { streamSink } from './sinks.ts'

export interface AuditTrailOptions {
  readonly stdout: boolean
  /** Path of a file that the same lines are appended to. */
  readonly file?: string | undefined
  /** Chain the lines of the file, and sign heads of the chain with this key. */
  readonly chain?: boolean | undefined
  readonly signKey?: string | undefined
  readonly signEvery?: { readonly records: number; readonly seconds: number } | undefined
  /** When the file ends and which old ones stay; MiB, files and days, 0 for no bound. */
  readonly rotate?: { readonly size: number; readonly keepFiles: number; readonly keepDays: number } | undefined
  /** Without `url`, no events are published. */
  readonly nats?: Omit<NatsOptions, 'url'> & { readonly url?: string | undefined }
  /** `refuse`: no request begins that could not be recorded. Default: `drop`. */
  readonly whenFull?: 'drop' | 'refuse' | undefined
}

/** The operator's log. */
type Tell = Readonly<Record<'info' | 'error', (fields: object, message: string) => void>>

function fileOptions(
  { chain, signKey, signEvery, rotate }: AuditTrailOptions,
  log: Tell | undefined,
  uid?: number,
): FileSinkOptions {
  return {
    rotation: rotate && { bytes: rotate.size * 1024 * 1024, files: rotate.keepFiles, days: rotate.keepDays },
    chain:
      chain && signKey !== undefined && signEvery
        ? {
            key: signKey,
            uid,
            every: signEvery,
            onHead({ seq, chain: last, reason, signature }, lost) {
              const fields = { event: 'audit_head', seq, chain: last, signature }
              if (lost > 0)
                log?.error({ ...fields, lost }, `${lost} audit records that were signed are gone from the end of the file`)
              // One each minute at most: those of a count are in the file beside the audit.
              else if (reason !== 'count') log?.info(fields, `the audit is signed up to record ${seq}`)
            },
          }
        : undefined,
  }
}

/** Where every record goes: into the metrics, and to each sink of the settings. */
export class AuditTrail implements Audit {
  readonly #metrics: Metrics
  readonly #refuses: boolean
  readonly #logs = new Map<string, AuditQueue>()
  #runs: Pick<Runs, 'boundTo'> | undefined
  /** The same, to go through with each record. */
  readonly #all: readonly AuditQueue[]
  readonly #recent = new Recent()
  /** The line of the record that is written, which all take. */
  readonly #line = new LineBuffer(8 * 1024)
  readonly #parts = new LineParts()
  #neighbours: Neighbours | undefined
  readonly unpriced = new UnpricedModels()

  /** `log`: the operator's, where a sink that takes nothing is named. */
  constructor(options: AuditTrailOptions, stream: Writable, metrics: Metrics, log?: Tell, uid?: number) {
    const { stdout, file, nats, whenFull } = options
    this.#metrics = metrics
    this.#refuses = whenFull === 'refuse'
    const open = (name: string, sink: ConstructorParameters<typeof AuditQueue>[0]) =>
      this.#logs.set(
        name,
        new AuditQueue(sink, {
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
    if (file !== undefined) open('file', fileSink(file, fileOptions(options, log, uid)))
    if (nats?.url !== undefined) open('nats', natsSink({ ...nats, url: nats.url }))
    this.#all = [...this.#logs.values()]
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
    const stamped = this.#stamp(record)
    this.#observe(stamped)
    writeAuditLine(stamped, this.#line, this.#parts)
    this.#keep(this.#line.view())
    this.#line.cut(0)
  }

  /** The same of a record that another thread has written as a line. */
  take(line: Uint8Array): void {
    this.#observe(JSON.parse(Buffer.from(line.buffer, line.byteOffset, line.length).toString('latin1')) as AuditRecord)
    this.#keep(line)
  }

  /** The last records as lines of audit, oldest first; `after`: those that follow the record of this id. */
  recent(after?: string): readonly string[] {
    return this.#recent.after(after)
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

  #observe(record: AuditRecord): void {
    this.#metrics.observe(record)
    this.#neighbours?.observe(record)
    this.unpriced.observe(record)
  }

  #keep(line: Uint8Array): void {
    this.#recent.add(line)
    for (const log of this.#all) log.append(line)
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
