/** The guard against a slow decay: ratios of a short run beside those of a run that was found good. */
export interface Baseline {
  /** When and on what it was made, for the reader. */
  readonly made: string
  /** Each the better the higher. */
  readonly ratios: Readonly<Record<string, number>>
}

export interface Comparison {
  readonly name: string
  readonly was: number | undefined
  readonly is: number | undefined
  readonly verdict: 'held' | 'fell' | 'new' | 'not measured'
}

/** What may be lost before it counts as a fall: machines differ, and their neighbours disturb. */
export const tolerated = 1 / 3

/** Each ratio of either beside the other. */
export function compareWith(baseline: Baseline, ratios: Readonly<Record<string, number>>): readonly Comparison[] {
  const names = new Set([...Object.keys(baseline.ratios), ...Object.keys(ratios)])
  return [...names].map((name) => {
    const was = baseline.ratios[name]
    const is = Number.isFinite(ratios[name]) ? ratios[name] : undefined
    const verdict = is === undefined ? 'not measured' : was === undefined ? 'new' : is < was * (1 - tolerated) ? 'fell' : 'held'
    return { name, was, is, verdict }
  })
}

/** Whether the run is no worse: nothing fell, and something was there to compare. */
export function holds(comparisons: readonly Comparison[]): boolean {
  return comparisons.some(({ verdict }) => verdict === 'held') && comparisons.every(({ verdict }) => verdict !== 'fell')
}

/** The comparison as lines for a terminal. */
export function comparisonText(comparisons: readonly Comparison[]): string {
  const show = (value: number | undefined) => (value === undefined ? '–' : value.toFixed(2)).padStart(6)
  return comparisons
    .map(({ name, was, is, verdict }) => `${show(is)}  was ${show(was)}  ${verdict.padEnd(12)}  ${name}\n`)
    .join('')
}
