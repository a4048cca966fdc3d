import type { AuditRecord } from '#journey/types.ts'

/** Enough for an operator who looks at a busy proxy every second, and about 1 MB. */
const most = 1_000

/** The last audit records, for operators who ask the running proxy. */
export class Recent {
  readonly #records: AuditRecord[] = []
  #next = 0

  add(record: AuditRecord): void {
    this.#records[this.#next % most] = record
    this.#next += 1
  }

  /** Those that were written after the record of this id, oldest first; all where it is not known any more. */
  after(id: string | undefined): readonly AuditRecord[] {
    const start = this.#next < most ? 0 : this.#next % most
    const all = [...this.#records.slice(start), ...this.#records.slice(0, start)]
    return all.slice(all.findIndex((record) => record.id === id && id !== undefined) + 1)
  }
}
