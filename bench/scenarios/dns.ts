/** Questions for names: dnsperf asks ours and Debian's. A third each has an address, has none of that kind, and is refused. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createSocket } from 'node:dgram'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { said } from '../contenders/debian.ts'
import { ironProxy } from '../contenders/iron-proxy.ts'
import { costOf } from '../measure.ts'
import { spreads } from '../spread.ts'
import { cores, host, upstream } from '../names.ts'
import { cpuSeconds } from '../processes.ts'
import type { Stage } from '../stage.ts'
import type { Row, Scenario } from '../types.ts'

interface Server {
  readonly name: string
  readonly port: number
  readonly pid: number
}

export const dns: Scenario = {
  name: 'dns',
  async run({ stage, rounds }) {
    const measures = {
      rate: { says: 'queries/s', unit: '' },
      cpu: { says: 'CPU of the server', unit: 'µs', digits: 1 },
      p50: { says: 'p50 at 10,000/s', unit: 'µs' },
      p99: { says: 'p99 at 10,000/s', unit: 'µs' },
    }
    const table = { name: 'dns', title: 'DNS over UDP', measures, compare: { measure: 'rate', better: 'more' } as const }
    if (spawnSync('dnsperf', ['-h']).error) return [{ ...table, rows: [], notes: ['dnsperf is not installed'] }]
    await using stack = new AsyncDisposableStack()
    const questions = join(stage.folder, 'questions')
    writeFileSync(questions, `${host} A\n${host} AAAA\nnowhere.other.test A\n`)
    const ours = await ironProxy().start(stage, cores.proxy, upstream)
    stack.defer(() => ours.stop())
    const servers: Server[] = [{ name: 'iron-proxy', port: ours.ports.dns, pid: ours.pid }]
    const notes: string[] = []
    for (const [name, start] of [
      ['unbound', unbound],
      ['dnsmasq', dnsmasq],
    ] as const) {
      try {
        const server = await start(stage)
        stack.defer(() => server.stop())
        servers.push(server)
      } catch (error) {
        notes.push(`${name} is left out: ${(error as Error).message}`)
      }
    }
    const found = new Map(servers.map(({ name }) => [name, [] as Readonly<Record<string, number>>[]]))
    // The first round warms up.
    for (let round = -1; round < rounds; round += 1) {
      for (const server of servers) {
        const before = cpuSeconds(server.pid)
        const flat = await ask(server, questions, ['-q', '64', '-c', '8', '-l', '2'])
        const queries = Number(/Queries completed:\s+(\d+)/.exec(flat)?.[1] ?? 0)
        const lost = Number(/Queries lost:\s+(\d+)/.exec(flat)?.[1] ?? 0)
        const rate = Number(/Queries per second:\s+([\d.]+)/.exec(flat)?.[1] ?? Number.NaN)
        const cpu = costOf(cpuSeconds(server.pid) - before, queries)
        if (lost > queries / 1000 && round === 0) notes.push(`${server.name}: ${lost} of ${queries + lost} queries were lost`)
        const each = await ask(server, questions, ['-q', '64', '-c', '8', '-l', '1', '-Q', '10000', '-v'])
        const latencies = [...each.matchAll(/^> \S+ \S+ \S+ ([\d.]+)$/gm)]
          .map((match) => Number(match[1]) * 1e6)
          .sort((a, b) => a - b)
        const at = (share: number) => latencies[Math.floor(latencies.length * share)] ?? Number.NaN
        if (round >= 0) found.get(server.name)?.push({ rate, cpu, p50: at(0.5), p99: at(0.99) })
      }
    }
    const rows: readonly Row[] = servers.map(({ name }) => ({
      of: '64 outstanding',
      contender: name,
      figures: spreads(found.get(name) ?? []),
    }))
    return [{ ...table, rows, notes: ['dnsperf and the server have a core each; EDNS.', ...notes] }]
  },
}

async function ask({ port }: Server, questions: string, flags: readonly string[]): Promise<string> {
  const child = spawn(
    'taskset',
    ['-c', cores.load, 'dnsperf', '-s', '127.0.0.1', '-p', String(port), '-d', questions, '-e', ...flags],
    {
      stdio: ['ignore', 'pipe', 'ignore'],
      timeout: 20_000,
      killSignal: 'SIGKILL',
    },
  )
  const [told] = await Promise.all([text(child.stdout), once(child, 'close')])
  return told
}

async function unbound(stage: Stage): Promise<Server & { stop(): Promise<void> }> {
  if (!said('unbound', '-V', /Version (\S+)/)) throw new Error('it is not installed')
  const config = join(stage.folder, 'unbound.conf')
  writeFileSync(
    config,
    `server:
  interface: 127.0.0.1@9301
  do-daemonize: no
  username: ""
  chroot: ""
  directory: ${stage.folder}
  pidfile: ""
  use-syslog: no
  num-threads: 1
  module-config: "iterator"
  local-zone: "bench.test." static
  local-data: "${host}. A 127.0.0.1"
  local-zone: "other.test." refuse
remote-control:
  control-enable: no
`,
  )
  return serve(stage, 'unbound', 9301, ['unbound', '-d', '-c', config])
}

function dnsmasq(stage: Stage): Promise<Server & { stop(): Promise<void> }> {
  if (!said('dnsmasq', '--version', /version (\S+)/)) throw new Error('it is not installed')
  const pid = join(stage.folder, 'dnsmasq.pid')
  const flags = `-k -C /dev/null -p 9302 -a 127.0.0.1 -z -R -h -x ${pid} --user=root --address=/${host}/127.0.0.1 --local=/test/`
  return serve(stage, 'dnsmasq', 9302, ['dnsmasq', ...flags.split(' ')])
}

async function serve(stage: Stage, name: string, port: number, command: readonly string[]) {
  const running = stage.spawn(cores.proxy, command)
  for (let attempt = 0; attempt < 100; attempt += 1) {
    if (await answers(port)) return { name, port, pid: running.pid, stop: () => running.stop() }
    await sleep(50)
  }
  await running.stop()
  throw new Error('it does not answer')
}

/** Whether anything comes back for a question for the root. */
async function answers(port: number): Promise<boolean> {
  const socket = createSocket('udp4')
  socket.on('error', () => {})
  try {
    const answer = once(socket, 'message', { signal: AbortSignal.timeout(200) })
    socket.send(Buffer.from('0001010000010000000000000000010001', 'hex'), port, '127.0.0.1')
    await answer
    return true
  } catch {
    return false
  } finally {
    socket.close()
  }
}
