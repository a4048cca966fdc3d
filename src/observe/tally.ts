/**
 * Counters and histograms that cost an exchange some 100 ns each. prom-client sorts and joins the labels of every single addition,
 * which cost a request 8 µs: here they are joined in their one order, and become prom-client's when they are scraped.
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

/** A counter; `inc` takes every label. */
export class Tally<Label extends string> {
  readonly #names: readonly Label[]
  readonly #added = new Map<string, { readonly labels: Labels<Label>; count: number }>()

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
    const key = keyOf(this.#names, labels)
    const found = this.#added.get(key)
    if (found) found.count += count
    else this.#added.set(key, { labels, count })
  }
}

/** A histogram; `observe` takes every label. */
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
      reset: () => this.#series.clear(),
    }
    registry.registerMetric(metric as unknown as Metric)
  }

  observe(labels: Labels<Label>, value: number): void {
    const key = keyOf(this.#described.labelNames, labels)
    let series = this.#series.get(key)
    if (!series) {
      series = { labels, counts: new Float64Array(this.#bounds.length), sum: 0, count: 0 }
      this.#series.set(key, series)
    }
    const at = this.#bounds.findIndex((bound) => value <= bound)
    if (at >= 0) series.counts[at] = (series.counts[at] ?? 0) + 1
    series.sum += value
    series.count += 1
  }

  /** Cumulative buckets, as the exposition format has them. */
  #exposed(): object {
    const { name, help } = this.#described
    const values: object[] = []
    for (const { labels, counts, sum, count } of this.#series.values()) {
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

interface Series<Label extends string> {
  readonly labels: Labels<Label>
  /** By bound, not cumulative. */
  readonly counts: Float64Array
  sum: number
  count: number
}

/** The labels of a series in one order; a character that no label of ours has stands between them. */
function keyOf<Label extends string>(names: readonly Label[], labels: Labels<Label>): string {
  let key = ''
  for (const name of names) key += `${labels[name]}\n`
  return key
}
