import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, describe, expect, it } from 'vitest'
import type { Claim } from '#metering/types.ts'
import { EmbeddedLedger } from '#store/sqlite/ledger.ts'
import { describeLedger } from '../ledger-contract.ts'

const folders: string[] = []
afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))))

async function newPath(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'ledger-'))
  folders.push(folder)
  return join(folder, 'sub', 'state.db-ledger')
}

describeLedger('the embedded ledger', async () => {
  const path = await newPath()
  let ahead = 0
  let passed = 0
  const open = () =>
    new EmbeddedLedger(
      path,
      () => Date.now() + ahead,
      undefined,
      () => performance.now() + passed,
    )
  return {
    ledger: open(),
    step(milliseconds) {
      ahead += milliseconds
      passed += Math.max(0, milliseconds)
    },
    reopen: async () => open(),
  }
})

const account = { budget: 'day', holder: 'devbot', window: Math.floor(Date.now() / 86_400_000) * 86_400_000 }
const claim: Claim = {
  account,
  limit: { tokens: undefined, nano: undefined },
  hold: { tokens: 10, nano: 0 },
  least: { tokens: 1, nano: 0 },
}

describe('the embedded ledger', () => {
  it('makes its file when it is first asked, for us alone', async () => {
    const path = await newPath()
    const ledger = new EmbeddedLedger(path)
    expect(() => readFileSync(path)).toThrow('ENOENT')
    await ledger.open()
    expect(readFileSync(path).subarray(0, 15).toString()).toBe('SQLite format 3')
    await ledger.close()
  })

  it('writes what comes in together in one go', async () => {
    const path = await newPath()
    const ledger = new EmbeddedLedger(path)
    await ledger.open()
    const before = readFileSync(`${path}-wal`).length
    await Promise.all(Array.from({ length: 100 }, (_, i) => ledger.settle(`s${i}`, [account], [{ tokens: 1, nano: 0 }])))
    // Each transaction alone would write its pages anew: four of 4 KiB and more.
    expect(readFileSync(`${path}-wal`).length - before).toBeLessThan(100 * 4 * 4096)
    expect((await ledger.balances([account]))[0]?.spent.tokens).toBe(100)
    await ledger.close()
  })

  it('that was killed at any moment has what it said it had, and never less spent', { timeout: 60_000 }, async () => {
    const path = await newPath()
    let acknowledged = 0
    for (let trial = 0; trial < 12; trial += 1) {
      const child = spawn(process.execPath, ['test/store/sqlite/ledger-writer.ts', path, String(trial)], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      const { promise, resolve } = Promise.withResolvers<void>()
      let lines = ''
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        lines += text
        if (lines.split('\n').length > 20 + trial * 3) child.kill('SIGKILL')
      })
      child.on('close', () => resolve())
      await promise
      acknowledged += lines.split('\n').length - 1
    }
    const ledger = new EmbeddedLedger(path)
    const [balance] = await ledger.balances([account])
    expect(balance?.spent.tokens).toBeGreaterThanOrEqual(acknowledged * 3)
    // What was held by the dead is a charge now: ten for each of the four it may have had running.
    expect(balance?.spent.tokens).toBeLessThanOrEqual(acknowledged * 3 + 12 * 4 * 10 + 12 * 4 * 3)
    expect(balance?.held.tokens).toBe(0)
    await ledger.close()
  })

  it.each([
    ['is no database', () => 'not a database, by any means, and long enough to be looked at as one'.repeat(20), 'store_corrupt'],
    ['is of a newer version', 'newer', 'store_version'],
    ['is another database', 'other', 'store_corrupt'],
  ] as const)('whose file %s is refused, and the file stays as it was', async (_what, content, code) => {
    const path = await newPath()
    const first = new EmbeddedLedger(path)
    await first.open()
    await first.close()
    if (typeof content === 'function') writeFileSync(path, content())
    else {
      const database = new DatabaseSync(path)
      database.exec(content === 'newer' ? 'UPDATE meta SET version = 99' : 'DROP TABLE meta')
      database.close()
    }
    const before = readFileSync(path)
    const ledger = new EmbeddedLedger(path)
    await expect(ledger.open()).rejects.toMatchObject({ name: 'StoreError', code })
    // No login is in this file, so that none helps it.
    await expect(ledger.open()).rejects.not.toThrow(/log in/)
    await expect(ledger.reserve('a', [claim], 1)).rejects.toMatchObject({ name: 'StoreError' })
    expect(readFileSync(path).equals(before)).toBe(true)
    await ledger.close()
  })

  it('that cannot be written to says so once, and works again once it can', async () => {
    const path = await newPath()
    // A folder in its place can be neither opened nor made.
    mkdirSync(path, { recursive: true })
    const said: (string | undefined)[] = []
    const ledger = new EmbeddedLedger(path, Date.now, (fault) => said.push(fault?.message))
    await expect(ledger.reserve('a', [claim], Date.now() + 60_000)).rejects.toMatchObject({ name: 'StoreError' })
    await expect(ledger.open()).rejects.toMatchObject({ name: 'StoreError' })
    rmdirSync(path)
    await sleep(1_100)
    expect(await ledger.reserve('a', [claim], Date.now() + 60_000)).toMatchObject({ kind: 'held' })
    expect(said).toEqual([expect.stringContaining(`${path}: `), undefined])
    await ledger.close()
  })

  it('that was closed begins anew when it is asked again', async () => {
    const path = await newPath()
    const ledger = new EmbeddedLedger(path)
    await ledger.open()
    await ledger.close()
    expect(await ledger.reserve('a', [claim], Date.now() + 60_000)).toMatchObject({ kind: 'held' })
    await ledger.close()
  })
})
