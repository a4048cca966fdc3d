/** A process from its start: until it listens, its memory before and after work, and the connections it dials for it. */
import { ironProxy } from '../contenders/iron-proxy.ts'
import { head, load } from '../measure.ts'
import { cores, host, memory, taken, upstream } from '../stage.ts'
import { spread, spreads } from '../spread.ts'
import type { Row, Scenario } from '../types.ts'

const connections = 64
const starts = 5

export const process: Scenario = {
  name: 'process',
  async run({ stage, contenders }) {
    const rows: Row[] = []
    const notes: string[] = []
    // With SIGTERM, so that Node writes its compile cache.
    const cold = await ironProxy().start(stage, cores.proxy, upstream)
    await cold.stop('SIGTERM')
    notes.push(`iron-proxy with an empty compile cache: ${cold.startedIn.toFixed(0)} ms`)
    for (const contender of contenders.filter(({ name }) => name !== 'direct')) {
      try {
        const startedIn: number[] = []
        for (let i = 1; i < starts; i += 1) {
          const proxy = await contender.start(stage, cores.proxy, upstream)
          startedIn.push(proxy.startedIn)
          await proxy.stop('SIGTERM')
        }
        const proxy = await contender.start(stage, cores.proxy, upstream)
        try {
          startedIn.push(proxy.startedIn)
          await new Promise((go) => setTimeout(go, 300))
          const fresh = memory(proxy.pid)
          const before = await taken()
          const request = stage.request(head('GET /json', host))
          await load(stage, contender, proxy, { request, connections, warm: 0, seconds: 4 })
          // The question for it was one more.
          const dialled = (await taken()) - before - 1
          const figures = spreads([{ fresh, loaded: memory(proxy.pid), dialled }])
          rows.push({
            of: `${connections} connections`,
            contender: contender.name,
            figures: { started: spread(startedIn), ...figures },
          })
        } finally {
          await proxy.stop()
        }
      } catch (error) {
        notes.push(`${contender.name} is left out: ${(error as Error).message}`)
      }
    }
    const measures = {
      started: { says: 'listens after', unit: 'ms' },
      fresh: { says: 'memory, fresh', unit: 'MiB' },
      loaded: { says: 'memory, after 4 s of load', unit: 'MiB' },
      dialled: { says: 'upstream connections dialled', unit: '' },
    }
    return [
      {
        name: 'process',
        title: 'A process from its start',
        measures,
        compare: { measure: 'loaded', better: 'less' },
        rows,
        notes,
      },
    ]
  },
}
