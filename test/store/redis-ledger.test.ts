import { afterAll, beforeAll, describe } from 'vitest'
import { hasRedis, startRedis } from '../kit/redis.ts'
import type { RedisServer } from '../kit/redis.ts'
import { describeLedger } from './ledger-contract.ts'
import { makeReplicas } from './redis-parts.ts'

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
      step: (milliseconds) => (replicas.clock.ahead += milliseconds),
      // Others may still serve what it held, so nobody charges that before its deadline.
      reopen: async () => {
        replicas.clock.ahead += 2 * minute
        return replicas.ledger('one')
      },
    }
  })
})
