/**
 * What the product costs beside others, in one run on one machine. Machines are noisy and differ, so contenders take turns, medians
 * are told with their spread, and ratios come first.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { comparisonText, compareWith, holds } from './baseline.ts'
import type { Baseline } from './baseline.ts'
import { external, readDescriptor } from './contenders/external.ts'
import { contenders as builtIn, ours } from './contenders/index.ts'
import type { Contender } from './contenders/types.ts'
import { machine, tools } from './machine.ts'
import { enter } from './namespace.ts'
import { readOptions, usage } from './options.ts'
import type { Options } from './options.ts'
import { report, tableText } from './report.ts'
import { scenarios } from './scenarios/index.ts'
import { smoke } from './smoke.ts'
import { makeStage } from './stage.ts'
import type { Bench, Results, Table } from './types.ts'

/** Seconds after which no further scenario of a full run begins. */
const enough = 20 * 60
const baselineFile = join(import.meta.dirname, 'baseline.json')

interface Asked {
  readonly options: Options
  /** Told by descriptors. */
  readonly given: readonly Contender[]
}

try {
  await main(read())
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`)
  process.exitCode = 1
}

/** What is asked for; `undefined`: that could not be read, and has been said. */
function read(): Asked | undefined {
  const known = scenarios.map(({ name }) => name)
  try {
    const options = readOptions(process.argv.slice(2), known)
    return { options, given: options.contenders.map((file) => external(readDescriptor(readFileSync(file, 'utf8'), file))) }
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${usage}`)
    process.exitCode = 64
    return undefined
  }
}

async function main(asked: Asked | undefined): Promise<void> {
  if (!asked || !(await enter())) return
  await using stage = await makeStage()
  const stopping = new AbortController()
  let ending: Promise<void> | undefined
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    // A terminal tells the whole group, and `enter` tells it again.
    process.on(signal, () => {
      stopping.abort()
      ending ??= Promise.resolve(stage[Symbol.asyncDispose]()).then(() => process.exit(1))
    })
  }
  const { rounds, only } = asked.options
  const isAsked = ({ name }: Contender) => only.length === 0 || name === ours.name || only.some((word) => name.includes(word))
  const all = [...builtIn, ...asked.given].filter(isAsked)
  const bench: Bench = { stage, rounds, contenders: all.filter((each) => each.version() !== undefined) }
  const missing = all.filter((each) => !bench.contenders.includes(each)).map(({ name }) => `${name}, not installed`)
  for (const each of missing) process.stderr.write(`left out: ${each}\n`)
  if (asked.options.smoke) await guard(bench, asked.options)
  else await full(bench, asked.options, missing, stopping.signal)
}

/** What was found before `stopping` is kept; what it broke is not. */
async function full(bench: Bench, { names }: Options, missing: readonly string[], stopping: AbortSignal): Promise<void> {
  const began = performance.now()
  const seconds = () => (performance.now() - began) / 1000
  const wanted = scenarios.filter(({ name }) => names.length === 0 || names.includes(name))
  const tables: Table[] = []
  const leftOut = [...missing]
  for (const [i, scenario] of wanted.entries()) {
    if (seconds() > enough) {
      leftOut.push(`${scenario.name}, no time left`)
      continue
    }
    const since = seconds()
    try {
      const found = await scenario.run(bench)
      if (stopping.aborted) return
      tables.push(...found)
      for (const table of found) process.stdout.write(`## ${table.title}\n\n${tableText(table)}\n`)
    } catch (error) {
      if (stopping.aborted) return
      leftOut.push(`${scenario.name}, ${(error as Error).message}`)
      process.exitCode = 1
    }
    process.stderr.write(`${scenario.name}: ${(seconds() - since).toFixed(0)} s\n`)
    // After each, so that a run that is cut short loses nothing.
    const toCome = wanted.slice(i + 1).map(({ name }) => `${name}, not run yet`)
    if (names.length === 0) keep(bench, { tables, leftOut: [...leftOut, ...toCome], seconds: Math.round(seconds()) })
  }
  if (names.length === 0) keep(bench, { tables, leftOut, seconds: Math.round(seconds()) })
  for (const each of leftOut) process.stderr.write(`left out: ${each}\n`)
}

function keep({ contenders }: Bench, found: Pick<Results, 'tables' | 'leftOut' | 'seconds'>): void {
  const versions = { ...Object.fromEntries(contenders.map((each) => [each.name, each.version() ?? ''])), ...tools() }
  const results: Results = { date: new Date().toISOString().slice(0, 10), machine: machine(), versions, ...found }
  writeFileSync(join(import.meta.dirname, 'results.json'), `${JSON.stringify(results, undefined, 1)}\n`)
  writeFileSync(join(import.meta.dirname, 'RESULTS.md'), report(results))
}

async function guard(bench: Bench, { write }: Options): Promise<void> {
  const { ratios, notes } = await smoke(bench)
  for (const note of notes) process.stderr.write(`${note}\n`)
  if (write) {
    const baseline: Baseline = { made: `${new Date().toISOString().slice(0, 10)}, ${machine()}, Node ${process.version}`, ratios }
    const rounded = {
      ...baseline,
      ratios: Object.fromEntries(Object.entries(ratios).map(([name, ratio]) => [name, Number(ratio.toFixed(3))])),
    }
    writeFileSync(baselineFile, `${JSON.stringify(rounded, undefined, 2)}\n`)
  }
  if (!existsSync(baselineFile)) throw new Error('there is no bench/baseline.json; npm run bench -- --smoke --write makes it')
  const comparisons = compareWith(JSON.parse(readFileSync(baselineFile, 'utf8')) as Baseline, ratios)
  process.stdout.write(comparisonText(comparisons))
  if (!holds(comparisons)) process.exitCode = 1
}
