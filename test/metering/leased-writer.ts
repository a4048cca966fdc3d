/** A program that is charged three tokens without end, four requests at a time on leases, and says each charge, and now and then what it shows as spent. */
import { writeSync } from 'node:fs'
import { LeasedLedger } from '#metering/leased-ledger.ts'
import { systemClock } from '#observe/system-clock.ts'
import { EmbeddedLedger } from '#store/sqlite/ledger.ts'

const [path = '', run = '', limit = ''] = process.argv.slice(2)
const ledger = new LeasedLedger(new EmbeddedLedger(path), systemClock)
const account = { budget: 'day', holder: 'devbot', window: Math.floor(Date.now() / 86_400_000) * 86_400_000 }
const claim = {
  account,
  limit: { tokens: Number(limit), nano: undefined },
  hold: { tokens: 10, nano: 0 },
  least: { tokens: 1, nano: 0 },
}

/** Whoever reads may be slow, and a pipe that is full takes nothing. */
async function say(text: string): Promise<void> {
  for (;;) {
    try {
      return void writeSync(1, `${text}\n`)
    } catch {
      await new Promise((go) => setTimeout(go, 1))
    }
  }
}

async function work(lane: number): Promise<void> {
  for (let i = 0; ; i += 1) {
    const id = `${run}.${lane}.${i}`
    const reserved = await ledger.reserve(id, [claim], ledger.now() + 60_000)
    if (reserved.kind !== 'held') throw new Error(reserved.kind)
    const leased = ledger.leases(id)
    await ledger.settle(id, [account], [{ tokens: 3, nano: 0 }])
    await say(leased ? 'leased' : 'direct')
    // What is on a lease never waits, and others must have their turn.
    if (i % 20 === 0) await new Promise((go) => setTimeout(go, 1))
  }
}

async function show(): Promise<void> {
  for (;;) {
    await ledger.beat()
    const [balance] = await ledger.balances([account])
    await say(`shown ${balance?.spent.tokens}`)
    await new Promise((go) => setTimeout(go, 5))
  }
}

await Promise.all([...[0, 1, 2, 3].map(work), show()])
