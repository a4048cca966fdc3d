import { appendFileSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { accountKey } from '#store/amounts.ts'
import { Journal } from '#store/redis-journal.ts'

let folder: string
let path: string
const now = Date.now()
const account = { budget: 'day', holder: 'devbot', window: now }
const key = accountKey(account)
const counts = (journal: Journal) => Object.fromEntries(journal.spends.get(key) ?? [])

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'journal-'))
  path = join(folder, 'sub', 'journal')
})
afterEach(() => rm(folder, { recursive: true }))

it('keeps of each number the larger, over a restart, under the same name', async () => {
  const first = new Journal(path, now)
  first.learn(key, 'a', [5, 0, 1, 0, 0, 0])
  first.learn(key, 'a', [3, 9, 1, 0, 0, 0])
  first.learn(key, 'b', [1, 0, 1, 1, 0, 1])
  await first.flush()
  const second = new Journal(path, now)
  expect(second.replica).toBe(first.replica)
  expect(counts(second)).toEqual({ a: [5, 9, 1, 0, 0, 0], b: [1, 0, 1, 1, 0, 1] })
  expect(statSync(path).mode & 0o777).toBe(0o600)
})

it('keeps what is owed until it is paid, and grants as they were', async () => {
  const first = new Journal(path, now)
  const owed = { accounts: [account], amounts: [{ tokens: 7, nano: 0 }] }
  await first.owe('one', owed)
  await first.owe('two', owed)
  first.paid('one')
  first.keepGrant('claude', { generation: '3', pair: 'sealed' })
  await first.flush()
  const second = new Journal(path, now)
  expect([...second.owed]).toEqual([['two', owed]])
  expect([...second.grants]).toEqual([['claude', { generation: '3', pair: 'sealed' }]])
})

it('keeps the ends of runs that were not told, until they are or nobody needs them', async () => {
  const first = new Journal(path, now)
  const fact = (name: string, until = now + 1) => ({ kind: 'ended', name, seq: 2, until, by: 'me' }) as const
  for (const each of [fact('one'), fact('two'), fact('old', now - 1)]) first.oweEnd(each)
  first.toldEnd('one')
  first.toldEnd('never owed')
  await first.flush()
  expect(new Journal(path, now).ended).toEqual([fact('two')])
  expect(new Journal(path, now + 2).ended).toEqual([])
})

it('forgets accounts of the distant past, and says nothing twice', async () => {
  const first = new Journal(path, now)
  first.learn(accountKey({ ...account, window: 1 }), 'a', [1, 0, 0, 0, 0, 0])
  for (let i = 0; i < 3; i += 1) first.learn(key, 'a', [1, 0, 0, 0, 0, 0])
  await first.flush()
  expect(readFileSync(path, 'utf8').trim().split('\n')).toHaveLength(3)
  expect([...new Journal(path, now).spends.keys()]).toEqual([key])
})

it('of a process that was killed may end in half a line', async () => {
  const first = new Journal(path, now)
  first.learn(key, 'a', [1, 0, 0, 0, 0, 0])
  await first.flush()
  appendFileSync(path, '{"kind":"spend","acc')
  const second = new Journal(path, now)
  second.learn(key, 'a', [2, 0, 0, 0, 0, 0])
  await second.flush()
  expect(counts(new Journal(path, now))).toEqual({ a: [2, 0, 0, 0, 0, 0] })
})

it.each([
  ['store_corrupt', 'something else\n'],
  ['store_version', '{"kind":"head","version":2,"replica":"x"}\n'],
])('is refused, and left as it is: %s', (code, text) => {
  const file = join(folder, 'other')
  writeFileSync(file, text)
  expect(() => new Journal(file, now)).toThrow(expect.objectContaining({ name: 'StoreError', code }))
  expect(readFileSync(file, 'utf8')).toBe(text)
})

it('that cannot be written says so to who must know, and writes it once it can', async () => {
  const journal = new Journal(path, now)
  await rm(join(folder, 'sub'), { recursive: true })
  const owed = { accounts: [account], amounts: [] }
  await expect(journal.owe('one', owed)).rejects.toMatchObject({ name: 'StoreError' })
  await mkdir(join(folder, 'sub'))
  await journal.flush()
  expect(readFileSync(path, 'utf8')).toContain('"kind":"owe","id":"one"')
})
