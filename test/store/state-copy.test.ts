import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { settingsSchema } from '#config/settings-schema.ts'
import { EmbeddedRuns } from '#store/sqlite/runs.ts'
import { EmbeddedLedger } from '#store/sqlite/ledger.ts'
import { openStore } from '#store/open.ts'
import { openSeal } from '#store/seal-key.ts'
import { copyState } from '#store/state-copy.ts'
import { openState } from '#store/state.ts'
import type { State, StatePlace } from '#store/state.ts'
import { hasRedis, startRedis } from '../kit/redis.ts'
import type { RedisServer } from '../kit/redis.ts'
import { pairOf, shown } from './pairs.ts'
import { followed, newRun } from './run-contract.ts'

const account = { budget: 'day', holder: 'devbot', window: Math.floor(Date.now() / 86_400_000) * 86_400_000 }
const uid = process.getuid?.()
const run = newRun()

describe.skipIf(!hasRedis)('state copy (skipped without redis-server)', () => {
  let folder: string
  let server: RedisServer
  let from: string
  let to: StatePlace
  const opened: State[] = []

  const newKey = (path: string) => writeFile(path, `${randomBytes(32).toString('base64')}\n`, { mode: 0o600 })
  const open = (place = to): State => {
    const state = openState(place, { uid, log: { info: () => {}, warn: () => {} } })
    opened.push(state)
    return state
  }

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'state-copy-'))
    server = await startRedis()
    from = join(folder, 'state.db')
    const sealKey = join(folder, 'seal.key')
    await newKey(sealKey)
    to = settingsSchema.parse({ state: server.url, sealKey, redis: { journal: join(folder, 'journal') } })
    const store = openStore({ path: from, sealKey, uid })
    await store.seed('claude', pairOf(1), 'digest', 1)
    await store.begin('claude', 1, 2)
    await store.commit('claude', 1, pairOf(2), 3)
    await store.login('codex', pairOf(7), 4)
    await store.fail('codex', 1, 'invalid_grant', 5)
    await store.close()
    const ledger = new EmbeddedLedger(`${from}-ledger`)
    await ledger.settle('a', [account], [{ tokens: 70, nano: 5 }])
    const claim = {
      account,
      limit: { tokens: 1000, nano: undefined },
      hold: { tokens: 30, nano: 0 },
      least: { tokens: 1, nano: 0 },
    }
    await ledger.reserve('b', [claim], Date.now() + 60_000)
    await ledger.close()
    const runs = new EmbeddedRuns({ path: `${from}-runs`, seal: () => openSeal({ path: sealKey, make: false, uid }) })
    await runs.put(run)
    await runs.close()
  })

  afterEach(async () => {
    for (const { grants, ledger, runs } of opened.splice(0)) {
      await runs.close()
      await grants.close()
      await ledger.close()
    }
    await server[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
  })

  it('carries grants over with generation, seed and reason, and spend with what was held; twice is as once', async () => {
    const copied = {
      grants: [
        { credential: 'claude', generation: 2, kept: false },
        { credential: 'codex', generation: 1, kept: false },
      ],
      accounts: 1,
      runs: 1,
    }
    expect(await copyState(from, to, uid)).toEqual(copied)
    expect(await copyState(from, to, uid)).toEqual(copied)
    const { grants, ledger } = open()
    const claude = await grants.read('claude')
    expect([claude?.generation, shown(claude?.pair)]).toEqual([2, shown(pairOf(2))])
    expect(await grants.seed('claude', pairOf(1), 'digest', 9)).toBeUndefined()
    expect(await grants.read('codex')).toMatchObject({ needsLogin: 'invalid_grant' })
    expect(await ledger.balances([account])).toMatchObject([{ spent: { tokens: 100, nano: 5 }, requests: 2 }])
  })

  it('carries runs over, and what ended on either side stays so', async () => {
    const [over, here] = [newRun(), newRun()]
    const runs = new EmbeddedRuns({ path: `${from}-runs`, seal: () => openSeal({ path: to.sealKey, make: false, uid }) })
    for (const each of [over, here]) await runs.put(each)
    await runs.end(over)
    await runs.bind('devbot', 'wake-1')
    await runs.close()
    expect(await copyState(from, to, uid)).toMatchObject({ runs: 2 })
    const { runs: store } = open()
    const shared = followed(store)
    await store.open()
    expect(shared.ids()).toEqual([run.id, here.id].toSorted())
    expect(shared.bound()).toEqual({ devbot: 'wake-1' })
    await store.end(here)
    await copyState(from, to, uid)
    expect(shared.ids()).toEqual([run.id])
  })

  it('leaves a newer grant as it is', async () => {
    await copyState(from, to, uid)
    const { grants } = open()
    await grants.login('claude', pairOf(3), 8)
    expect((await copyState(from, to, uid)).grants[0]).toEqual({ credential: 'claude', generation: 3, kept: true })
    expect(shown((await grants.read('claude'))?.pair)).toEqual(shown(pairOf(3)))
  })

  it.each([
    ['seal_key_wrong', 'another key than the file', async () => newKey(to.sealKey)],
    [
      'store_version',
      'a server of a newer version',
      async () => server.admin.hset('{iron-proxy}:meta', 'version', '2', 'sealed', 'x'),
    ],
    ['store_io', 'a server that is away', async () => server.kill()],
    ['seal_key_missing', 'no key', async () => rm(to.sealKey)],
    ['store_io', 'no file', async () => Promise.all(['', '-ledger', '-runs'].map((what) => rm(`${from}${what}`)))],
  ])('is refused with %s: %s', async (code, _what, spoil) => {
    await spoil()
    await expect(copyState(from, to, uid)).rejects.toMatchObject({ name: 'StoreError', code })
  })

  it('is refused by a server that was sealed with another key', async () => {
    await copyState(from, to, uid)
    const other = join(folder, 'other.key')
    await newKey(other)
    const { grants, ledger } = open({ ...to, sealKey: other, redis: { ...to.redis, journal: join(folder, 'other') } })
    await expect(grants.read('claude')).rejects.toMatchObject({ code: 'seal_key_wrong' })
    await expect(ledger.balances([account])).rejects.toMatchObject({ code: 'seal_key_wrong' })
  })
})
