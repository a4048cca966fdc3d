import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Secret } from '#base/secret.ts'
import { listen } from '#store/redis/channel.ts'
import type { ClientOptions } from '#store/redis/client.ts'
import { hasRedis, startRedis } from '../../kit/redis.ts'
import type { RedisServer } from '../../kit/redis.ts'
import { within } from '../../kit/within.ts'
import { placeOf } from './parts.ts'

describe.skipIf(!hasRedis)('a channel (skipped without redis-server)', () => {
  let stack: AsyncDisposableStack
  beforeEach(() => {
    stack = new AsyncDisposableStack()
  })
  afterEach(() => stack.disposeAsync())

  function listenAt(url: string, options: Partial<ClientOptions> = {}) {
    const ear = { heard: 0 }
    const end = listen({ place: placeOf(url), ...options }, '{p}:news', () => void (ear.heard += 1))
    stack.defer(end)
    return { ear, end }
  }

  /** Whether a message is heard, or the place where one may have been missed. */
  async function hears(server: RedisServer, ear: { readonly heard: number }, from = ear.heard): Promise<boolean> {
    await server.admin.publish('{p}:news', '1')
    return (await within(() => ear.heard > from)) !== undefined
  }

  it('is heard from the beginning, again after the server was away, and no more after its end', async () => {
    const server = stack.use(await startRedis())
    const { ear, end } = listenAt(server.url)
    expect(await within(() => ear.heard === 1)).toBeDefined()
    expect(await hears(server, ear)).toBe(true)
    await server.admin.publish('{other}:news', '1')
    await server.kill()
    const before = ear.heard
    await server.start()
    expect(await within(() => ear.heard > before)).toBeDefined()
    expect(await hears(server, ear)).toBe(true)
    end()
    const last = ear.heard
    expect(await within(async () => (await server.admin.publish('{p}:news', '1')) === 0)).toBeDefined()
    expect(ear.heard).toBeLessThanOrEqual(last + 1)
  })

  it('takes the password that is in force when it connects', async () => {
    let current = randomBytes(16).toString('hex')
    const server = stack.use(await startRedis(['--requirepass', current], { password: current }))
    const { ear } = listenAt(server.url, { password: () => new Secret('redis password', current) })
    expect(await within(() => ear.heard === 1)).toBeDefined()
    current = randomBytes(16).toString('hex')
    await server.admin.config('SET', 'requirepass', current)
    await server.admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
    expect(await within(() => ear.heard > 1)).toBeDefined()
    expect(await hears(server, ear)).toBe(true)
  })

  it('is heard in a cluster', { timeout: 40_000 }, async () => {
    const server = stack.use(await startRedis(['--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1']))
    await server.admin.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383')
    expect(await within(async () => (await server.admin.cluster('INFO')).includes('cluster_state:ok'))).toBeDefined()
    const { ear } = listenAt(`redis+cluster://127.0.0.1:${server.port}`)
    expect(await within(() => ear.heard === 1)).toBeDefined()
    expect(await hears(server, ear)).toBe(true)
  })

  it('of a server that is not there is silent, and ends all the same', async () => {
    const { ear, end } = listenAt('redis://127.0.0.1:1/0')
    end()
    expect(ear.heard).toBe(0)
  })
})
