/** A program that is charged three tokens without end, four requests at a time, and says each charge that is durable. */
import { writeSync } from 'node:fs'
import { EmbeddedLedger } from '#store/sqlite/ledger.ts'

const [path = '', run = ''] = process.argv.slice(2)
const ledger = new EmbeddedLedger(path)
const account = { budget: 'day', holder: 'devbot', window: Math.floor(Date.now() / 86_400_000) * 86_400_000 }
const claim = {
  account,
  limit: { tokens: undefined, nano: undefined },
  hold: { tokens: 10, nano: 0 },
  least: { tokens: 1, nano: 0 },
}

async function work(lane: number): Promise<void> {
  for (let i = 0; ; i += 1) {
    const id = `${run}.${lane}.${i}`
    await ledger.reserve(id, [claim], ledger.now() + 60_000)
    await ledger.settle(id, [account], [{ tokens: 3, nano: 0 }])
    writeSync(1, `${id}\n`)
  }
}

await Promise.all([0, 1, 2, 3].map(work))
