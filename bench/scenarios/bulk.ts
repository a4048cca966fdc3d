/** Bodies: some of each size, one of 1 GiB each way with an eye on memory, and a reader that stops reading. */
import { costOf, head, load, peak, race } from '../measure.ts'
import type { Load } from '../measure.ts'
import { cores, host, memory, upstream } from '../stage.ts'
import { spreads } from '../spread.ts'
import type { Bench, Row, Scenario, Table } from '../types.ts'

const mib = 2 ** 20
const gib = 2 ** 30

export const bulk: Scenario = {
  name: 'bulk',
  async run(bench) {
    const { stage } = bench
    const figures = (size: number) => (told: Load) => ({
      rate: (told.requests * size) / mib / told.seconds,
      cpu: costOf(told.cpu, (told.requests * size) / mib),
      p50: told.p50 / 1000,
    })
    const down = (name: string, size: number) => ({
      of: `${name} down`,
      options: { request: stage.request(head(`GET /file/${name}`, host)), connections: 4, seconds: 1.5 },
      figures: figures(size),
    })
    const upload = head('POST /upload', host, { 'content-type': 'application/octet-stream', 'content-length': mib })
    const cases = [
      down('1m', mib),
      down('10m', 10 * mib),
      {
        of: '1m up',
        options: { request: stage.request(upload), body: mib, connections: 4, seconds: 1.5 },
        figures: figures(mib),
      },
    ]
    const warm = { request: stage.request(head('GET /json', host)) }
    const { rows, notes } = await race(bench, bench.contenders, cases, { warm, warmSeconds: 3 })
    const measures = {
      rate: { says: 'MiB/s', unit: '' },
      cpu: { says: 'CPU of the proxy for a MiB', unit: 'µs' },
      p50: { says: 'p50', unit: 'ms', digits: 1 },
    }
    const compare = { measure: 'rate', better: 'more' } as const
    return [
      { name: 'bulk', title: 'Bodies, 4 connections', measures, compare, rows, notes },
      await gigabyte(bench),
      await stalled(bench),
    ]
  },
}

/** 1 GiB each way through those that carry it at all in a few seconds. */
async function gigabyte({ stage, contenders }: Bench): Promise<Table> {
  const rows: Row[] = []
  const notes: string[] = []
  for (const contender of contenders.filter(({ name }) => /iron|nginx|HAProxy|squid/.test(name))) {
    for (const way of ['down', 'up'] as const) {
      const proxy = await contender.start(stage, cores.proxy, upstream)
      try {
        const small = { request: stage.request(head('GET /json', host)), warm: 2, warmRequests: 10_000, seconds: 0.1 }
        await load(stage, contender, proxy, small)
        const before = memory(proxy.pid)
        const of =
          way === 'down'
            ? { request: stage.request(head('GET /file/1g', host)) }
            : { request: stage.request(head('POST /upload', host, { 'content-length': gib })), body: gib }
        const work = load(stage, contender, proxy, { ...of, connections: 1, warm: 0, limit: 1, seconds: 30 })
        const { told, most } = await peak(proxy.pid, work)
        const figures = { rate: 1024 / told.seconds, cpu: costOf(told.cpu, 1024), grown: most - before }
        rows.push({ of: `1 GiB ${way}`, contender: contender.name, figures: spreads([figures]) })
      } catch (error) {
        notes.push(`${contender.name}, 1 GiB ${way}: ${(error as Error).message}`)
      } finally {
        await proxy.stop()
      }
    }
  }
  const measures = {
    rate: { says: 'MiB/s', unit: '' },
    cpu: { says: 'CPU of the proxy for a MiB', unit: 'µs' },
    grown: { says: 'memory grown by', unit: 'MiB', digits: 1 },
  }
  return {
    name: 'gigabyte',
    title: '1 GiB, one connection, once',
    measures,
    compare: { measure: 'rate', better: 'more' },
    rows,
    notes,
  }
}

/** A reader who asks for 400 MB and takes nothing of it. */
async function stalled({ stage, contenders }: Bench): Promise<Table> {
  const rows: Row[] = []
  const notes: string[] = []
  for (const contender of contenders.filter(({ name }) => name !== 'direct')) {
    try {
      const proxy = await contender.start(stage, cores.proxy, upstream)
      try {
        const small = { request: stage.request(head('GET /json', host)), warm: 1.5, warmRequests: 10_000, seconds: 0.1 }
        await load(stage, contender, proxy, small)
        const before = memory(proxy.pid)
        const request = stage.request(head('GET /file/400m', host))
        const work = load(stage, contender, proxy, {
          request,
          connections: 1,
          warm: 0,
          seconds: 2.5,
          flags: ['--stall', '--tolerant'],
        })
        const { most } = await peak(proxy.pid, work)
        rows.push({ of: '400 MB asked for', contender: contender.name, figures: spreads([{ grown: most - before }]) })
      } finally {
        await proxy.stop()
      }
    } catch (error) {
      notes.push(`${contender.name} is left out: ${(error as Error).message}`)
    }
  }
  const measures = { grown: { says: 'memory grown by', unit: 'MiB', digits: 1 } }
  return {
    name: 'stalled',
    title: 'A reader that stops reading',
    measures,
    compare: { measure: 'grown', better: 'less' },
    rows,
    notes,
  }
}
