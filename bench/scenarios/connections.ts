/** New connections: full handshakes, resumed ones, names never seen before, and a flood of names that are denied. */
import { setTimeout as sleep } from 'node:timers/promises'
import { ironProxy } from '../contenders/iron-proxy.ts'
import { head, load } from '../load.ts'
import { costOf, oneByOne, race } from '../measure.ts'
import type { Load } from '../load.ts'
import { cores, eventsHost, host, manyHosts, neighbour, upstream, zone } from '../names.ts'
import { spreads } from '../spread.ts'
import type { Scenario } from '../types.ts'

const connectionMeasures = {
  rate: { says: 'connections/s', unit: '' },
  cpu: { says: 'CPU of the proxy', unit: 'µs' },
  p50: { says: 'p50, with a request', unit: 'µs' },
  p99: { says: 'p99', unit: 'µs' },
  resumed: { says: 'resumed', unit: '%' },
} as const

const figures = ({ requests, seconds, cpu, p50, p99, resumed, handshakes }: Load) => ({
  rate: requests / seconds,
  cpu: costOf(cpu, requests),
  p50,
  p99,
  resumed: (resumed / Math.max(1, handshakes)) * 100,
})

export const handshakes: Scenario = {
  name: 'handshakes',
  async run(bench) {
    const request = bench.stage.request(head('GET /json', host))
    const options = { request, connections: 8 }
    const cases = [
      { of: 'full', options: { ...options, flags: ['--fresh'] as const }, figures },
      { of: 'resumed', options: { ...options, flags: ['--fresh', '--resume'] as const }, figures },
    ]
    const transparent = ironProxy({ name: 'iron-proxy, transparent', way: 'tls' })
    const { rows, notes } = await race(bench, [...bench.contenders, transparent], cases, { warmSeconds: 2.5 })
    return [
      {
        name: 'handshakes',
        title: 'A new TLS connection for each request, 8 at a time',
        measures: connectionMeasures,
        compare: { measure: 'rate', better: 'more' },
        rows,
        notes: [
          '`direct` and `HAProxy` end TLS at the upstream, whose core load shares. iron-proxy asks for a tunnel first; transparent is what compares with nginx.',
          ...notes,
        ],
      },
    ]
  },
}

/** The first connection to each of many names beside a second one to the same, while paced streams run. */
export const hosts: Scenario = {
  name: 'hosts',
  async run({ stage, contenders }) {
    const many = { request: stage.request(head('GET /json', '@host@')), sni: zone, connections: 1, warm: 0 }
    const paced = { request: stage.request(head('GET /paced/1500/2', eventsHost)), sni: eventsHost, connections: 8 }
    const minting = { stage, contenders: contenders.filter(({ name, way }) => way === 'connect' && !name.includes('sketch')) }
    const warm = { request: stage.request(head('GET /json', host)), warm: 3 }
    const { rows, notes } = await oneByOne(minting, { warm }, async (contender, proxy) => {
      const streams = load(stage, contender, proxy, { ...paced, warm: 0.5, seconds: 3, flags: ['--events', '--tolerant'] })
      // It is waited for below, unless something else goes wrong first.
      streams.catch(() => {})
      await sleep(1000)
      const each = { ...many, limit: 200, flags: ['--fresh'] } as const
      const first = await load(stage, contender, proxy, { ...each, hosts: manyHosts, seconds: 1.5 })
      // The load begins at the first name again, as often as is needed to get past those it has met before.
      const again = await load(stage, contender, proxy, { ...each, hosts: Math.max(1, first.requests), seconds: 1 })
      const { delay } = await streams
      if (delay.count === 0) throw new Error('no event came')
      const [unknown, known] = [first.shake.p50, again.shake.p50]
      const figures = { first: unknown, again: known, mint: unknown - known, stall: delay.max }
      return { of: '8 paced streams beside', figures }
    })
    return [
      {
        name: 'hosts',
        title: 'A name never seen before',
        measures: {
          first: { says: 'handshake of a new name', unit: 'µs' },
          again: { says: 'of a known one', unit: 'µs' },
          mint: { says: 'difference', unit: 'µs' },
          stall: { says: 'longest delay of an event', unit: 'µs' },
        },
        compare: { measure: 'first', better: 'less' },
        rows,
        notes: ['squid, mitmproxy and mockttp dial the upstream before they answer the handshake.', ...notes],
      },
    ]
  },
}

/** Allowed requests: alone, beside a busy neighbour, and beside as many new connections as eight clients can open. */
export const flood: Scenario = {
  name: 'flood',
  async run({ stage, rounds }) {
    const contender = ironProxy({ way: 'tls' })
    const proxy = await contender.start(stage, cores.proxy, upstream)
    try {
      const request = stage.request(head('GET /json', host))
      const denied = stage.request(head('GET /json', '@host@'))
      const fresh = { connections: 8, warm: 0.2, seconds: 1.6, flags: ['--fresh', '--tolerant'] as const }
      const of = '32 connections'
      await load(stage, contender, proxy, { request, warm: 8, warmRequests: contender.warm, seconds: 0.1 })
      const runs = { alone: [], busy: [], allowed: [], denied: [] } as Record<
        'alone' | 'busy' | 'allowed' | 'denied',
        Record<string, number>[]
      >
      const known = stage.request(head('GET /json', '@host@'))
      for (let round = 0; round < rounds; round += 1) {
        for (const beside of ['alone', 'busy', 'allowed', 'denied'] as const) {
          const other =
            beside === 'alone'
              ? undefined
              : load(
                  stage,
                  contender,
                  proxy,
                  beside === 'busy'
                    ? { request, from: neighbour, connections: 120, warm: 0.2, seconds: 1.6, flags: ['--tolerant'] }
                    : beside === 'denied'
                      ? { ...fresh, request: denied, sni: 'denied.test', hosts: 1_000_000 }
                      : { ...fresh, request: known, sni: zone, hosts: 16 },
                )
          const { p50, p99, requests, seconds } = await load(stage, contender, proxy, { request, warm: 0.4, seconds: 1.2 })
          const { requests: answered = 0, errors = 0, seconds: lasted = 1 } = (await other) ?? {}
          runs[beside].push({ p50, p99, rate: requests / seconds, others: (answered + errors) / lasted })
        }
      }
      const title = {
        alone: 'alone',
        busy: 'beside 120 busy connections of another agent',
        allowed: 'beside new connections for allowed names',
        denied: 'beside a flood of denied names',
      }
      return [
        {
          name: 'flood',
          title: 'Allowed traffic beside a busy neighbour, and beside denied names without end',
          measures: {
            p50: { says: 'p50', unit: 'µs' },
            p99: { says: 'p99', unit: 'µs' },
            rate: { says: 'requests/s', unit: '' },
            others: { says: 'requests or connections/s beside', unit: '' },
          },
          compare: { measure: 'p99', better: 'less' },
          rows: (['alone', 'busy', 'allowed', 'denied'] as const).map((each) => ({
            of,
            contender: title[each],
            figures: spreads(runs[each]),
          })),
          notes: [],
        },
      ]
    } finally {
      await proxy.stop()
    }
  },
}
