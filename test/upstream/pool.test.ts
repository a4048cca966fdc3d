import { expect, it } from 'vitest'
import { Deadlines } from '#base/deadlines.ts'
import { MemoryAccount } from '#base/memory-account.ts'
import { Dialer } from '#upstream/dial.ts'
import { Pools } from '#upstream/pool.ts'
import { ManualClock } from '../kit/clock.ts'
import { hostOf } from '../kit/policy.ts'
import { dialing } from './parts.ts'

it('a pool is of one scheme, host, port and set of credentials, and there are never more than 512', () => {
  const pools = new Pools(new Dialer(dialing(1)), new Deadlines(new ManualClock()), new MemoryAccount({ bytes: 1 << 20 }))
  const good = { host: hostOf('good.test'), port: 443 }
  const first = pools.of('https', good, [])
  expect(pools.of('https', good, [])).toBe(first)
  const others = [
    pools.of('http', good, []),
    pools.of('https', { ...good, port: 8443 }, []),
    pools.of('https', good, ['key']),
    pools.of('https', { ...good, host: hostOf('other.test') }, []),
    pools.single('https', good),
  ]
  expect(new Set([first, ...others]).size).toBe(6)
  expect(pools.size).toBe(5)
  for (let i = 0; i < 600; i += 1) pools.of('https', { ...good, host: hostOf(`n${i}.test`) }, [])
  expect(pools.size).toBe(512)
  expect(pools.of('https', good, [])).not.toBe(first)
  pools.close()
  expect(pools.size).toBe(0)
})
