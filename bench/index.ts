/**
 * What the product costs beside others, in one run on one machine. Machines are noisy and differ, so contenders take turns, medians
 * are told with their spread, and ratios come first.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { comparisonText, compareWith, holds } from './baseline.ts'
import type { Baseline } from './baseline.ts'
import { external, readDescriptor } from './contenders/external.ts'
import { contenders as builtIn } from './contenders/index.ts'
import { machine, tools } from './machine.ts'
import { readOptions, usage } from './options.ts'
import type { Options } from './options.ts'
import { report, tableText } from './report.ts'
import { scenarios } from './scenarios/index.ts'
import { smoke } from './smoke.ts'
import { enter } from './namespace.ts'
import { makeStage } from './stage.ts'
import type { Bench, Table } from './types.ts'

/** Seconds after which no further scenario of a full run begins. */
const enough = 14 * 60
const baselineFile = join(import.meta.dirname, 'baseline.json')

await main()

async function main(): Promise<void> {
  let options: Options
  let given: readonly ReturnType<typeof external>[]
  try {
    options = readOptions(
      process.argv.slice(2),
      scenarios.map(({ name }) => name),
    )
    given = options.contenders.map((file) => external(readDescriptor(readFileSync(file, 'utf8'), file)))
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${usage}`)
    process.exitCode = 64
    return
  }
  if (!(await enter())) return
  await using stage = await makeStage()
  let ending: Promise<void> | undefined
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    // A terminal tells the whole group, and `enter` tells it again.
    process.on(signal, () => {
      ending ??= Promise.resolve(stage[Symbol.asyncDispose]()).then(() => process.exit(1))
    })
  }
  const all = [...builtIn, ...given]
  const bench: Bench = { stage, rounds: options.rounds, contenders: all.filter((each) => each.version() !== undefined) }
  const missing = all.filter((each) => !bench.contenders.includes(each)).map(({ name }) => `${name}, not installed`)
  for (const each of missing) process.stderr.write(`left out: ${each}\n`)
  if (options.smoke) await guard(bench, options)
  else await full(bench, options, missing)
}

async function full(bench: Bench, { names }: Options, missing: readonly string[]): Promise<void> {
  const began = performance.now()
  const seconds = () => (performance.now() - began) / 1000
  const tables: Table[] = []
  const leftOut = [...missing]
  for (const scenario of scenarios.filter(({ name }) => names.length === 0 || names.includes(name))) {
    if (seconds() > enough) {
      leftOut.push(`${scenario.name}, no time left`)
      continue
    }
    const since = seconds()
    try {
      const found = await scenario.run(bench)
      tables.push(...found)
      for (const table of found) process.stdout.write(`## ${table.title}\n\n${tableText(table)}\n`)
    } catch (error) {
      leftOut.push(`${scenario.name}, ${(error as Error).message}`)
      process.exitCode = 1
    }
    process.stderr.write(`${scenario.name}: ${(seconds() - since).toFixed(0)} s\n`)
  }
  for (const each of leftOut) process.stderr.write(`left out: ${each}\n`)
  if (names.length > 0) return
  const versions = { ...Object.fromEntries(bench.contenders.map((each) => [each.name, each.version() ?? ''])), ...tools() }
  const date = new Date().toISOString().slice(0, 10)
  const results = { date, machine: machine(), versions, leftOut, seconds: Math.round(seconds()), tables }
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
