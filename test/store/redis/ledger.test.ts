import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { LeasedLedger } from '#metering/leased-ledger.ts'
import type { Claim, Ledger } from '#metering/types.ts'
import { systemClock } from '#observe/system-clock.ts'
import { figure } from '../../kit/figures.ts'
import { hasRedis, startRedis } from '../../kit/redis.ts'
import type { RedisServer } from '../../kit/redis.ts'
import { describeLedger } from '../ledger-contract.ts'
import { within } from '../../kit/within.ts'
import { makeReplicas } from './parts.ts'

const minute = 60_000

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

  describeLedger('the ledger in Redis', async () => {
    const replicas = await makeReplicas(server.url)
    made.push(replicas)
    return {
      ledger: replicas.ledger('one'),
      step(milliseconds) {
        if (milliseconds > 0) replicas.pass(milliseconds)
        else replicas.clock.ahead += milliseconds
      },
      // Others may still serve what it held, so nobody charges that before its deadline.
      reopen: async () => {
        replicas.pass(2 * minute)
        return replicas.ledger('one')
      },
    }
  })

  describe('two ledgers on one server', () => {
    const account = { budget: 'day', holder: 'devbot', window: Math.floor(Date.now() / 86_400_000) * 86_400_000 }
    const claim = (tokens: number, limit = 1_000, some: Partial<Claim> = {}): Claim => ({
      account,
      limit: { tokens: limit, nano: undefined },
      hold: { tokens, nano: 0 },
      least: { tokens: 1, nano: 0 },
      ...some,
    })
    const spent = async (ledger: Ledger) => (await ledger.balances([account]))[0]?.spent.tokens
    const held = async (ledger: Ledger) => (await ledger.balances([account]))[0]?.held.tokens
    const charge = (ledger: Ledger, id: string, tokens: number) => ledger.settle(id, [account], [{ tokens, nano: 0 }])

    async function pair(url = server.url) {
      const replicas = await makeReplicas(url)
      const [one, other] = [replicas.ledger('one'), replicas.ledger('other')]
      await Promise.all([one.open(), other.open()])
      made.push({
        [Symbol.asyncDispose]: async () => {
          await one.close()
          await other.close()
          await replicas[Symbol.asyncDispose]()
        },
      })
      return { one, other, replicas }
    }

    it('let two hundred at once in as one ledger does', async () => {
      const { one, other } = await pair()
      const all = await Promise.all(
        Array.from({ length: 200 }, (_, i) => (i % 2 ? one : other).reserve(`r${i}`, [claim(100)], one.now() + minute)),
      )
      expect(all.filter(({ kind }) => kind === 'held')).toHaveLength(10)
      expect(await held(one)).toBe(1_000)
    })

    it('bring back what they charged, took back and were told to count, each its own, whoever is first', async () => {
      const { one, other, replicas } = await pair()
      await charge(one, 'a', 100)
      await charge(other, 'b', 200)
      await charge(one, 'c', 50)
      await other.set(account, { tokens: 330, nano: 0 })
      expect([await spent(one), await spent(other)]).toEqual([330, 330])
      await server.admin.del(...(await server.admin.keys(`{${replicas.prefix}}*`)))
      // The first knows less than all, and goes on.
      await charge(one, 'd', 5)
      expect([await spent(other), await spent(one)]).toEqual([335, 335])
    })

    it('bring back what one of them alone has lost from the server', async () => {
      const { one, replicas } = await pair()
      await charge(one, 'a', 100)
      await server.admin.del(...(await server.admin.keys(`{${replicas.prefix}}:spend:*`)))
      expect(await spent(one)).toBe(100)
    })

    it('bring back the holds of what still runs, and none of what was settled', async () => {
      const { one, replicas } = await pair()
      await one.reserve('a', [claim(100)], one.now() + minute)
      await one.reserve('b', [claim(200)], one.now() + minute)
      const lagging = `{${replicas.prefix}}:`
      const hold = await server.admin.hgetall(`${lagging}hold:b`)
      await charge(one, 'b', 10)
      await server.admin.del(...(await server.admin.keys(`${lagging}*`)))
      // A server that lags behind still has the hold that was settled since.
      await server.admin.hset(`${lagging}hold:b`, hold)
      await server.admin.hset(`${lagging}held:${hold['key1']}`, { b: '200 0 0 1', '=tokens': '200', '=holds': '1' })
      expect([await spent(one), await held(one)]).toEqual([10, 100])
    })

    it('leave what a dead one held to its deadline, and a late word corrects it', async () => {
      const { one, other, replicas } = await pair()
      await one.reserve('a', [claim(100)], one.now() + minute)
      replicas.pass(2 * minute)
      expect(await spent(other)).toBe(100)
      await charge(one, 'a', 7)
      expect([await spent(other), await held(other)]).toEqual([7, 0])
    })

    it('let nobody spend what is set aside for another, and set nothing aside where little is left', async () => {
      const { one, other, replicas } = await pair()
      await one.reserve('a', [claim(10)], one.now() + minute)
      const leases = () => server.admin.keys(`{${replicas.prefix}}:leases:*`)
      expect(await within(async () => (await leases()).length === 1)).toBeDefined()
      // 50 of 1000 are the first one's for half a minute.
      expect(await other.reserve('b', [claim(960)], one.now() + minute)).toEqual({ kind: 'busy', account })
      await one.release('a')
      expect(await other.reserve('b', [claim(960)], one.now() + minute)).toMatchObject({
        kind: 'held',
        tail: true,
        holds: [{ tokens: 950 }],
      })
      expect(await within(async () => (await leases()).length === 0, 15_000)).toBeDefined()
    })

    it('give leases to two replicas, which spend a budget to its end, and not over it', { timeout: 60_000 }, async () => {
      const { one, other } = await pair()
      const sides = [one, other].map((ledger) => new LeasedLedger(ledger, systemClock))
      const limit = 50_000
      const counts = { leased: 0, direct: 0, used: 0 }
      const lane = async (side: LeasedLedger, name: string): Promise<void> => {
        for (let i = 0; ; i += 1) {
          const id = `${name}.${i}`
          const reserved = await side.reserve(id, [claim(10, limit)], side.now() + minute)
          if (reserved.kind === 'exhausted') return
          if (reserved.kind === 'busy') {
            await side.beat()
            await sleep(20)
            continue
          }
          counts[side.leases(id) ? 'leased' : 'direct'] += 1
          const cost = Math.min(9, reserved.holds[0]?.tokens ?? 0)
          await side.settle(id, [account], [{ tokens: cost, nano: 0 }])
          counts.used += cost
          if (i % 50 === 0) await side.beat()
        }
      }
      await Promise.all(sides.flatMap((side, i) => [0, 1, 2].map((each) => lane(side, `${i}.${each}`))))
      await Promise.all(sides.map((side) => side.giveBackAll()))
      figure(
        `two replicas, 50,000 tokens: ${counts.leased} calls on leases, ${counts.direct} asked Redis, ${await spent(one)} spent`,
      )
      expect(counts.leased).toBeGreaterThan(1_000)
      expect([await spent(one), await spent(other), await held(one)]).toEqual([counts.used, counts.used, 0])
      expect(counts.used).toBeLessThanOrEqual(limit)
      expect(counts.used).toBeGreaterThan(limit * 0.99)
    })

    it('charge a lease of a replica that died at its deadline, and what it says later corrects that', async () => {
      const { one, other, replicas } = await pair()
      const side = new LeasedLedger(one, systemClock)
      let i = 0
      const call = async () => {
        const id = `dies.${(i += 1)}`
        await side.reserve(id, [claim(100, 1_000_000)], side.now() + minute)
        const leased = side.leases(id)
        await side.settle(id, [account], [{ tokens: 10, nano: 0 }])
        return leased
      }
      expect(await within(call)).toBeDefined()
      const used = i * 10
      replicas.clock.ahead += 2 * minute
      expect(await spent(other)).toBe(2_500 + used - 10)
      await side.giveBackAll()
      expect([await spent(other), await held(other)]).toEqual([used, 0])
    })

    it('let requests run on what was set aside while the server is away, and tell it all when it is back, restarted or not', async () => {
      await using own = await startRedis()
      const { one, other, replicas } = await pair(own.url)
      await charge(one, 'first', 100)
      await one.reserve('a', [claim(10)], one.now() + minute)
      expect(await within(async () => (await own.admin.keys('*leases*')).length === 1)).toBeDefined()
      await sleep(50)
      await own.kill()
      expect(
        await within(() =>
          one.open().then(
            () => false,
            () => true,
          ),
        ),
      ).toBeDefined()
      expect(await one.reserve('b', [claim(40)], one.now() + minute)).toMatchObject({ kind: 'held', blind: 'leased' })
      await expect(one.reserve('c', [claim(40)], one.now() + minute)).rejects.toMatchObject({ name: 'StoreError' })
      await charge(one, 'b', 20)
      expect(await one.reserve('d', [claim(30)], one.now() + minute)).toMatchObject({ blind: 'leased' })
      const allowed = claim(900, 1_000, { whenBlind: 'allow' })
      expect(await other.reserve('e', [allowed], one.now() + minute)).toMatchObject({ kind: 'held', blind: 'allowed' })
      await charge(other, 'e', 200)
      await one.close()
      const again = replicas.ledger('one')
      await own.start()
      expect(await within(async () => (await spent(again).catch(() => 0)) === 320, 15_000), 'spend').toBeDefined()
      expect(await spent(other)).toBe(320)
      await again.close()
    })
  })
})
