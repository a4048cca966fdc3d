import type { BudgetRefusal } from './notice.ts'
import type { PriceList } from './price.ts'
import type { Amount, Budget } from './types.ts'

/** A metered request before it is sent. */
export interface MeteredRequest {
  /** The exchange's. */
  readonly id: string
  readonly agent: string
  readonly budgets: readonly Budget[]
  /** Its meter: prices are looked up under this name. */
  readonly provider: string
  readonly model: string | undefined
  readonly bodyBytes: number
  readonly mostOutput: number | undefined
  readonly hiddenInput: boolean
  readonly images?: number | undefined
  /** It holds sound, or asks for some. */
  readonly sound?: boolean | undefined
  /** How it asks to be served: prices follow it. */
  readonly tier?: string | undefined
  readonly stream: boolean
  readonly prices: PriceList
  /** What the rule says each request costs, in place of what is not reported. */
  readonly fixed: Amount | undefined
  /** Ends the running reply. */
  readonly cut: (refusal: BudgetRefusal) => void
}
