import type { Spread } from './types.ts'

/** The middle of some figures, and where its middle half lies. Of none: all NaN. */
export function spread(values: readonly number[]): Spread {
  const sorted = values.filter((value) => !Number.isNaN(value)).toSorted((one, other) => one - other)
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
  return { median: at(0.5), low: at(0.25), high: at(0.75) }
}

/** What a run has found of each measure; some are looked at several times. */
export type Figures = Readonly<Record<string, number | readonly number[]>>

/** What some runs have found, each figure with its spread. */
export function spreads(runs: readonly Figures[]): Readonly<Record<string, Spread>> {
  return Object.fromEntries(Object.keys(runs[0] ?? {}).map((key) => [key, spread(runs.flatMap((run) => run[key] ?? Number.NaN))]))
}
