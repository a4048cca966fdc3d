/** Runs of the load, side by side: contenders take turns in each round, and what is told is the median with its spread. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import type { Contender, Proxy } from './contenders/types.ts'
import { spreads } from './spread.ts'
import { cores, family, host, memory, upstream } from './stage.ts'
import type { Stage } from './stage.ts'
import type { Bench, Measure, Row } from './types.ts'

/** What one run of the load tells. Times in microseconds. */
export interface Load {
  /** Answered at all, before the window too. */
  readonly asked: number
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
  readonly shake: { readonly p50: number; readonly p99: number }
}

export interface LoadOptions {
  readonly request: string
  readonly sni?: string
  readonly connections?: number
  /** Seconds before the window, and requests after which it begins even so. */
  readonly warm?: number
  readonly warmRequests?: number
  readonly seconds?: number
  /** Requests after which the window ends even so. */
  readonly limit?: number
  /** Bytes of body behind the request. */
  readonly body?: number
  readonly hosts?: number
  /** The status that is wanted where it is one of 400 or more. */
  readonly refused?: number
  readonly flags?: readonly ('--fresh' | '--resume' | '--events' | '--idle' | '--stall' | '--plain' | '--echo' | '--tolerant')[]
}

/** One run of the load through one proxy. Throws where replies are not what was asked for. */
export async function load(
  stage: Stage,
  { name, way }: Pick<Contender, 'name' | 'way'>,
  proxy: Pick<Proxy, 'at' | 'port' | 'pid'>,
  options: LoadOptions,
): Promise<Load> {
  const { request, sni = host, connections = 32, warm = 0.3, warmRequests = 0, seconds = 1.2, limit = 0 } = options
  const { body = 0, hosts = 0, flags = [], refused = 0 } = options
  const numbers = { port: proxy.port, connections, warm, 'warm-requests': warmRequests, seconds, limit, body, hosts }
  const child = spawn(
    'taskset',
    [
      '-c',
      cores.load,
      stage.load,
      ...Object.entries({ request, sni, at: proxy.at ?? '127.0.0.1' }).flatMap(([name, value]) => [`--${name}`, value]),
      ...(proxy.pid > 0 ? ['--pids', family(proxy.pid).join(',')] : []),
      ...Object.entries(numbers).flatMap(([name, value]) => [`--${name}`, String(value)]),
      ...(way === 'connect' && !flags.includes('--plain') ? ['--tunnel'] : []),
      ...flags,
    ],
    { stdio: ['ignore', 'pipe', 'pipe'], timeout: Math.round((warm + seconds + 30) * 1000), killSignal: 'SIGKILL' },
  )
  const [told, problems] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
  if (child.exitCode !== 0) throw new Error(`the load through ${name} ended with ${child.exitCode ?? 'a signal'}: ${problems}`)
  const found = JSON.parse(told) as Load
  if (flags.includes('--tolerant')) return found
  if (found.status !== refused) throw new Error(`${name} answered ${found.status}`)
  if (found.asked === 0) throw new Error(`${name} answered nothing`)
  if (found.errors > found.asked / 100) throw new Error(`${name} failed ${found.errors} of ${found.asked} requests`)
  return found
}

/** The measures of small requests, and what of a run they are. */
export const requestMeasures = {
  rate: { says: 'requests/s', unit: '' },
  cpu: { says: 'CPU of the proxy', unit: 'µs', digits: 1 },
  p50: { says: 'p50', unit: 'µs' },
  p99: { says: 'p99', unit: 'µs' },
} as const satisfies Record<string, Measure>

export function requestFigures({
  requests,
  seconds,
  cpu,
  p50,
  p99,
}: Load): Readonly<Record<keyof typeof requestMeasures, number>> {
  return { rate: requests / seconds, cpu: costOf(cpu, requests), p50, p99 }
}

/** CPU seconds for each of some, in microseconds; NaN where there is no process to ask. */
export function costOf(cpu: number, of: number): number {
  return cpu === 0 ? Number.NaN : (cpu * 1e6) / of
}

/** What is asked of each contender. */
export interface Case {
  readonly of: string
  readonly options: LoadOptions
  figures(load: Load): Readonly<Record<string, number>>
  /** Who takes part; all unless told. */
  readonly who?: (contender: Contender) => boolean
}

export interface RaceOptions {
  readonly upstream?: string
  readonly rounds?: number
  /** What warms them up, and for how many seconds at most. */
  readonly warm?: LoadOptions
  readonly warmSeconds?: number
}

/**
 * Each contender in a process of its own, warmed up, and then each case by each in turn, round for round. One that does not start or
 * does not answer is named in the notes, with what it did before.
 */
export async function race(
  { stage, rounds: usual }: Bench,
  contenders: readonly Contender[],
  cases: readonly Case[],
  { upstream: at = upstream, rounds = usual, warm = cases[0]?.options, warmSeconds = 4 }: RaceOptions = {},
): Promise<{ readonly rows: readonly Row[]; readonly notes: readonly string[] }> {
  const running = new Map<Contender, Proxy>()
  const notes: string[] = []
  const out = (contender: Contender, error: unknown) => {
    notes.push(`${contender.name} is left out: ${error instanceof Error ? error.message : String(error)}`)
    running.delete(contender)
  }
  await using stack = new AsyncDisposableStack()
  for (const contender of contenders) {
    try {
      const proxy = await contender.start(stage, cores.proxy, at)
      stack.defer(() => proxy.stop())
      running.set(contender, proxy)
      const options = { ...warm, request: warm?.request ?? '', warm: warmSeconds, warmRequests: contender.warm, seconds: 0.1 }
      await load(stage, contender, proxy, options)
    } catch (error) {
      out(contender, error)
    }
  }
  const found = new Map<string, Readonly<Record<string, number>>[]>()
  for (let round = 0; round < rounds; round += 1) {
    for (const each of cases) {
      const turn = [...running].filter(([contender]) => each.who?.(contender) ?? true)
      for (const [contender, proxy] of round % 2 === 0 ? turn : turn.toReversed()) {
        try {
          const figures = each.figures(await load(stage, contender, proxy, each.options))
          const key = `${each.of}\n${contender.name}`
          found.set(key, [...(found.get(key) ?? []), figures])
        } catch (error) {
          if (round === 0) notes.push(`${contender.name}, ${each.of}: ${error instanceof Error ? error.message : String(error)}`)
        }
      }
    }
  }
  const rows = cases.flatMap(({ of }) =>
    contenders.flatMap(({ name }) => {
      const runs = found.get(`${of}\n${name}`)
      return runs ? [{ of, contender: name, figures: spreads(runs) }] : []
    }),
  )
  return { rows, notes }
}

/** Resident memory while something goes on: the most of it, looked at each 50 ms, in MiB. */
export async function peak<Told>(pid: number, work: Promise<Told>): Promise<{ readonly told: Told; readonly most: number }> {
  let most = memory(pid)
  const watch = setInterval(() => (most = Math.max(most, memory(pid))), 50)
  try {
    return { told: await work, most }
  } finally {
    clearInterval(watch)
  }
}

/** The head of a request as any client sends one, with the stub that ours swaps. */
export function head(start: string, to: string, more: Readonly<Record<string, string | number>> = {}): string {
  const fields = { host: to, authorization: 'Bearer proxy-token-bench', 'user-agent': 'bench', accept: '*/*', ...more }
  return `${[`${start} HTTP/1.1`, ...Object.entries(fields).map(([name, value]) => `${name}: ${value}`)].join('\r\n')}\r\n\r\n`
}
