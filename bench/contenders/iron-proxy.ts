/** Ours, with everything on: policy, swap, scrub, audit file, metrics, and a meter with a budget where a rule has one. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { events, eventsHost, host, manyHosts, neighbour, uploadHost, uploads, zone } from '../names.ts'
import { warmNode } from './types.ts'
import type { Contender, Proxy } from './types.ts'

export interface Variant {
  readonly name?: string
  readonly way?: 'connect' | 'tls'
  readonly workers?: number
  /** Rules before those of the bench. */
  readonly rules?: number
  readonly swap?: boolean
  readonly meter?: boolean
  readonly budget?: boolean
  /** Flags for Node, such as `--cpu-prof`. */
  readonly node?: readonly string[]
}

export interface IronProxy extends Proxy {
  readonly ports: Readonly<Record<'http' | 'https' | 'proxy' | 'metrics' | 'admin' | 'dns', number>>
}

export interface IronContender extends Contender {
  start(...of: Parameters<Contender['start']>): Promise<IronProxy>
}

const bin = join(import.meta.dirname, '..', '..', 'src', 'bin.js')
/** What agents hold in place of the real value. */
export const stub = 'proxy-token-bench'
let next = 9200

export function ironProxy(variant: Variant = {}): IronContender {
  const way = variant.way ?? 'connect'
  return {
    name: variant.name ?? 'iron-proxy',
    way,
    warm: warmNode,
    opens: true,
    version: () => `0.1.0 on Node ${process.version}`,
    async start(stage, core, upstream) {
      const first = (next += 10)
      const folder = join(stage.folder, `iron-${first}`)
      await mkdir(join(folder, 'policies', 'secrets'), { recursive: true })
      await writeFile(join(folder, 'policies', 'secrets', 'bench'), `bench-real-value-${randomBytes(12).toString('hex')}\n`)
      await writeFile(join(folder, 'policies', 'bench.yaml'), policy(variant))
      const doors = ['http', 'https', 'proxy', 'metrics', 'admin', 'dns'] as const
      const ports = Object.fromEntries(doors.map((door, i) => [door, first + i])) as IronProxy['ports']
      const hosts = [host, ...Array.from({ length: manyHosts }, (_, i) => `h${i}.${zone}`)]
      const settings = {
        policies: join(folder, 'policies'),
        listen: ports,
        ca: { cert: stage.ca.cert, key: stage.ca.key },
        state: join(folder, 'state.db'),
        sealKey: join(folder, 'seal.key'),
        workers: variant.workers ?? 1,
        upstream: {
          hosts: {
            ...Object.fromEntries(hosts.map((name) => [name, `${upstream}:443`])),
            [eventsHost]: `${events}:443`,
            [uploadHost]: `${uploads}:443`,
          },
          ca: [stage.upstreamCa],
          allowPrivate: ['127.0.0.0/8'],
        },
        audit: { stdout: false, file: join(folder, 'audit.jsonl') },
        whoami: 'off',
        shutdown: { lameDuck: 0, deadline: 0 },
        log: { level: 'warn' },
      }
      const file = join(folder, 'settings.yaml')
      writeFileSync(file, JSON.stringify(settings))
      const port = way === 'connect' ? ports.proxy : ports.https
      const command = [process.execPath, ...(variant.node ?? []), bin, 'run', '--config', file]
      // The arenas are those of deploy/.
      const env = { NODE_COMPILE_CACHE: join(stage.folder, 'compile-cache'), MALLOC_ARENA_MAX: '2' }
      const proxy = await stage.proxy(core, port, command, { env })
      return { ...proxy, ports }
    },
  }
}

function policy({ rules = 0, swap = true, meter = true, budget = true }: Variant): string {
  const others = Array.from(
    { length: rules },
    (_, i) => `  - {id: other-${i}, hosts: [host-${i}.other.test], methods: [GET], paths: [/v1/*]}`,
  )
  return `version: 1
agents:
  neighbour: {from: [{cidr: ${neighbour}/32}]}
  bench: {from: [{cidr: 127.0.0.0/31}]${budget && meter ? ', budget: day' : ''}}
${budget && meter ? 'budgets: {day: {window: day, tokens: 900000000000}}\n' : ''}${
    swap
      ? `credentials:
  bench: {kind: bearer, stub: ${stub}, secret: {file: secrets/bench}, hosts: [${host}, ${eventsHost}, ${uploadHost}, "*.${zone}"]}
`
      : ''
  }rules:
${others.join('\n')}
  - {id: denied, effect: deny, hosts: [${host}], paths: [/denied]}
  - {id: llm, hosts: [${host}], paths: [/v1/chat/completions]${swap ? ', credentials: [bench]' : ''}${meter ? ', meter: openai-compatible' : ''}}
  - {id: api, hosts: [${host}]${swap ? ', credentials: [bench]' : ''}}
  - {id: messages, hosts: [${eventsHost}], paths: [/v1/messages]${swap ? ', credentials: [bench]' : ''}${meter ? ', meter: anthropic' : ''}}
  - {id: events, hosts: [${eventsHost}]${swap ? ', credentials: [bench]' : ''}}
  - {id: uploads, hosts: [${uploadHost}]${swap ? ', credentials: [bench]' : ''}}
  - {id: many, hosts: ["*.${zone}"]${swap ? ', credentials: [bench]' : ''}}
`
}
