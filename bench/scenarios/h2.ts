/** HTTP/2 to the proxy, HTTP/1.1 behind it: Debian's h2load, which knows no tunnels, so only through doors that take TLS. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { ironProxy } from '../contenders/iron-proxy.ts'
import type { Contender, Proxy } from '../contenders/types.ts'
import { costOf } from '../measure.ts'
import { spreads } from '../spread.ts'
import { cores, host, upstream } from '../names.ts'
import { cpuSeconds } from '../processes.ts'
import type { Row, Scenario } from '../types.ts'

const streams = [1, 10, 100]
const clients = 4

export const h2: Scenario = {
  name: 'h2',
  async run({ stage, rounds, contenders }) {
    const measures = { rate: { says: 'requests/s', unit: '' }, cpu: { says: 'CPU of the proxy', unit: 'µs', digits: 1 } }
    const table = {
      name: 'h2',
      title: `HTTP/2, ${clients} connections`,
      measures,
      compare: { measure: 'rate', better: 'more' } as const,
    }
    if (spawnSync('h2load', ['--version']).error)
      return [{ ...table, rows: [], notes: ['h2load is not installed: nghttp2-client'] }]
    const notes: string[] = []
    const found = new Map<string, Readonly<Record<string, number>>[]>()
    const running: [Contender, Proxy][] = []
    await using stack = new AsyncDisposableStack()
    // mockttp takes TLS at the port where it takes CONNECT.
    const able = [ironProxy({ way: 'tls' }), ...contenders.filter(({ name }) => /nginx|mockttp/.test(name))]
    for (const contender of able) {
      try {
        const proxy = await contender.start(stage, cores.proxy, upstream)
        stack.defer(() => proxy.stop())
        await run(proxy, 32, 4)
        running.push([contender, proxy])
      } catch (error) {
        notes.push(`${contender.name} is left out: ${(error as Error).message}`)
      }
    }
    for (let round = 0; round < rounds; round += 1) {
      for (const count of streams) {
        for (const [{ name }, proxy] of round % 2 === 0 ? running : running.toReversed()) {
          try {
            const key = `${count}\n${name}`
            found.set(key, [...(found.get(key) ?? []), await run(proxy, count, 2)])
          } catch (error) {
            if (round === 0) notes.push(`${name}, ${count} streams: ${(error as Error).message}`)
          }
        }
      }
    }
    const rows: readonly Row[] = streams.flatMap((count) =>
      able.flatMap(({ name }) => {
        const runs = found.get(`${count}\n${name}`)
        return runs ? [{ of: `${count} stream${count > 1 ? 's' : ''} each`, contender: name, figures: spreads(runs) }] : []
      }),
    )
    return [{ ...table, rows, notes }]
  },
}

/** `seconds`: whole ones, h2load takes no others. */
async function run(proxy: Proxy, count: number, seconds: number): Promise<{ readonly rate: number; readonly cpu: number }> {
  const before = cpuSeconds(proxy.pid)
  const child = spawn(
    'taskset',
    `-c ${cores.load} h2load --connect-to=127.0.0.1:${proxy.port} -c ${clients} -m ${count} -D ${seconds}`
      .split(' ')
      .concat('-H', 'authorization: Bearer proxy-token-bench', `https://${host}/json`),
    { stdio: ['ignore', 'pipe', 'pipe'], timeout: (seconds + 20) * 1000, killSignal: 'SIGKILL' },
  )
  const [told] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
  const requests = Number(/(\d+) succeeded/.exec(told)?.[1] ?? 0)
  const refused = Number(/(\d+) 4xx/.exec(told)?.[1] ?? 0) + Number(/(\d+) 5xx/.exec(told)?.[1] ?? 0)
  if (requests === 0 || refused > 0) throw new Error(`h2load had ${requests} replies, ${refused} of them refusals`)
  const rate = Number(/finished in \S+, ([\d.]+) req\/s/.exec(told)?.[1] ?? Number.NaN)
  return { rate, cpu: costOf(cpuSeconds(proxy.pid) - before, requests) }
}
