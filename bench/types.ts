/** The words of the bench: a scenario yields tables, a table has rows of figures. */
import type { Contender } from './contenders/types.ts'
import type { Stage } from './stage.ts'

/** The median, and from where to where the middle half goes. */
export interface Spread {
  readonly median: number
  readonly low: number
  readonly high: number
}

/** What a column tells. */
export interface Measure {
  readonly says: string
  readonly unit: string
  readonly digits?: number
}

export interface Row {
  /** What was asked of the contenders, such as `64 connections`. */
  readonly of: string
  readonly contender: string
  readonly figures: Readonly<Record<string, Spread>>
}

export interface Table {
  readonly name: string
  readonly title: string
  readonly measures: Readonly<Record<string, Measure>>
  /** The measure by which a row is compared with ours of the same case, and whether more of it is better. */
  readonly compare?: { readonly measure: string; readonly better: 'more' | 'less' }
  readonly rows: readonly Row[]
  /** What a reader must know, failures included. */
  readonly notes: readonly string[]
}

export interface Bench {
  readonly stage: Stage
  /** Those that are installed. */
  readonly contenders: readonly Contender[]
  /** How often each takes its turn. */
  readonly rounds: number
}

export interface Scenario {
  readonly name: string
  run(bench: Bench): Promise<readonly Table[]>
}

/** What a run has found, as it stands in `results.json`. */
export interface Results {
  readonly date: string
  readonly machine: string
  readonly versions: Readonly<Record<string, string>>
  /** Contenders that are not installed, and scenarios that there was no time for. */
  readonly leftOut: readonly string[]
  readonly seconds: number
  readonly tables: readonly Table[]
}
