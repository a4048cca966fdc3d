/**
 * What the product costs, as ratios side by side in one run: `npm run bench` for all, `npm run bench -- NAME` for one. Machines
 * are noisy, so contenders take turns and medians are told with their spread.
 */
import { metering } from './metering.ts'

const benches: Readonly<Record<string, () => Promise<string>>> = { metering }

const wanted = process.argv.slice(2)
const unknown = wanted.filter((name) => !(name in benches))
if (unknown.length > 0) {
  process.stderr.write(`there is no bench ${unknown.join(', ')}; there is ${Object.keys(benches).join(', ')}\n`)
  process.exitCode = 64
} else {
  for (const [name, run] of Object.entries(benches)) {
    if (wanted.length === 0 || wanted.includes(name)) process.stdout.write(`## ${name}\n\n${await run()}\n`)
  }
}
