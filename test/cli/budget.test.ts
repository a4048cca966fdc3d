/** `iron-proxy budget` against a running proxy. */
import { DatabaseSync } from 'node:sqlite'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { EmbeddedLedger } from '#store/sqlite/ledger.ts'
import { startChild } from '../kit/child.ts'
import { run } from '../kit/clients.ts'
import { makeWorkspace } from '../kit/workspace.ts'

const bin = join(import.meta.dirname, '..', '..', 'src', 'bin.js')
const day = 86_400_000
const policy = `version: 1
agents: {devbot: {from: [{cidr: 127.0.0.1/32}], budget: day}}
budgets: {day: {window: day, tokens: 1000}}
rules: [{id: llm, hosts: [llm.test], meter: openai}]
`

it('clock puts budgets right that go 30 days ahead, and takes back what was spent in a window that has not begun', async () => {
  await using files = await makeWorkspace(policy, [])
  const path = join(files.folder, 'state.db-ledger')
  const account = (at: number) => ({ budget: 'day', holder: 'devbot', window: Math.floor(at / day) * day })
  const early = account(Date.now() + 30 * day)
  const ledger = new EmbeddedLedger(path)
  await ledger.settle('today', [account(Date.now())], [{ tokens: 5, nano: 0 }])
  await ledger.settle('early', [early], [{ tokens: 7, nano: 0 }])
  await ledger.close()
  const database = new DatabaseSync(path)
  database.exec(`UPDATE meta SET now = ${Date.now() + 30 * day}; DELETE FROM clock`)
  database.close()

  await using proxy = await startChild({ files, hosts: {}, settings: { state: join(files.folder, 'state.db') } })
  expect(proxy.started).toBe(true)
  const budget = (...words: string[]) =>
    run(process.execPath, [bin, 'budget', ...words, '--config', join(files.folder, 'settings.yaml')])
  const before = await budget('show', '--json')
  expect(JSON.parse(before.stdout)).toMatchObject([{ budget: 'day', tokens: { used: 7 } }])
  const right = await budget('clock')
  expect(right.stdout).toMatch(/^budgets were 259\d{4} s ahead of the clock, and are 0 s ahead of it now$/m)
  expect(right.stdout).toContain(`day devbot: the window of ${new Date(early.window).toISOString()} has not begun`)
  const after = await budget('show', '--json')
  expect(JSON.parse(after.stdout)).toMatchObject([{ budget: 'day', tokens: { used: 5 } }])
})
