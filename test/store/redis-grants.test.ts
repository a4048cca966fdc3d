import { afterAll, beforeAll, describe } from 'vitest'
import { hasRedis, startRedis } from '../kit/redis.ts'
import type { RedisServer } from '../kit/redis.ts'
import { describeGrantStore } from './contract.ts'
import { makeReplicas } from './redis-parts.ts'

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
})
