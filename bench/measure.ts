/** Runs of the load, side by side: contenders take turns in each round, and what is told is the median with its spread. */
import { spawnSync } from 'node:child_process'
import type { Contender, Proxy } from './contenders/types.ts'
import { cores, family, host } from './stage.ts'
import type { Stage } from './stage.ts'

/** What one run of the load tells. Times in microseconds. */
export interface Load {
  readonly requests: number
  readonly errors: number
  /** The first status of 400 or more; 0: there was none. */
  readonly status: number
  readonly seconds: number
  readonly bytes: number
  readonly handshakes: number
  readonly resumed: number
  /** CPU seconds of the proxy. */
  readonly cpu: number
  readonly p50: number
  readonly p90: number
  readonly p99: number
  readonly max: number
  readonly delay: { readonly count: number; readonly p50: number; readonly p99: number; readonly max: number }
  readonly first: { readonly p50: number; readonly p99: number }
}

export interface LoadOptions {
  readonly request: string
  readonly sni?: string
  readonly connections?: number
  readonly warm?: number
  readonly seconds?: number
  /** Bytes of body behind the request. */
  readonly body?: number
  readonly hosts?: number
  readonly flags?: readonly ('--fresh' | '--resume' | '--events' | '--idle' | '--stall' | '--plain')[]
}

/** One run of the load through one proxy. */
export function load(stage: Stage, contender: Contender, proxy: Proxy, options: LoadOptions): Load {
  const { request, sni = host, connections = 32, warm = 0.5, seconds = 2, body = 0, hosts = 0, flags = [] } = options
  const numbers = { port: proxy.port, connections, warm, seconds, body, hosts }
  const { stdout, stderr, status } = spawnSync('taskset', [
    '-c',
    cores.load,
    stage.load,
    '--request',
    request,
    '--sni',
    sni,
    '--pids',
    family(proxy.pid).join(','),
    ...Object.entries(numbers).flatMap(([name, value]) => [`--${name}`, String(value)]),
    ...(contender.way === 'connect' ? ['--connect', `${sni}:443`] : []),
    ...flags,
  ])
  if (status !== 0) throw new Error(`the load through ${contender.name} ended with ${status}: ${stderr.toString()}`)
  return JSON.parse(stdout.toString()) as Load
}

/** The median, and from where to where the middle half goes. */
export interface Spread {
  readonly median: number
  readonly low: number
  readonly high: number
}

export function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((one, other) => one - other)
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
  return { median: at(0.5), low: at(0.25), high: at(0.75) }
}

/** Each contender once a round, in turn; what a run tells, by contender. A contender that fails is told and left out. */
export async function interleave<Told extends Record<string, number>>(
  contenders: readonly string[],
  rounds: number,
  run: (name: string, round: number) => Told | Promise<Told>,
): Promise<ReadonlyMap<string, Readonly<Record<keyof Told, Spread>>>> {
  const told = new Map<string, Told[]>()
  const failed = new Set<string>()
  for (let round = 0; round < rounds; round += 1) {
    for (const name of round % 2 === 0 ? contenders : contenders.toReversed()) {
      if (failed.has(name)) continue
      try {
        told.set(name, [...(told.get(name) ?? []), await run(name, round)])
      } catch (error) {
        failed.add(name)
        process.stderr.write(`${name}: ${String(error)}\n`)
      }
    }
  }
  return new Map(
    contenders
      .filter((name) => told.has(name))
      .map((name) => {
        const all = told.get(name) ?? []
        const keys = Object.keys(all[0] ?? {}) as (keyof Told)[]
        return [
          name,
          Object.fromEntries(keys.map((key) => [key, spread(all.map((each) => each[key]))])) as Record<keyof Told, Spread>,
        ]
      }),
  )
}
