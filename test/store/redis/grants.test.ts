import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { hasRedis, startRedis } from '../../kit/redis.ts'
import type { RedisServer } from '../../kit/redis.ts'
import { describeGrantStore } from '../contract.ts'
import { pairOf, shown } from '../pairs.ts'
import { makeReplicas } from './parts.ts'

describe.skipIf(!hasRedis)('with a real redis-server (skipped where there is none)', () => {
  let server: RedisServer
  const made: AsyncDisposable[] = []
  beforeAll(async () => {
    server = await startRedis()
  })
  afterAll(async () => {
    for (const each of made) await each[Symbol.asyncDispose]()
    await server[Symbol.asyncDispose]()
  })

  describeGrantStore('the grants in Redis', async () => {
    const replicas = await makeReplicas(server.url)
    made.push(replicas)
    let count = 0
    return { store: replicas.grants('0'), reopen: async () => replicas.grants(String((count += 1))) }
  })

  describe('grants that a server has lost', () => {
    async function crew(calm = 0) {
      const replicas = await makeReplicas(server.url)
      const [one, other] = [replicas.grants('one', calm), replicas.grants('other', calm)]
      made.push({
        [Symbol.asyncDispose]: async () => {
          await one.close()
          await other.close()
          await replicas[Symbol.asyncDispose]()
        },
      })
      const empty = async () => server.admin.del(...(await server.admin.keys(`{${replicas.prefix}}*`)))
      const key = `{${replicas.prefix}}:grant:claude`
      return { replicas, one, other, empty, key }
    }

    it('come back in the newest generation that anybody knows, though nobody had asked for it', async () => {
      const { one, other, empty } = await crew()
      await one.login('claude', pairOf(1), 1)
      await other.read('claude')
      await one.begin('claude', 1, 2)
      await one.commit('claude', 1, pairOf(2), 3)
      // One look at what others have written is twice a second.
      await sleep(1_200)
      await one.close()
      await empty()
      expect(shown((await other.read('claude'))?.pair)).toEqual(shown(pairOf(2)))
    })

    it('are brought back before a seed that was spent long ago is taken again', async () => {
      const { one, other, empty } = await crew(1_500)
      await one.seed('claude', pairOf(1), 'first', 1)
      await one.begin('claude', 1, 2)
      await one.commit('claude', 1, pairOf(2), 3)
      await other.read('codex')
      await empty()
      // The other has never heard of it, and begins as if it was new.
      expect(await other.seed('claude', pairOf(1), 'first', 4)).toBeUndefined()
      expect((await other.read('claude'))?.generation).toBe(2)
    })

    it('keep the mark of a call that is under way', async () => {
      const { one, other, key } = await crew()
      await one.login('claude', pairOf(1), 1)
      await one.begin('claude', 1, 2)
      // As a server that lags behind has it.
      await server.admin.hset(key, 'generation', '0')
      expect(await one.read('claude')).toMatchObject({ generation: 1, inFlightSince: 2 })
      expect(await other.begin('claude', 1, 3)).toBe(false)
    })

    it('never come back in an older one', async () => {
      const { one, other } = await crew()
      await one.login('claude', pairOf(1), 1)
      await other.read('claude')
      await one.login('claude', pairOf(2), 2)
      await other.bring()
      expect((await one.read('claude'))?.generation).toBe(2)
    })

    it('are sealed on the server, and refused when somebody has changed them there', async () => {
      const { replicas, one, key } = await crew()
      await one.login('claude', pairOf(1, 'canary'), 1)
      expect(JSON.stringify(await server.admin.hgetall(key))).not.toContain('canary')
      expect(JSON.stringify([...replicas.journal('one').grants])).not.toContain('canary')
      const pair = (await server.admin.hget(key, 'pair')) ?? ''
      await server.admin.hset(key, 'pair', `${pair.slice(0, 40)}AAAA${pair.slice(44)}`)
      await expect(one.read('claude')).rejects.toMatchObject({ code: 'store_corrupt' })
      expect(await one.login('claude', pairOf(2), 2)).toBe(2)
    })
  })
})
