/** Messages of 64 bytes, echoed. */
import { sketch } from '../contenders/yardsticks.ts'
import { head } from '../load.ts'
import { race, requestFigures } from '../measure.ts'
import { events, eventsHost } from '../names.ts'
import type { Scenario } from '../types.ts'

export const websocket: Scenario = {
  name: 'websocket',
  async run(bench) {
    const fields = {
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': 13,
      'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==',
    }
    const request = bench.stage.request(head('GET /socket', eventsHost, fields))
    const cases = [1, 32].map((connections) => ({
      of: connections === 1 ? '1 connection' : `${connections} connections`,
      options: { request, sni: eventsHost, connections, seconds: 1, flags: ['--echo'] as const },
      figures: requestFigures,
    }))
    // The sketch knows no upgrades.
    const able = bench.contenders.filter((each) => each !== sketch)
    const { rows, notes } = await race(bench, able, cases, { upstream: events, warmSeconds: 2.5 })
    const measures = {
      rate: { says: 'echoes/s', unit: '' },
      cpu: { says: 'CPU of the proxy', unit: 'µs', digits: 1 },
      p50: { says: 'p50', unit: 'µs' },
      p99: { says: 'p99', unit: 'µs' },
    }
    return [
      {
        name: 'websocket',
        title: 'WebSocket, an echo at a time',
        measures,
        compare: { measure: 'p50', better: 'less' },
        rows,
        notes,
      },
    ]
  },
}
