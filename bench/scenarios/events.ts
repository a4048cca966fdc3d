/** Server-sent events: as fast as they come, at the pace of a model, metered, and quiet ones by the thousand. */
import { ironProxy } from '../contenders/iron-proxy.ts'
import { head, load } from '../load.ts'
import { costOf, isBrisk, oneByOne, race, watchMemory } from '../measure.ts'
import type { Load } from '../load.ts'
import { events as at, eventsHost } from '../names.ts'
import { memory } from '../processes.ts'
import type { Scenario } from '../types.ts'

const perStream = 500
const delayMeasures = {
  p50: { says: 'delay of an event, p50', unit: 'µs' },
  p99: { says: 'p99', unit: 'µs' },
  first: { says: 'first event, p50', unit: 'µs' },
  cpu: { says: 'CPU of the proxy for an event', unit: 'µs', digits: 1 },
} as const

const delayFigures = ({ delay, first, cpu }: Load) => ({
  p50: delay.p50,
  p99: delay.p99,
  first: first.p50,
  cpu: costOf(cpu, delay.count),
})

export const events: Scenario = {
  name: 'events',
  async run(bench) {
    const { stage } = bench
    const flat = stage.request(head(`GET /flat/${perStream}`, eventsHost))
    const paced = stage.request(head(`GET /paced/${perStream}/2`, eventsHost))
    const options = { sni: eventsHost, connections: 4, flags: ['--events'] as const }
    const flatFigures = (told: Load) => ({ ...delayFigures(told), rate: told.requests / told.seconds })
    const cases = [
      { of: `${perStream} at once`, options: { ...options, request: flat }, figures: flatFigures },
      // A window of 2.5 s holds one stream of 500 events and begins another: the first event is taken of that one.
      { of: 'one each 2 ms', options: { ...options, request: paced, seconds: 2.5 }, figures: delayFigures },
    ]
    const { rows, notes } = await race(bench, bench.contenders, cases, { upstream: at, warmSeconds: 3 })
    return [
      {
        name: 'events',
        title: 'Server-sent events, 4 connections',
        measures: { rate: { says: 'streams/s', unit: '' }, ...delayMeasures },
        compare: { measure: 'p50', better: 'less' },
        rows,
        notes: [
          'The upstream writes each event by itself, in Node: at once, it is what bounds the streams of those that pass bytes on. A proxy that hands on several events together shows less CPU and more delay.',
          ...notes,
        ],
      },
    ]
  },
}

/** What the meter and a budget add to a reply of a model that streams. */
export const metering: Scenario = {
  name: 'metering',
  async run(bench) {
    const body = '{"model":"claude-opus-4-5","max_tokens":100,"stream":true,"messages":[]}'
    const ask = (pace: string) =>
      bench.stage.request(
        head('POST /v1/messages', eventsHost, {
          'content-type': 'application/json',
          'content-length': body.length,
          'x-bench': pace,
        }) + body,
      )
    const options = { sni: eventsHost, connections: 4, flags: ['--events'] as const }
    const cases = [
      { of: `${perStream} at once`, options: { ...options, request: ask(`/flat/${perStream}`) }, figures: delayFigures },
      {
        of: 'one each 2 ms',
        options: { ...options, request: ask(`/paced/${perStream}/2`), seconds: 2.5 },
        figures: delayFigures,
      },
    ]
    const variants = [ironProxy({ name: 'metered' }), ironProxy({ name: 'not metered', meter: false })]
    const { rows, notes } = await race(bench, variants, cases, { upstream: at, rounds: bench.rounds + 2, warmSeconds: 4 })
    return [
      {
        name: 'metering',
        title: 'Replies of a model, metered against a budget and not',
        measures: delayMeasures,
        compare: { measure: 'cpu', better: 'less' },
        rows,
        notes,
      },
    ]
  },
}

/** Streams that are open and say nothing, and what each keeps of the proxy's memory. */
export const idle: Scenario = {
  name: 'idle',
  async run({ stage, contenders }) {
    const short: string[] = []
    const proxies = { stage, contenders: contenders.filter(({ name }) => name !== 'direct') }
    const warm = { request: stage.request(head('GET /flat/1', eventsHost)), sni: eventsHost }
    const request = stage.request(head('GET /idle', eventsHost))
    const { rows, notes } = await oneByOne(proxies, { upstream: at, warm }, async (contender, proxy) => {
      const wanted = isBrisk(contender) ? 2000 : 300
      const before = memory(proxy.pid)
      const options = { request, sni: eventsHost, connections: wanted, warm: 0, seconds: 15, limit: wanted } as const
      const work = load(stage, contender, proxy, { ...options, flags: ['--idle', '--tolerant'] })
      const { told, last } = await watchMemory(proxy.pid, work)
      const { requests: held, errors } = told
      if (held < wanted) short.push(`${contender.name} held ${held} of ${wanted} (${errors} failed)`)
      return { of: `${wanted} streams`, figures: { each: ((last - before) * 1024) / held, held, memory: last } }
    })
    return [
      {
        name: 'idle',
        title: 'Quiet streams',
        measures: {
          each: { says: 'memory for each', unit: 'KiB' },
          held: { says: 'held', unit: '' },
          memory: { says: 'memory of all', unit: 'MiB' },
        },
        compare: { measure: 'each', better: 'less' },
        rows,
        notes: [...short, ...notes],
      },
    ]
  },
}
