import { copyFileSync, rmSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { openStore } from '#store/open.ts'
import { Spent } from '#store/spent.ts'
import { pairOf } from './pairs.ts'

let folder: string
let path: string
const open = () => openStore({ path, sealKey: join(folder, 'seal.key'), uid: undefined })
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'spent-'))
  path = join(folder, 'state.db')
})
afterEach(() => rm(folder, { recursive: true }))

function dropDatabase(): void {
  for (const part of ['', '-wal', '-shm']) rmSync(path + part, { force: true })
}

it('a seed that was spent is not taken again though the database is gone, and one that was never shown is', async () => {
  const first = open()
  await first.seed('claude', pairOf(1), 'spent', 1)
  await first.begin('claude', 1, 2)
  await first.commit('claude', 1, pairOf(2), 3)
  await first.seed('other', pairOf(1), 'never shown', 1)
  await first.close()
  dropDatabase()
  const again = open()
  expect(await again.seed('claude', pairOf(1), 'spent', 4)).toBeUndefined()
  expect(await again.read('claude')).toBeUndefined()
  expect(await again.seed('other', pairOf(1), 'never shown', 4)).toBe(2)
  expect(await again.seed('claude', pairOf(3), 'a new one', 4)).toBe(3)
  await again.close()
})

it('an older copy of the database needs a login, and says so; a login makes it the newest', async () => {
  const first = open()
  await first.login('claude', pairOf(1), 1)
  await first.close()
  copyFileSync(path, `${path}.copy`)
  const second = open()
  expect((await second.read('claude'))?.needsLogin).toBeUndefined()
  await second.begin('claude', 1, 2)
  await second.commit('claude', 1, pairOf(2), 3)
  await second.close()
  dropDatabase()
  copyFileSync(`${path}.copy`, path)
  const restored = open()
  expect((await restored.read('claude'))?.needsLogin).toContain('older copy: it has generation 1, and 2 was in use')
  expect(await restored.login('claude', pairOf(5), 4)).toBe(3)
  expect((await restored.read('claude'))?.needsLogin).toBeUndefined()
  await restored.close()
})

it('cut off at any byte, the file keeps every whole line, and takes the next', () => {
  const whole = '{"kind":"seed","digest":"a"}\n'
  const second = '{"kind":"newest","credential":"claude","generation":7}\n'
  for (let at = 0; at <= second.length; at += 1) {
    writeFileSync(path, whole + second.slice(0, at))
    new Spent(path).addSeed('b')
    const spent = new Spent(path)
    expect([spent.hasSeed('a'), spent.hasSeed('b')]).toEqual([true, true])
    expect(spent.newest('claude')).toBe(at >= second.length - 1 ? 7 : 0)
  }
})
