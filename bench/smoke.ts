/** The short run: ours beside nginx and the sketch, by CPU, which neighbours disturb least. */
import { nginx } from './contenders/debian.ts'
import { ours } from './contenders/index.ts'
import { sketch } from './contenders/yardsticks.ts'
import { head } from './load.ts'
import { costOf, race } from './measure.ts'
import type { Load } from './load.ts'
import { host } from './names.ts'
import type { Bench } from './types.ts'

/** How often CPU of the peer's is CPU of ours, by what was asked: the higher the better. */
export async function smoke(
  bench: Bench,
): Promise<{ readonly ratios: Readonly<Record<string, number>>; readonly notes: readonly string[] }> {
  const small = bench.stage.request(head('GET /json', host))
  const large = bench.stage.request(head('GET /file/1m', host))
  const figures = ({ cpu, requests }: Load) => ({ cpu: costOf(cpu, requests) })
  const brief = { warm: 0.1, seconds: 0.4 }
  const cases = [
    { of: 'a small reply', options: { ...brief, request: small, connections: 32 }, figures },
    { of: 'a new connection', options: { ...brief, request: small, connections: 8, flags: ['--fresh'] as const }, figures },
    { of: '1 MiB down', options: { ...brief, request: large, connections: 4 }, figures },
  ]
  const peers = [sketch, nginx].filter((each) => each.version() !== undefined)
  const { rows, notes } = await race(bench, [ours, ...peers], cases, { rounds: 2, warmSeconds: 4 })
  const cost = (of: string, name: string) => rows.find((row) => row.of === of && row.contender === name)?.figures['cpu']?.median
  const ratios = cases.flatMap(({ of }) =>
    peers.flatMap(({ name }) => {
      const [theirs, mine] = [cost(of, name), cost(of, ours.name)]
      return theirs === undefined || mine === undefined ? [] : [[`${of}: CPU of ${name} ÷ ours`, theirs / mine] as const]
    }),
  )
  return { ratios: Object.fromEntries(ratios), notes }
}
