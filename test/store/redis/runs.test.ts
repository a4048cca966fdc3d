import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { RunStore } from '#contracts/runs.ts'
import { hasRedis, startRedis } from '../../kit/redis.ts'
import type { RedisServer } from '../../kit/redis.ts'
import { startRelay } from '../../kit/relay.ts'
import { within } from '../../kit/within.ts'
import { makeReplicas } from './parts.ts'
import { describeRunStore, followed, newRun } from '../run-contract.ts'

describe.skipIf(!hasRedis)('with a real redis-server (skipped where there is none)', () => {
  let server: RedisServer
  let made: AsyncDisposable[] = []
  let stores: RunStore[] = []
  beforeAll(async () => {
    server = await startRedis()
  })
  afterEach(async () => {
    for (const store of stores) await store.close()
    for (const each of made) await each[Symbol.asyncDispose]()
    ;[made, stores] = [[], []]
  })
  afterAll(() => server[Symbol.asyncDispose]())

  async function crew(url = server.url) {
    const replicas = await makeReplicas(url)
    made.push(replicas)
    const open = async (name: string, patience?: number) => {
      const store = replicas.runs(name, patience)
      stores.push(store)
      const handle = followed(store)
      await store.open()
      return handle
    }
    return { replicas, open, key: (name: string) => `{${replicas.prefix}}:${name}` }
  }

  describeRunStore('the runs in Redis', async () => {
    const replicas = await makeReplicas(server.url)
    made.push(replicas)
    let count = 0
    return { store: replicas.runs('0'), reopen: async () => replicas.runs(String((count += 1))) }
  })

  describe('a run', () => {
    it('is known to every replica when it is minted, and unknown to all when it has ended', async () => {
      const { open } = await crew()
      const [one, other, third] = [await open('one'), await open('other'), await open('third')]
      for (let i = 0; i < 30; i += 1) {
        const run = newRun()
        await one.store.put(run)
        expect([other.ids(), third.ids()]).toEqual([[run.id], [run.id]])
        await other.store.bind('devbot', run.id)
        expect([one.bound(), third.bound()]).toEqual([{ devbot: run.id }, { devbot: run.id }])
        expect(await third.store.end(run)).toEqual({ mine: true, told: true })
        expect([one.ids(), other.ids()]).toEqual([[], []])
      }
    })

    it('waits for a replica that is slow to take it in, and not for one that is gone', async () => {
      const { open } = await crew()
      const [one, other, gone] = [await open('one'), await open('other'), await open('gone')]
      await gone.store.close()
      let taken = false
      other.store.follow(async () => {
        await sleep(300)
        taken = true
      })
      await one.store.put(newRun())
      expect(taken).toBe(true)
    })

    it('is made also where a replica never says that it knows, and its end is then told as such', async () => {
      const { open } = await crew()
      const [one, other] = [await open('one', 300), await open('other')]
      other.store.follow(() => new Promise(() => {}))
      const run = newRun()
      await one.store.put(run)
      expect(await one.store.end(run)).toEqual({ mine: true, told: false })
    })

    it('is heard of within two looks where nobody may use channels', async () => {
      await server.admin.call('ACL', 'SETUSER', 'deaf', 'on', 'nopass', '~*', '+@all', 'resetchannels')
      const { open } = await crew(`redis://deaf@127.0.0.1:${server.port}/0`)
      const [one, other] = [await open('one'), await open('other')]
      const run = newRun()
      await one.store.put(run)
      expect(other.ids()).toEqual([run.id])
    })

    it('is sealed on the server, and refused when somebody has changed it there', async () => {
      const { open, key } = await crew()
      const one = await open('one')
      const run = newRun({ label: 'canary' })
      await one.store.put(run)
      await one.store.bind('devbot', 'wake-of-devbot')
      const rows = await server.admin.hgetall(key('runs'))
      for (const word of [run.id, run.passwordDigest, run.stubs['github'] ?? '', 'canary', 'wake-of-devbot'])
        expect(JSON.stringify(rows)).not.toContain(word)
      for (const name of await server.admin.keys(key('runs*'))) expect(await server.admin.pttl(name)).toBeGreaterThan(1_000)
      const [name, text] = Object.entries(rows).find(([each]) => each.startsWith('run:')) ?? ['', '']
      await server.admin.hset(key('runs'), name, `${text.slice(0, 60)}AAAA${text.slice(64)}`)
      expect((await open('late')).ids()).toEqual([])
    })
  })

  describe('a server that', () => {
    it('was emptied is told by each what it knows, and brings back no run that has ended', async () => {
      const { open, key } = await crew()
      const [one, other] = [await open('one'), await open('other')]
      const [run, ended] = [newRun(), newRun()]
      for (const each of [run, ended]) await one.store.put(each)
      await one.store.bind('devbot', 'wake-1')
      await other.store.end(ended)
      await server.admin.del(...(await server.admin.keys(key('*'))))
      expect(await within(async () => (await server.admin.hlen(key('runs'))) === 3)).toBeDefined()
      const late = await open('late')
      expect([late.ids(), late.bound()]).toEqual([[run.id], { devbot: 'wake-1' }])
      expect([one.ids(), other.ids()]).toEqual([[run.id], [run.id]])
      expect(await late.store.end(ended)).toMatchObject({ mine: false })
    })

    it('has lost the last change is told it again', async () => {
      const { open, key } = await crew()
      const one = await open('one')
      await one.store.put(newRun())
      const version = (await server.admin.get(key('runs:version'))) ?? ''
      const run = newRun()
      await one.store.put(run)
      // As a server that lags behind has it.
      const [name = ''] = await server.admin.zrange(key('runs:versions'), '-1', '-1')
      const lost = server.admin.multi().set(key('runs:version'), version).hdel(key('runs'), name).zrem(key('runs:versions'), name)
      await lost.exec()
      expect(await within(async () => (await server.admin.hlen(key('runs'))) === 2)).toBeDefined()
      expect((await open('late')).ids()).toContain(run.id)
    })

    it('is away mints nothing and forgets nothing; what was ended meanwhile is told when it is back', async () => {
      const relay = await startRelay(server.port)
      made.push(relay)
      const { replicas, open } = await crew(`redis://127.0.0.1:${relay.port}/0`)
      const one = await open('one')
      const other = followed(replicas.runs('other'))
      stores.push(other.store)
      await other.store.open()
      const [run, kept] = [newRun(), newRun()]
      for (const each of [run, kept]) await one.store.put(each)
      relay.turnTo(1)
      expect(await within(() => one.kept?.current === false)).toBeDefined()
      await expect(one.store.put(newRun())).rejects.toMatchObject({ name: 'StoreError' })
      expect(await one.store.end(run)).toEqual({ mine: undefined, told: false })
      expect(await one.store.bind('devbot', 'wake-1')).toBe(false)
      expect([one.ids(), one.bound()]).toEqual([[kept.id], { devbot: 'wake-1' }])
      relay.turnTo(server.port)
      const agreed = () => [one, other].every((each) => each.ids().join() === kept.id && each.bound()['devbot'] === 'wake-1')
      expect(await within(agreed)).toBeDefined()
      expect(one.kept?.current).toBe(true)
      // Whoever has the record of that end to write is the one that ended it.
      expect(await other.store.end(run)).toMatchObject({ mine: false })
      expect(await one.store.end(run)).toMatchObject({ mine: true })
    })

    it('is away while a replica that ended a run dies is told by its next life', async () => {
      const relay = await startRelay(server.port)
      made.push(relay)
      const { open } = await crew(`redis://127.0.0.1:${relay.port}/0`)
      const [one, other] = [await open('one'), await open('other')]
      const run = newRun()
      await one.store.put(run)
      relay.turnTo(1)
      expect(await within(() => one.kept?.current === false)).toBeDefined()
      expect(await one.store.end(run)).toMatchObject({ told: false })
      await one.store.close()
      relay.turnTo(server.port)
      expect(await within(() => other.kept?.current === true)).toBeDefined()
      expect(other.ids()).toEqual([run.id])
      const next = await open('one')
      expect(next.ids()).toEqual([])
      expect(await within(() => other.ids().length === 0)).toBeDefined()
    })
  })
})
