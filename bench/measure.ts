/** Runs side by side: contenders take turns in each round, and what is told is the median with its spread. */
import type { Contender, Proxy } from './contenders/types.ts'
import { load } from './load.ts'
import type { Load, LoadOptions } from './load.ts'
import { cores, upstream } from './names.ts'
import { memory } from './processes.ts'
import { spreads } from './spread.ts'
import type { Figures } from './spread.ts'
import type { Bench, Measure, Row } from './types.ts'

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
  /** In the first round alone, for what takes long. */
  readonly once?: boolean
}

/** Those known to open thousands of connections in a few seconds. */
export function isBrisk({ name }: Contender): boolean {
  return /iron|nginx|HAProxy|direct/.test(name)
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
    notes.push(leftOut(contender.name, error))
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
      if (each.once && round > 0) continue
      const turn = [...running].filter(([contender]) => each.who?.(contender) ?? true)
      for (const [contender, proxy] of round % 2 === 0 ? turn : turn.toReversed()) {
        try {
          const figures = each.figures(await load(stage, contender, proxy, each.options))
          const key = `${each.of}\n${contender.name}`
          found.set(key, [...(found.get(key) ?? []), figures])
        } catch (error) {
          if (round === 0) notes.push(leftOut(`${contender.name}, ${each.of}`, error))
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

export interface TurnOptions {
  readonly upstream?: string
  readonly core?: string
  readonly rounds?: number
  readonly warm?: LoadOptions
}

/** What was found in a contender's turn. */
export interface Turn {
  readonly of: string
  readonly figures: Figures
}

/**
 * Each contender by itself, in a process of its own that is warmed up and ends whatever happens. One that fails is named in the notes.
 */
export async function oneByOne(
  { stage, contenders }: Pick<Bench, 'stage' | 'contenders'>,
  { upstream: at = upstream, core = cores.proxy, rounds = 1, warm }: TurnOptions,
  run: (contender: Contender, proxy: Proxy) => Promise<Turn>,
): Promise<{ readonly rows: readonly Row[]; readonly notes: readonly string[] }> {
  const found = new Map<string, Turn[]>()
  const notes = new Set<string>()
  for (let round = 0; round < rounds; round += 1) {
    for (const contender of contenders) {
      try {
        const proxy = await contender.start(stage, core, at)
        try {
          if (warm) await load(stage, contender, proxy, { warm: 2, warmRequests: contender.warm, seconds: 0.1, ...warm })
          found.set(contender.name, [...(found.get(contender.name) ?? []), await run(contender, proxy)])
        } finally {
          await proxy.stop()
        }
      } catch (error) {
        notes.add(leftOut(contender.name, error))
      }
    }
  }
  const rows = [...found].map(([contender, turns]) => {
    const figures = spreads(turns.map(({ figures }) => figures))
    return { of: turns[0]?.of ?? '', contender, figures }
  })
  return { rows, notes: [...notes] }
}

function leftOut(name: string, error: unknown): string {
  return `${name} is left out: ${error instanceof Error ? error.message : String(error)}`
}

export interface Watched<Told> {
  readonly told: Told
  readonly most: number
  readonly last: number
}

/** Resident memory while something goes on, looked at each 50 ms: the most and the last of it, in MiB. */
export async function watchMemory<Told>(pid: number, work: Promise<Told>): Promise<Watched<Told>> {
  let last = memory(pid)
  let most = last
  const watch = setInterval(() => {
    last = memory(pid)
    most = Math.max(most, last)
  }, 50)
  try {
    return { told: await work, most, last }
  } finally {
    clearInterval(watch)
  }
}
