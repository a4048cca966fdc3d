import { describe, expect, it } from 'vitest'
import { balanceOf, isReady, metricOf } from '../kit/crew.ts'
import { hasRedis } from '../kit/redis.ts'
import { within } from '../kit/within.ts'
import { agreeOn, blind, large, stage, unharmed } from './replicas-stage.ts'

describe.skipIf(!hasRedis)('two replicas (skipped without redis-server)', () => {
  it(
    'whose Redis is killed go on with what is set aside, then refuse; restarted empty, it is told everything',
    { timeout: 90_000 },
    async () => {
      await using on = await stage()
      const { a, b, crew } = on
      await crew.redis.kill()
      await unharmed(on)
      expect([await on.ask(a), await on.ask(b)]).toEqual([200, 200])
      expect([await blind(a, 'day', 'leased'), await blind(b, 'day', 'leased')]).toEqual([1, 1])
      expect(await on.ask(a, large)).toBe(503)
      expect(await blind(a, 'day', 'refused')).toBe(1)
      expect(await on.ask(a, large, '127.0.1.1')).toBe(200)
      expect(await blind(a, 'open', 'allowed')).toBe(1)
      expect(await metricOf(a, 'ironproxy_state_up')).toBe(0)
      expect(await metricOf(a, 'ironproxy_state_owed_charges')).toBe(2)
      await crew.redis.start()
      await agreeOn(on, 440)
      expect(await on.used(a)).toBe(440)
      expect(await on.ask(b, large)).toBe(200)
      expect(await metricOf(a, 'ironproxy_state_owed_charges')).toBe(0)
      // The login was brought back as it was, and goes on from there.
      on.provider.expireAccess()
      expect(await Promise.all(on.replicas.map(on.get))).toEqual([200, 200])
      expect(on.provider.alive).toBe(true)
    },
  )

  it('whose Redis is paused for five seconds leave no hold behind', { timeout: 60_000 }, async () => {
    await using on = await stage()
    await on.crew.redis.admin.call('CLIENT', 'PAUSE', '5000', 'ALL')
    await unharmed(on)
    expect(await on.ask(on.a)).toBe(200)
    expect(await blind(on.a, 'day', 'leased')).toBe(1)
    expect(await on.ask(on.b, large)).toBe(503)
    await agreeOn(on, 330)
    expect(await balanceOf(on.b)).toMatchObject({ used: 330, reserved: 0 })
    expect(await on.ask(on.b, large)).toBe(200)
  })

  it('that start while Redis is away are ready, and begin with it when it comes', { timeout: 60_000 }, async () => {
    await using on = await stage()
    await on.crew.redis.kill()
    const late = await on.crew.start('late')
    expect(await isReady(late)).toBe(true)
    expect(await on.ask(late, large, '127.0.2.1')).toBe(200)
    expect([await on.ask(late), await on.get(late)]).toEqual([503, 503])
    await on.crew.redis.start()
    expect(await within(async () => (await on.used(late)) === 220, 20_000)).toBeDefined()
    expect(await on.ask(late)).toBe(200)
    // It looks for its login again after half a minute at most.
    expect(await within(async () => (await on.get(late)) === 200, 40_000)).toBeDefined()
    expect([on.provider.calls, on.provider.alive]).toEqual([1, true])
  })
})
