import type { Audit } from '#journey/ports.ts'
import type { AuditRecord } from '#journey/types.ts'

/** Audit records on their way to the thread that writes them: all of one turn in one message, which costs a fraction of many. */
export class Records implements Audit {
  /** As the thread that writes them says. */
  refuses = false
  readonly #send: (batch: readonly AuditRecord[]) => void
  #batch: AuditRecord[] = []

  constructor(send: (batch: readonly AuditRecord[]) => void) {
    this.#send = send
  }

  write(record: AuditRecord): void {
    // The turn ends soon, so that a thread which fails takes no more with it than what it was busy with.
    if (this.#batch.push(record) === 1) setImmediate(() => this.flush())
  }

  flush(): void {
    if (this.#batch.length === 0) return
    this.#send(this.#batch)
    this.#batch = []
  }
}
