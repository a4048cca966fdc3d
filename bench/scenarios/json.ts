/** Small replies over connections that stay: what an agent's calls to an API are. */
import { head } from '../load.ts'
import { isBrisk, race, requestFigures, requestMeasures } from '../measure.ts'
import { host } from '../names.ts'
import type { Scenario } from '../types.ts'

/** The last are opened anew, which takes seconds. */
const counts = [1, 16, 64, 256, 2000]

export const json: Scenario = {
  name: 'json',
  async run(bench) {
    const request = bench.stage.request(head('GET /json', host))
    const of = (connections: number) => `${connections} connection${connections > 1 ? 's' : ''}`
    const cases = counts.map((connections) => ({
      of: of(connections),
      // Those that take long to open connections have the time for it; the others begin before.
      options: { request, connections, warm: 8, warmRequests: 500 },
      figures: requestFigures,
      ...(connections > 1000 ? { once: true, who: isBrisk } : {}),
    }))
    const warm = { request, connections: 32 }
    const { rows, notes } = await race(bench, bench.contenders, cases, { warm, warmSeconds: 16 })
    return [
      {
        name: 'json',
        title: '1 KiB of JSON over connections that stay',
        measures: requestMeasures,
        compare: { measure: 'rate', better: 'more' },
        rows,
        notes: [
          'Load and upstream share a core. Where a proxy needs less than they do, they are what the rate shows: above some half of what `direct` reaches, compare CPU.',
          ...notes,
        ],
      },
    ]
  },
}
