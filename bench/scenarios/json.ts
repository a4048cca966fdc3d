/** Small replies over connections that stay: what an agent's calls to an API are. */
import { head } from '../load.ts'
import { race, requestFigures, requestMeasures } from '../measure.ts'
import { host } from '../names.ts'
import type { Scenario } from '../types.ts'

const counts = [1, 16, 64, 256]
const many = 2000

export const json: Scenario = {
  name: 'json',
  async run(bench) {
    const request = bench.stage.request(head('GET /json', host))
    const of = (connections: number) => `${connections} connection${connections > 1 ? 's' : ''}`
    const cases = [...counts, many].map((connections) => ({
      of: of(connections),
      options: { request, connections, warm: 0.3 + connections / 500 },
      figures: requestFigures,
      // 2,000 are opened anew, which only those that open connections fast can do in a few seconds.
      ...(connections === many
        ? { once: true, who: ({ name }: { readonly name: string }) => /iron|nginx|HAProxy|direct/.test(name) }
        : {}),
    }))
    const warm = { request, connections: 32 }
    const { rows, notes } = await race(bench, bench.contenders, cases, { warm, warmSeconds: 8 })
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
