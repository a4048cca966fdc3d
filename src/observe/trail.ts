import type { Writable } from 'node:stream'
import type { Audit } from '#journey/ports.ts'
import type { AuditRecord } from '#journey/types.ts'
import { AuditLog } from './audit.ts'
import type { Metrics } from './metrics.ts'
import { fileSink, streamSink } from './sinks.ts'

export interface TrailOptions {
  readonly stdout: boolean
  /** Path of a file that the same lines are appended to. */
  readonly file?: string | undefined
}

/** Where every record goes: into the metrics, and to each sink of the settings. */
export class Trail implements Audit {
  readonly #metrics: Metrics
  readonly #logs = new Map<string, AuditLog>()

  constructor({ stdout, file }: TrailOptions, stream: Writable, metrics: Metrics) {
    this.#metrics = metrics
    const open = (name: string, sink: ConstructorParameters<typeof AuditLog>[0]) =>
      this.#logs.set(name, new AuditLog(sink, { onResult: (result, records) => metrics.auditResult(name, result, records) }))
    if (stdout) open('stdout', streamSink(stream))
    if (file !== undefined) open('file', fileSink(file))
  }

  /** Records not yet written, by sink. */
  get depth(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#logs].map(([name, log]) => [name, log.depth]))
  }

  write(record: AuditRecord): void {
    this.#metrics.observe(record)
    for (const log of this.#logs.values()) log.write(record)
  }

  reopen(): void {
    for (const log of this.#logs.values()) log.reopen()
  }

  async close(): Promise<void> {
    await Promise.all([...this.#logs.values()].map((log) => log.close()))
  }
}
