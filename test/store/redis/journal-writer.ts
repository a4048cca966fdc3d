/** A program that owes one charge after another until the disk is full, and says which are durable. Arguments: the journal, the time. */
import { writeSync } from 'node:fs'
import { Journal } from '#store/redis/journal.ts'

const [path = '', now = ''] = process.argv.slice(2)
const journal = new Journal(path, Number(now))
writeSync(1, `opened ${journal.owed.size}\n`)
let failures = 0
for (let i = 0; failures < 3 && i < 1000; i += 1) {
  try {
    await journal.owe(`new-${i}`, { accounts: [{ budget: 'day', holder: 'devbot', window: Number(now) }], amounts: [] })
    writeSync(1, `durable new-${i}\n`)
  } catch {
    failures += 1
  }
}
