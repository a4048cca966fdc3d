import { copyFileSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Journal } from '#store/redis/journal.ts'
import { openState } from '#store/state.ts'
import type { State } from '#store/state.ts'
import { pairOf, shown } from '../pairs.ts'
import { followed, newRun } from '../run-contract.ts'

let top: string
let folder: string
let said: string[]
const opened: State[] = []
const account = { budget: 'day', holder: 'devbot', window: Math.floor(Date.now() / 86_400_000) * 86_400_000 }

function open(): State {
  const state = openState(
    {
      state: join(folder, 'state.db'),
      sealKey: join(folder, 'seal.key'),
      redis: { prefix: 'x', journal: join(folder, 'journal') },
    },
    { uid: process.getuid?.(), log: { info: () => {}, warn: (_fields, message) => said.push(message) } },
  )
  opened.push(state)
  return state
}

async function closeAll(): Promise<void> {
  for (const { grants, ledger, runs } of opened.splice(0)) {
    await runs.close()
    await grants.close()
    await ledger.close()
  }
}

beforeEach(async () => {
  top = await mkdtemp(join(tmpdir(), 'held-file-'))
  folder = join(top, 'state')
  said = []
})
afterEach(async () => {
  await closeAll()
  await rm(top, { recursive: true })
})

/** What happens to a file of an open state, and to what stands beside it. */
const ways: Readonly<Record<string, (name: string) => void>> = {
  'the whole folder is deleted': () => rmSync(folder, { recursive: true }),
  'the file alone is deleted, and its log stays': (name) => rmSync(join(folder, name)),
  'the folder is renamed, and an empty one put there': () => {
    renameSync(folder, `${folder}.old`)
    mkdirSync(folder)
  },
  'an older copy takes its place': (name) => renameSync(join(top, 'older'), join(folder, name)),
  'garbage takes its place': (name) => {
    writeFileSync(join(top, 'garbage'), 'garbage '.repeat(2_000))
    renameSync(join(top, 'garbage'), join(folder, name))
  },
}

describe.each(Object.entries(ways))('where %s', (what, happen) => {
  it('the next write of a grant makes it again, says so once, and a restart finds what was spent', async () => {
    const { grants } = open()
    await grants.login('claude', pairOf(1), 1)
    await grants.login('other', pairOf(9), 1)
    await grants.close()
    copyFileSync(join(folder, 'state.db'), join(top, 'older'))
    const again = open()
    expect(await again.grants.begin('claude', 1, 2)).toBe(true)
    happen('state.db')
    expect(await again.grants.commit('claude', 1, pairOf(2), 3)).toBe(true)
    expect(await again.grants.begin('claude', 2, 4)).toBe(true)
    expect(await again.grants.commit('claude', 2, pairOf(3), 5)).toBe(true)
    await again.grants.close()
    expect(said).toEqual([expect.stringMatching(/state\.db: was (?:deleted|replaced) while the proxy ran/)])
    const restarted = open()
    expect(shown((await restarted.grants.read('claude'))?.pair)).toEqual(shown(pairOf(3)))
    expect(shown((await restarted.grants.read('other'))?.pair)).toEqual(shown(pairOf(9)))
    expect((await restarted.grants.read('claude'))?.needsLogin).toBeUndefined()
    expect(said).toHaveLength(1)
    const isAside = what.includes('place')
    expect(readdirSync(folder).some((name) => name.includes('.replaced-1'))).toBe(isAside)
  })

  it('spend goes on from where it was', async () => {
    const { ledger } = open()
    await ledger.settle('a', [account], [{ tokens: 10, nano: 0 }])
    await ledger.close()
    copyFileSync(join(folder, 'state.db-ledger'), join(top, 'older'))
    const again = open().ledger
    await again.settle('b', [account], [{ tokens: 20, nano: 0 }])
    happen('state.db-ledger')
    await again.settle('c', [account], [{ tokens: 40, nano: 0 }])
    await again.close()
    expect(said).toEqual([expect.stringMatching(/state\.db-ledger: was (?:deleted|replaced) while the proxy ran/)])
    const [balance] = await open().ledger.balances([account])
    expect(balance?.spent.tokens).toBe(70)
  })

  it('runs live on, and what has ended stays so', async () => {
    const [ended, living] = [newRun(), newRun()]
    const { runs } = open()
    for (const run of [ended, living]) await runs.put(run)
    await runs.close()
    copyFileSync(join(folder, 'state.db-runs'), join(top, 'older'))
    const again = open().runs
    await again.open()
    await again.end(ended)
    happen('state.db-runs')
    const later = newRun()
    await again.put(later)
    await again.close()
    expect(said.filter((each) => each.includes('while the proxy ran'))).toHaveLength(1)
    const restarted = open().runs
    const seen = followed(restarted)
    await restarted.open()
    expect(seen.ids()).toEqual([living.id, later.id].toSorted())
  })
})

