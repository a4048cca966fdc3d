import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { LazyStore } from '#store/lazy.ts'
import { openStore } from '#store/open.ts'

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
