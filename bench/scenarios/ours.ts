/** Ours beside ours: what the meter, the swap, many rules, each door and a second worker cost. */
import { ironProxy } from '../contenders/iron-proxy.ts'
import type { Variant } from '../contenders/iron-proxy.ts'
import { head, load } from '../load.ts'
import { oneByOne, race, requestFigures, requestMeasures } from '../measure.ts'
import { cores, host, upstream } from '../names.ts'
import { memory, threads } from '../processes.ts'
import { spreads } from '../spread.ts'
import type { Stage } from '../stage.ts'
import type { Row, Scenario } from '../types.ts'

const compare = { measure: 'cpu', better: 'less' } as const

function completion(stage: Stage): string {
  const body = JSON.stringify({
    model: 'gpt-5',
    max_tokens: 400,
    messages: [{ role: 'user', content: 'What does a proxy cost? Answer in one sentence, please. '.repeat(8) }],
  })
  const fields = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
  return stage.request(head('POST /v1/chat/completions', host, fields) + body)
}

/** What a call to a model costs with each of what happens to it turned off. */
export const switches: Scenario = {
  name: 'switches',
  async run(bench) {
    const request = completion(bench.stage)
    const variants: readonly Variant[] = [
      { name: 'everything on' },
      { name: 'no budget', budget: false },
      { name: 'no meter', meter: false },
      { name: 'no swap and scrub', swap: false },
      { name: 'neither', meter: false, swap: false },
    ]
    const { rows, notes } = await race(
      bench,
      variants.map((variant) => ironProxy(variant)),
      [{ of: 'POST /v1/chat/completions, 32 connections', options: { request }, figures: requestFigures }],
      { rounds: bench.rounds + 2, warmSeconds: 12 },
    )
    return [
      {
        name: 'switches',
        title: 'What happens to a call to a model, and what it costs',
        measures: requestMeasures,
        compare,
        rows,
        notes,
      },
    ]
  },
}

export const rules: Scenario = {
  name: 'rules',
  async run(bench) {
    const request = bench.stage.request(head('GET /json', host))
    const { rows, notes } = await race(
      bench,
      [10, 1000, 10_000].map((count) => ironProxy({ name: `${count.toLocaleString('en')} rules`, rules: count })),
      [{ of: '32 connections', options: { request }, figures: requestFigures }],
      { rounds: bench.rounds + 2, warmSeconds: 12 },
    )
    return [{ name: 'rules', title: 'Rules before the one that matches', measures: requestMeasures, compare, rows, notes }]
  },
}

/** One process, reached through each of its doors, and asked for what it refuses. */
export const doors: Scenario = {
  name: 'doors',
  async run({ stage, rounds }) {
    const proxy = await ironProxy().start(stage, cores.proxy, upstream)
    try {
      const allowed = stage.request(head('GET /json', host))
      const denied = stage.request(head('GET /denied', host))
      const ways = [
        { of: 'allowed', contender: 'CONNECT', way: 'connect', port: proxy.ports.proxy, request: allowed, refused: 0 },
        { of: 'allowed', contender: 'transparent', way: 'tls', port: proxy.ports.https, request: allowed, refused: 0 },
        { of: 'denied', contender: 'CONNECT', way: 'connect', port: proxy.ports.proxy, request: denied, refused: 403 },
        { of: 'denied', contender: 'transparent', way: 'tls', port: proxy.ports.https, request: denied, refused: 403 },
      ] as const
      const found = ways.map(() => [] as Readonly<Record<string, number>>[])
      for (let round = -1; round < rounds; round += 1) {
        for (const [i, { way, port, request, refused }] of ways.entries()) {
          const through = { name: 'iron-proxy', way }
          const warm = round < 0 ? { warm: 4, warmRequests: 50_000, seconds: 0.1 } : {}
          const told = await load(stage, through, { ...proxy, port }, { request, refused, ...warm })
          if (round >= 0) found[i]?.push(requestFigures(told))
        }
      }
      const rows: readonly Row[] = ways.map(({ of, contender }, i) => ({ of, contender, figures: spreads(found[i] ?? []) }))
      return [
        {
          name: 'doors',
          title: 'Each door of ours, and what a refusal costs',
          measures: requestMeasures,
          compare,
          rows,
          notes: [],
        },
      ]
    } finally {
      await proxy.stop()
    }
  },
}

/** One worker and two, on both cores, which load and upstream need as well. */
export const workers: Scenario = {
  name: 'workers',
  async run({ stage, rounds }) {
    const options = { request: stage.request(head('GET /json', host)), connections: 64 }
    const contenders = [1, 2].map((count) => ironProxy({ name: `workers: ${count}`, workers: count }))
    const warm = { ...options, warm: 4, warmRequests: 60_000 }
    const threadsOf: Record<string, number> = {}
    const found = await oneByOne({ stage, contenders }, { core: cores.both, rounds, warm }, async (contender, proxy) => {
      threadsOf[contender.name] = threads(proxy.pid)
      const told = await load(stage, contender, proxy, options)
      return { of: '64 connections', figures: { ...requestFigures(told), memory: memory(proxy.pid) } }
    })
    // A setting that is taken and does nothing must not look like one that costs nothing.
    const idle = (threadsOf['workers: 2'] ?? 0) <= (threadsOf['workers: 1'] ?? 0)
    const rows = idle ? found.rows.filter(({ contender }) => contender !== 'workers: 2') : found.rows
    const notes = [
      'The proxy may use both cores, and load and upstream want one of them: with two cores the rate cannot double.',
      ...found.notes,
      ...(idle && found.notes.length === 0 ? ['workers: 2 is left out: one thread served everything'] : []),
    ]
    const measures = { ...requestMeasures, memory: { says: 'memory', unit: 'MiB' } }
    return [{ name: 'workers', title: 'One worker and two', measures, compare, rows, notes }]
  },
}