it('of two processes on one file, the second takes what the first has made', async () => {
  const [one, other] = [open(), open()]
  await one.grants.login('claude', pairOf(1), 1)
  expect((await other.grants.read('claude'))?.generation).toBe(1)
  rmSync(join(folder, 'state.db'))
  expect(await one.grants.begin('claude', 1, 2)).toBe(true)
  expect(await other.grants.begin('claude', 1, 2)).toBe(false)
  expect(await one.grants.commit('claude', 1, pairOf(2), 3)).toBe(true)
  expect((await other.grants.read('claude'))?.generation).toBe(2)
  expect(said).toEqual([expect.stringContaining('made again from memory'), expect.stringContaining('another process')])
})

it('a look at readiness is enough to make it again, and a folder that cannot be made is a fault', async () => {
  const state = open()
  await state.grants.login('claude', pairOf(1), 1)
  rmSync(folder, { recursive: true })
  writeFileSync(folder, 'a file where the folder was')
  expect(state.fault()).toContain('state.db')
  await expect(state.grants.begin('claude', 1, 2)).rejects.toMatchObject({ name: 'StoreError' })
  rmSync(folder)
  expect(await state.grants.begin('claude', 1, 2)).toBe(true)
  expect(existsSync(join(folder, 'seal.key'))).toBe(true)
})

it('a journal that is deleted is made again, and says so', async () => {
  const path = join(top, 'journal')
  const lost: string[] = []
  const journal = new Journal(path, Date.now(), (each) => lost.push(each))
  await journal.owe('a', { accounts: [account], amounts: [{ tokens: 1, nano: 0 }] })
  rmSync(path)
  await journal.owe('b', { accounts: [account], amounts: [{ tokens: 1, nano: 0 }] })
  expect([lost, journal.lost]).toEqual([[path], 1])
  expect([...new Journal(path, Date.now()).owed.keys()]).toEqual(['a', 'b'])
})

describe('damage that appears while the store is open', () => {
  it('is seen by readiness; a new seed begins anew where the old one is known to be spent', async () => {
    const state = open()
    const path = join(folder, 'state.db')
    await state.grants.seed('claude', pairOf(1), 'first seed', 1)
    await state.grants.begin('claude', 1, 2)
    await state.grants.commit('claude', 1, pairOf(2), 3)
    expect(state.fault()).toBeUndefined()
    await closeAll()
    const again = open()
    await again.grants.read('claude')
    writeFileSync(path, 'garbage '.repeat(2_000))
    expect(again.fault()).toContain('state.db')
    await again.grants.seed('claude', pairOf(1), 'first seed', 4).catch(() => {})
    await again.grants.seed('stranger', pairOf(1), 'of a grant that was never noted', 4).catch(() => {})
    expect(readdirSync(folder).filter((name) => /unusable-\d$/.test(name))).toEqual([])
    expect(await again.grants.seed('claude', pairOf(7), 'second seed', 5)).toBe(3)
    expect([again.fault(), shown((await again.grants.read('claude'))?.pair)]).toEqual([undefined, shown(pairOf(7))])
    expect(readdirSync(folder).filter((name) => /unusable-\d$/.test(name))).toEqual(['state.db.unusable-1'])
    expect(said.at(-1)).toContain('was used last')
  })
})
