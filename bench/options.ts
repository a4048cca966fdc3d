/** The command line: what is to be run. */
import { parseArgs } from 'node:util'

export interface Options {
  readonly names: readonly string[]
  readonly smoke: boolean
  readonly write: boolean
  /** Files with descriptors. */
  readonly contenders: readonly string[]
  /** Who takes part beside ours, by a part of the name; none told: all. */
  readonly only: readonly string[]
  readonly rounds: number
}

export const usage = `npm run bench                          every scenario; writes bench/RESULTS.md and bench/results.json
npm run bench -- NAME...               some of them, shown only
npm run bench -- --smoke [--write]     a short run against bench/baseline.json, or a new baseline
  --contender FILE                     a proxy more, told by a descriptor
  --only WORD                          with NAME: ours and those with this in their name
  --rounds N                           turns of each contender (3)
`

/** Throws an Error that says what is wrong with it. */
export function readOptions(given: readonly string[], known: readonly string[]): Options {
  const { values, positionals: names } = parseArgs({
    args: [...given],
    allowPositionals: true,
    options: {
      smoke: { type: 'boolean', default: false },
      write: { type: 'boolean', default: false },
      contender: { type: 'string', multiple: true, default: [] },
      only: { type: 'string', multiple: true, default: [] },
      rounds: { type: 'string', default: '3' },
    },
  })
  const unknown = names.filter((name) => !known.includes(name))
  if (unknown.length > 0) throw new Error(`there is no bench ${unknown.join(', ')}; there is ${known.join(', ')}`)
  if (values.write && !values.smoke) throw new Error('--write goes with --smoke: a full run always writes')
  if (values.smoke && names.length > 0) throw new Error('--smoke runs what it runs; leave the names out')
  if (values.only.length > 0 && names.length === 0) throw new Error('--only goes with the name of a bench')
  const rounds = Number(values.rounds)
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > 20) throw new Error('--rounds is a number from 1 to 20')
  return { names, smoke: values.smoke, write: values.write, contenders: values.contender, only: values.only, rounds }
}
