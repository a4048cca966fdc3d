import { spawnSync } from 'node:child_process'
import { appendFileSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { accountKey } from '#store/amounts.ts'
import { Journal } from '#store/redis/journal.ts'
import { figure } from '../../kit/figures.ts'

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
  const owed = { accounts: [account], amounts: [{ tokens: 7, nano: 0 }], requests: 1 }
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
  writeFileSync(join(folder, 'sub'), 'a file')
  const owed = { accounts: [account], amounts: [] }
  await expect(journal.owe('one', owed)).rejects.toMatchObject({ name: 'StoreError' })
  await rm(join(folder, 'sub'))
  await journal.flush()
  expect(readFileSync(path, 'utf8')).toContain('"kind":"owe","id":"one"')
})

it('that is deleted under a running proxy is written again whole, and said to have been', async () => {
  const journal = new Journal(path, now)
  journal.learn(key, 'a', [5, 0, 1, 0, 0, 0])
  await journal.flush()
  await rm(join(folder, 'sub'), { recursive: true })
  await journal.owe('one', { accounts: [account], amounts: [] })
  expect(journal.lost).toBe(1)
  const again = new Journal(path, now)
  expect([again.replica, counts(again), [...again.owed.keys()]]).toEqual([journal.replica, { a: [5, 0, 1, 0, 0, 0] }, ['one']])
})

describe('a journal that was cut off', () => {
  /** A journal with all kinds of lines; the grant comes last, and before it what is owed. */
  async function written(): Promise<Buffer> {
    const first = new Journal(path, now)
    first.learn(key, 'a', [5, 0, 1, 0, 0, 0])
    await first.flush()
    await first.owe('one', { accounts: [account], amounts: [{ tokens: 7, nano: 0 }] })
    first.keepGrant('claude', { generation: '3', pair: 'sealed' })
    await first.flush()
    return readFileSync(path)
  }

  it('at every byte of its last two lines is opened, keeps every whole line, and loses nothing that comes after', async () => {
    const bytes = await written()
    const ends = [...bytes.entries()].filter(([, byte]) => byte === 10).map(([at]) => at)
    const [from = 0, between = 0] = ends.slice(-3)
    let cuts = 0
    for (let at = from + 1; at <= bytes.length; at += 1) {
      writeFileSync(path, bytes.subarray(0, at))
      const cut = new Journal(path, now)
      expect(counts(cut)).toEqual({ a: [5, 0, 1, 0, 0, 0] })
      expect([...cut.owed.keys()]).toEqual(at >= between ? ['one'] : [])
      expect([...cut.grants.keys()]).toEqual(at >= bytes.length - 1 ? ['claude'] : [])
      await cut.owe('two', { accounts: [account], amounts: [] })
      expect([...new Journal(path, now).owed.keys()]).toEqual(at >= between ? ['one', 'two'] : ['two'])
      cuts += 1
    }
    figure(`${cuts} cuts: every one opened, 0 whole lines lost`)
    expect(cuts).toBeGreaterThan(100)
  })

  it('and written on by a program that did not look keeps both what was before and what came after', async () => {
    const bytes = await written()
    const after = Buffer.from(`${JSON.stringify({ kind: 'owe', id: 'after', accounts: [account], amounts: [], requests: 1 })}\n`)
    const ends = [...bytes.entries()].filter(([, byte]) => byte === 10).map(([at]) => at)
    let torn = 0
    for (let at = (ends.at(-3) ?? 0) + 1; at < bytes.length; at += 1) {
      writeFileSync(path, Buffer.concat([bytes.subarray(0, at), after]))
      const cut = new Journal(path, now)
      expect(cut.owed.has('after')).toBe(true)
      expect(counts(cut)).toEqual({ a: [5, 0, 1, 0, 0, 0] })
      torn += cut.skipped
    }
    figure(`${torn} torn lines left out and counted`)
    expect(torn).toBeGreaterThan(100)
  })

  it('within its first line is a new one, as nothing came after', () => {
    const head = '{"kind":"head","version":1,"replica":"x"}\n'
    mkdirSync(join(folder, 'sub'))
    for (let at = 0; at < head.length - 1; at += 1) {
      writeFileSync(path, head.slice(0, at))
      expect(new Journal(path, now).replica).not.toBe('x')
    }
  })
})

// bash counts `ulimit -f` in KiB, and Node is given EFBIG and a part of the write as on a full disk.
describe.each([1, 4])('on a disk that fills up, in pages of %i KiB', (page) => {
  it('goes on in whole lines: whatever was said to be on disk is there, and the next start works', () => {
    let owed = 0
    for (let pages = 1; pages <= 12 / page; pages += 1) {
      const place = join(folder, `journal-${pages}`)
      const program = join(import.meta.dirname, 'journal-writer.ts')
      const limited = ['-c', 'ulimit -f "$0"; exec "$@"', String(pages * page), process.execPath, program, place, String(now)]
      const { stdout, status, stderr } = spawnSync('bash', limited, { encoding: 'utf8' })
      expect([status, stderr]).toEqual([0, ''])
      const said = stdout
        .trim()
        .split('\n')
        .filter((line) => line.startsWith('durable '))
        .map((line) => line.slice(8))
      const again = new Journal(place, now)
      expect([...again.owed.keys()]).toEqual(expect.arrayContaining(said))
      expect(again.skipped).toBeLessThanOrEqual(1)
      owed += said.length
    }
    figure(`pages of ${page} KiB: ${owed} charges said to be on disk, 0 lost`)
    expect(owed).toBeGreaterThan(10)
  })
})

it('that is opened on a full disk goes on with what it has', async () => {
  const first = new Journal(path, now)
  for (let i = 0; i < 40; i += 1) await first.owe(`charge-${i}`, { accounts: [account], amounts: [] })
  appendFileSync(path, '{"kind":"owe","id":"to')
  const program = join(import.meta.dirname, 'journal-writer.ts')
  const { stdout, status, stderr } = spawnSync(
    'bash',
    ['-c', 'ulimit -f 1; exec "$@"', 'bash', process.execPath, program, path, String(now)],
    { encoding: 'utf8' },
  )
  expect([status, stderr]).toEqual([0, ''])
  expect(stdout).toContain('opened 40')
  expect([...new Journal(path, now).owed.keys()].filter((id) => id.startsWith('charge-'))).toHaveLength(40)
})
