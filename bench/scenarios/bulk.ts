/** Bodies: some of each size, one of 1 GiB each way with an eye on memory, and a reader that stops reading. */
import { head, load } from '../load.ts'
import type { LoadOptions } from '../load.ts'
import { costOf, oneByOne, race, watchMemory } from '../measure.ts'
import type { Case } from '../measure.ts'
import { host, uploadHost, uploads, upstream } from '../names.ts'
import { memory } from '../processes.ts'
import type { Stage } from '../stage.ts'
import type { Bench, Scenario, Table } from '../types.ts'

const mib = 2 ** 20
const gib = 2 ** 30

const sizes = { '1m': mib, '10m': 10 * mib } as const

export const bulk: Scenario = {
  name: 'bulk',
  async run(bench) {
    const { stage, contenders } = bench
    const cases = (way: 'down' | 'up', options: (size: keyof typeof sizes) => LoadOptions): readonly Case[] =>
      (['1m', '10m'] as const).map((size) => ({
        of: `${size} ${way}`,
        options: { ...options(size), connections: 4 },
        figures: figuresOf(sizes[size]),
      }))
    const down = cases('down', (size) => ({ request: stage.request(head(`GET /file/${size}`, host)) }))
    const up = cases('up', (size) => upload(stage, sizes[size]))
    const races = [
      await race(bench, contenders, down, { warmSeconds: 2 }),
      await race(bench, contenders, up, { upstream: uploads, warmSeconds: 2 }),
    ]
    return [
      {
        name: 'bulk',
        title: 'Bodies, 4 connections',
        measures: {
          rate: { says: 'MiB/s', unit: '' },
          cpu: { says: 'CPU of the proxy for a MiB', unit: 'µs' },
          p50: { says: 'p50', unit: 'ms', digits: 1 },
        },
        compare: { measure: 'rate', better: 'more' },
        rows: races.flatMap(({ rows }) => rows),
        notes: races.flatMap(({ notes }) => notes),
      },
      await gigabyte(bench),
      await stalled(bench),
    ]
  },
}

function figuresOf(size: number): Case['figures'] {
  return ({ requests, seconds, cpu, p50 }) => {
    const carried = (requests * size) / mib
    return { rate: carried / seconds, cpu: costOf(cpu, carried), p50: p50 / 1000 }
  }
}

/** A body for the upstream that reads it to its end. */
function upload(stage: Stage, size: number): Pick<LoadOptions, 'request' | 'sni' | 'body'> {
  const fields = { 'content-type': 'application/octet-stream', 'content-length': size }
  return { request: stage.request(head('POST /upload', uploadHost, fields)), sni: uploadHost, body: size }
}

async function gigabyte(bench: Bench): Promise<Table> {
  const { stage } = bench
  const ways = [
    { of: '1 GiB down', at: upstream, to: host, options: { request: stage.request(head('GET /file/1g', host)) } },
    { of: '1 GiB up', at: uploads, to: uploadHost, options: upload(stage, gib) },
  ]
  const tables = []
  for (const { of, at, to, options } of ways) {
    const warm = { request: stage.request(head('GET /json', to)), sni: to }
    tables.push(
      await oneByOne(bench, { upstream: at, warm }, async (contender, proxy) => {
        const before = memory(proxy.pid)
        const work = load(stage, contender, proxy, { ...options, connections: 1, warm: 0, limit: 1, seconds: 20 })
        const { told, most } = await watchMemory(proxy.pid, work)
        return { of, figures: { rate: 1024 / told.seconds, cpu: costOf(told.cpu, 1024), grown: most - before } }
      }),
    )
  }
  return {
    name: 'gigabyte',
    title: '1 GiB, one connection, once',
    measures: {
      rate: { says: 'MiB/s', unit: '' },
      cpu: { says: 'CPU of the proxy for a MiB', unit: 'µs' },
      grown: { says: 'memory grown by', unit: 'MiB', digits: 1 },
    },
    compare: { measure: 'rate', better: 'more' },
    rows: tables.flatMap(({ rows }) => rows),
    notes: tables.flatMap(({ notes }, i) => notes.map((note) => `${ways[i]?.of}: ${note}`)),
  }
}

/** A reader who asks for 400 MB and takes nothing of it. */
async function stalled({ stage, contenders }: Bench): Promise<Table> {
  const proxies = { stage, contenders: contenders.filter(({ name }) => name !== 'direct') }
  const warm = { request: stage.request(head('GET /json', host)) }
  const request = stage.request(head('GET /file/400m', host))
  const found = await oneByOne(proxies, { warm }, async (contender, proxy) => {
    const before = memory(proxy.pid)
    const flags = ['--stall', '--tolerant'] as const
    const work = load(stage, contender, proxy, { request, connections: 1, warm: 0, seconds: 2.5, flags })
    const { told, most } = await watchMemory(proxy.pid, work)
    if (told.asked === 0) throw new Error('no reply began')
    return { of: '400 MB asked for', figures: { grown: most - before } }
  })
  return {
    name: 'stalled',
    title: 'A reader that stops reading',
    measures: { grown: { says: 'memory grown by', unit: 'MiB', digits: 1 } },
    compare: { measure: 'grown', better: 'less' },
    ...found,
  }
}
