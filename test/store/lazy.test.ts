import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { LazyStore } from '#store/lazy.ts'
import { openStore } from '#store/open.ts'
import { openState } from '#store/state.ts'
import { pairOf } from './pairs.ts'

let folder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lazy-store-'))
})

afterEach(() => rm(folder, { recursive: true }))

it('makes no file until it is asked something, and then keeps a key beside the store', async () => {
  const [path, sealKey] = [join(folder, 'state.db'), join(folder, 'seal.key')]
  const store = new LazyStore(() => openStore({ path, sealKey, uid: process.getuid?.() }))
  expect(existsSync(path)).toBe(false)
  expect(await store.read('claude')).toBeUndefined()
  expect([existsSync(path), existsSync(sealKey)]).toEqual([true, true])
  await store.close()
})

it('makes no new key for an old store', async () => {
  const [path, sealKey] = [join(folder, 'state.db'), join(folder, 'seal.key')]
  const store = openStore({ path, sealKey, uid: process.getuid?.() })
  await store.close()
  await rm(sealKey)
  expect(() => openStore({ path, sealKey, uid: process.getuid?.() })).toThrow(
    expect.objectContaining({ code: 'seal_key_missing' }),
  )
  expect(existsSync(sealKey)).toBe(false)
})

it('tries again when opening has failed', async () => {
  let tries = 0
  const store = new LazyStore(() => {
    tries += 1
    throw new Error('no disk')
  })
  await expect(store.read('claude')).rejects.toThrow('no disk')
  await expect(store.read('claude')).rejects.toThrow('no disk')
  expect(tries).toBe(2)
  await store.close()
})

describe('a store that cannot be opened', () => {
  it('is set aside for a new login where it is no store, says why until then, and is kept', async () => {
    const path = join(folder, 'state.db')
    writeFileSync(path, 'garbage, and long enough to be looked at as a database '.repeat(20))
    const said: object[] = []
    const state = openState(
      { state: path, sealKey: join(folder, 'seal.key'), redis: { prefix: 'x', journal: join(folder, 'journal') } },
      { uid: undefined, log: { info: () => {}, warn: (fields) => said.push(fields) } },
    )
    // The key is there already, as the store was sealed with one.
    writeFileSync(join(folder, 'seal.key'), `${randomBytes(32).toString('base64')}\n`, { mode: 0o600 })
    await expect(state.grants.read('claude')).rejects.toMatchObject({ code: 'store_corrupt' })
    await expect(state.grants.seed('claude', pairOf(1), 'digest', 1)).rejects.toMatchObject({ code: 'store_corrupt' })
    expect(state.fault()).toContain('state.db')
    expect(await state.grants.login('claude', pairOf(2), 1)).toBe(1)
    expect([state.fault(), said]).toEqual([undefined, [{ event: 'state', code: 'store_corrupt' }]])
    expect(readFileSync(`${path}.unusable-1`, 'utf8')).toContain('garbage')
    await state.grants.close()
  })

  it.each([
    ['seal_key_wrong', 'key'],
    ['store_version', 'version'],
  ])('stays where it is for %s: another key or program opens it', async (code, how) => {
    const [path, sealKey] = [join(folder, 'state.db'), join(folder, 'seal.key')]
    const place = { state: path, sealKey, redis: { prefix: 'x', journal: join(folder, 'journal') } }
    const log = { info: () => {}, warn: () => {} }
    const first = openState(place, { uid: undefined, log })
    await first.grants.login('claude', pairOf(1), 1)
    await first.grants.close()
    if (how === 'key') writeFileSync(sealKey, `${randomBytes(32).toString('base64')}\n`, { mode: 0o600 })
    else {
      const database = new DatabaseSync(path)
      database.exec('UPDATE meta SET version = 99')
      database.close()
    }
    const state = openState(place, { uid: undefined, log })
    await expect(state.grants.login('claude', pairOf(2), 1)).rejects.toMatchObject({ code })
    expect(state.fault()).toContain('state.db')
    expect(existsSync(`${path}.unusable-1`)).toBe(false)
  })
})
