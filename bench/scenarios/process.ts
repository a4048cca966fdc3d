/** A process from its start: until it listens, its memory before and after work, and the connections it dials for it. */
import { setTimeout as sleep } from 'node:timers/promises'
import { ironProxy } from '../contenders/iron-proxy.ts'
import { head, load } from '../load.ts'
import { oneByOne } from '../measure.ts'
import { cores, host, upstream } from '../names.ts'
import { memory } from '../processes.ts'
import { taken } from '../upstreams.ts'
import type { Scenario } from '../types.ts'

const connections = 64
const starts = 5

export const process: Scenario = {
  name: 'process',
  async run({ stage, contenders }) {
    // With SIGTERM, so that Node writes its compile cache.
    const cold = await ironProxy().start(stage, cores.proxy, upstream)
    await cold.stop('SIGTERM')
    const request = stage.request(head('GET /json', host))
    const proxies = { stage, contenders: contenders.filter(({ name }) => name !== 'direct') }
    const { rows, notes } = await oneByOne(proxies, {}, async (contender, proxy) => {
      await sleep(300)
      const fresh = memory(proxy.pid)
      const before = await taken()
      await load(stage, contender, proxy, { request, connections, warm: 0, seconds: 4 })
      // The question for it was one more.
      const dialled = (await taken()) - before - 1
      const loaded = memory(proxy.pid)
      await proxy.stop('SIGTERM')
      const started = [proxy.startedIn]
      while (started.length < starts) {
        const again = await contender.start(stage, cores.proxy, upstream)
        started.push(again.startedIn)
        await again.stop('SIGTERM')
      }
      return { of: `${connections} connections`, figures: { started, fresh, loaded, dialled } }
    })
    return [
      {
        name: 'process',
        title: 'A process from its start',
        measures: {
          started: { says: 'listens after', unit: 'ms' },
          fresh: { says: 'memory, fresh', unit: 'MiB' },
          loaded: { says: 'memory, after 4 s of load', unit: 'MiB' },
          dialled: { says: 'upstream connections dialled', unit: '' },
        },
        compare: { measure: 'loaded', better: 'less' },
        rows,
        notes: [`iron-proxy with an empty compile cache: ${cold.startedIn.toFixed(0)} ms`, ...notes],
      },
    ]
  },
}
