/** One run of the load, the C program of `load/`, and what it tells. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import type { Contender, Proxy } from './contenders/types.ts'
import { cores, host } from './names.ts'
import { family } from './processes.ts'
import type { Stage } from './stage.ts'

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
  /** The address it comes from: that of `neighbour` is another agent. */
  readonly from?: string
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
  const { request, sni = host, connections = 32, warm = 0.2, warmRequests = 0, seconds = 1, limit = 0 } = options
  const { body = 0, hosts = 0, flags = [], refused = 0, from } = options
  const numbers = { port: proxy.port, connections, warm, 'warm-requests': warmRequests, seconds, limit, body, hosts }
  const child = spawn(
    'taskset',
    [
      '-c',
      cores.load,
      stage.load,
      ...Object.entries({ request, sni, at: proxy.at ?? '127.0.0.1' }).flatMap(([name, value]) => [`--${name}`, value]),
      ...(from === undefined ? [] : ['--from', from]),
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
  if (found.asked === 0) throw new Error(`${name} answered nothing within ${warm + seconds} s`)
  if (found.errors > found.asked / 100) throw new Error(`${name} failed ${found.errors} of ${found.asked} requests`)
  return found
}

/** The head of a request as any client sends one, with the stub that ours swaps. */
export function head(start: string, to: string, more: Readonly<Record<string, string | number>> = {}): string {
  const fields = { host: to, authorization: 'Bearer proxy-token-bench', 'user-agent': 'bench', accept: '*/*', ...more }
  return `${[`${start} HTTP/1.1`, ...Object.entries(fields).map(([name, value]) => `${name}: ${value}`)].join('\r\n')}\r\n\r\n`
}
