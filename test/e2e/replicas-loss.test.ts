import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { balanceOf } from '../kit/crew.ts'
import { hasRedis, startRedis } from '../kit/redis.ts'
import { within } from '../kit/within.ts'
import { agreeOn, blind, large, stage, unharmed } from './replicas-stage.ts'

describe.skipIf(!hasRedis)('two replicas (skipped without redis-server)', () => {
  it('whose Redis is emptied never show less than was spent', { timeout: 60_000 }, async () => {
    await using on = await stage()
    await on.crew.redis.admin.flushall()
    const shown: (number | undefined)[] = []
    for (let i = 0; i < 10; i += 1) {
      shown.push(...(await Promise.all(on.replicas.map(on.used))))
      await sleep(100)
    }
    expect(new Set(shown)).toEqual(new Set([220]))
    await unharmed(on)
    expect(await on.ask(on.a, large)).toBe(200)
    await agreeOn(on, 330)
  })

  it('whose Redis is slow are slow where they are metered, and nowhere else', { timeout: 60_000 }, async () => {
    await using on = await stage()
    on.relay.delay = 200
    await unharmed(on)
    expect([await on.ask(on.a, large), await on.ask(on.b, large)]).toEqual([200, 200])
    await agreeOn(on, 440)
    expect(await blind(on.a, 'day', 'leased')).toBeUndefined()
  })

  it('whose Redis is replaced by one that lags behind tell it what it lost', { timeout: 60_000 }, async () => {
    await using on = await stage()
    await using second = await startRedis()
    await second.admin.replicaof('127.0.0.1', on.crew.redis.port)
    expect(await within(async () => (await second.admin.info('replication')).includes('master_link_status:up'))).toBeDefined()
    expect(await within(async () => (await second.admin.dbsize()) === (await on.crew.redis.admin.dbsize()))).toBeDefined()
    await second.admin.replicaof('NO', 'ONE')
    // What it never hears of: two charges, and the next pair of the login.
    expect([await on.ask(on.a), await on.ask(on.b)]).toEqual([200, 200])
    on.provider.expireAccess()
    expect(await Promise.all(on.replicas.map(on.get))).toEqual([200, 200])
    expect(await on.used(on.b)).toBe(440)
    on.relay.turnTo(second.port)
    await unharmed(on)
    await agreeOn(on, 440)
    expect(await balanceOf(on.a)).toMatchObject({ used: 440, reserved: 0 })
    // The pair that it never heard of: with the one before it, the next refresh would have ended the login.
    expect(await second.admin.hget('{iron-proxy}:grant:claude', 'generation')).toBe('3')
    expect(await Promise.all(on.replicas.map(on.get))).toEqual([200, 200])
    expect(on.provider.alive).toBe(true)
  })
})
