import { Counter, Histogram, Registry } from 'prom-client'
import { expect, it } from 'vitest'
import { Buckets, Tally } from '#observe/counters.ts'

const bounds = [0.1, 1, 10]
const labelNames = ['agent', 'code'] as const
const series = [
  { agent: 'coder', code: '2xx' },
  { agent: 'coder', code: '4xx' },
  { agent: 'other', code: '2xx' },
]

/** What a registry shows of a counter and a histogram that were told the same. */
async function shown(fill: (registry: Registry) => void): Promise<string> {
  const registry = new Registry()
  fill(registry)
  await registry.metrics()
  return registry.metrics()
}

it('what is added is shown as prom-client shows it, scrape after scrape', async () => {
  const own = await shown((registry) => {
    const tally = new Tally({ name: 'asked_total', help: 'Asked.', labelNames, registry })
    const buckets = new Buckets({ name: 'took_seconds', help: 'Took.', labelNames, registry }, bounds)
    for (const [i, labels] of series.entries()) {
      tally.inc(labels, i + 1)
      tally.inc(labels)
      for (const value of [0.1, 0.5, 5, 50]) buckets.observe(labels, value * (i + 1))
    }
  })
  const theirs = await shown((registry) => {
    const counter = new Counter({ name: 'asked_total', help: 'Asked.', labelNames, registers: [registry] })
    const histogram = new Histogram({ name: 'took_seconds', help: 'Took.', labelNames, buckets: bounds, registers: [registry] })
    for (const [i, labels] of series.entries()) {
      counter.inc(labels, i + 2)
      for (const value of [0.1, 0.5, 5, 50]) histogram.observe(labels, value * (i + 1))
    }
  })
  expect(own).toBe(theirs)
  expect(own).toContain('asked_total{agent="other",code="2xx"} 4')
})

it('a counter without labels is there before anything is counted', async () => {
  const text = await shown((registry) => void new Tally<never>({ name: 'ended_total', help: 'Ended.', labelNames: [], registry }))
  expect(text).toContain('ended_total 0')
})
