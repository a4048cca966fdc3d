import { LruMap } from '#base/async.ts'
import type { AuditRecord, Unpriced } from '#contracts/audit-record.ts'

/** The last models that agents asked for and that have no price, newest first: what `iron-proxy check` warns of. Bounded. */
export class UnpricedModels {
  readonly #seen = new LruMap<string, Unpriced>(50)

  observe({ unpriced }: Pick<AuditRecord, 'unpriced'>): void {
    if (unpriced) this.#seen.set(`${unpriced.meter} ${unpriced.model}`, unpriced)
  }

  list(): readonly Unpriced[] {
    return [...this.#seen.values()].toReversed()
  }
}
