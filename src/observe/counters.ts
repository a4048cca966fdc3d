/**
 * Counters and histograms that cost an exchange some 10 ns each. prom-client sorts and joins the labels of every single addition,
 * which cost a request 8 µs: here a caller keeps the series it adds to, and they become prom-client's when they are scraped.
 */
import { Counter } from 'prom-client'
import type { Metric, Registry } from 'prom-client'

type Labels<Label extends string> = Readonly<Record<Label, string>>

export interface Described<Label extends string> {
  readonly name: string
  readonly help: string
  readonly labelNames: readonly Label[]
  readonly registry: Registry
}

/** A series of a counter, for adding to it without looking for it. */
export interface Count {
  /** Added since the last scrape. */
  count: number
}

/** A counter; `inc` and `series` take every label. */
export class Tally<Label extends string> {
  readonly #names: readonly Label[]
  readonly #added = new Map<string, Count & { readonly labels: Labels<Label> }>()

  constructor({ name, help, labelNames, registry }: Described<Label>) {
    this.#names = labelNames
    const added = this.#added
    const counter = new Counter({
      name,
      help,
      labelNames,
      registers: [registry],
      collect() {
        for (const each of added.values()) {
          if (each.count > 0) this.inc(each.labels, each.count)
          each.count = 0
        }
      },
    })
    // Without labels the series is there from the start, with 0.
    if (labelNames.length === 0) counter.inc(0)
  }

  inc(labels: Labels<Label>, count = 1): void {
    this.series(labels).count += count
  }

  /** The series with these labels, for as long as the process lives. It is not shown before something is added. */
  series(labels: Labels<Label>): Count {
    const key = keyOf(this.#names, labels)
    let found = this.#added.get(key)
    if (!found) this.#added.set(key, (found = { labels, count: 0 }))
    return found
  }
}

/** A series of a histogram, for observing in it without looking for it. */
export interface Observed {
  observe(value: number): void
}

/** A histogram; `observe` and `series` take every label. */
export class Buckets<Label extends string> {
  readonly #described: Described<Label>
  readonly #bounds: readonly number[]
  readonly #series = new Map<string, Series<Label>>()

  constructor(described: Described<Label>, bounds: readonly number[]) {
    this.#described = described
    this.#bounds = bounds
    const { name, help, registry } = described
    // What the registry asks of a metric: a name, and its values when it is scraped.
    const metric = {
      name,
      help,
      type: 'histogram',
      aggregator: 'sum',
      get: () => Promise.resolve(this.#exposed()),
      // A caller may keep a series, so none goes away.
      reset: () => this.#series.forEach((series) => series.clear()),
    }
    registry.registerMetric(metric as unknown as Metric)
  }

  observe(labels: Labels<Label>, value: number): void {
    this.series(labels).observe(value)
  }

  /** The series with these labels, for as long as the process lives. It is not shown before something is observed. */
  series(labels: Labels<Label>): Observed {
    const key = keyOf(this.#described.labelNames, labels)
    let found = this.#series.get(key)
    if (!found) this.#series.set(key, (found = new Series(labels, this.#bounds)))
    return found
  }

  /** Cumulative buckets, as the exposition format has them. */
  #exposed(): object {
    const { name, help } = this.#described
    const values: object[] = []
    for (const { labels, counts, sum, count } of this.#series.values()) {
      if (count === 0) continue
      let below = 0
      this.#bounds.forEach((bound, i) => {
        below += counts[i] ?? 0
        values.push({ metricName: `${name}_bucket`, labels: { le: bound, ...labels }, value: below })
      })
      values.push({ metricName: `${name}_bucket`, labels: { le: '+Inf', ...labels }, value: count })
      values.push({ metricName: `${name}_sum`, labels, value: sum }, { metricName: `${name}_count`, labels, value: count })
    }
    return { name, help, type: 'histogram', aggregator: 'sum', values }
  }
}

class Series<Label extends string> implements Observed {
  readonly labels: Labels<Label>
  /** By bound, not cumulative. */
  readonly counts: Float64Array
  sum = 0
  count = 0
  readonly #bounds: readonly number[]

  constructor(labels: Labels<Label>, bounds: readonly number[]) {
    this.labels = labels
    this.#bounds = bounds
    this.counts = new Float64Array(bounds.length)
  }

  observe(value: number): void {
    const bounds = this.#bounds
    let at = 0
    while (at < bounds.length && value > (bounds[at] as number)) at += 1
    if (at < bounds.length) this.counts[at] = (this.counts[at] as number) + 1
    this.sum += value
    this.count += 1
  }

  clear(): void {
    this.counts.fill(0)
    this.sum = 0
    this.count = 0
  }
}

/** The labels of a series in one order; a character that no label of ours has stands between them. */
function keyOf<Label extends string>(names: readonly Label[], labels: Labels<Label>): string {
  let key = ''
  for (const name of names) key += `${labels[name]}\n`
  return key
}
