import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Secret } from '#base/secret.ts'
import { RedisGrants } from '#store/redis/grants.ts'
import { Journal } from '#store/redis/journal.ts'
import { RedisLink } from '#store/redis/link.ts'
import type { LinkOptions } from '#store/redis/link.ts'
import { testAuthority } from '../../kit/ca.ts'
import { freePorts } from '../../kit/child.ts'
import { hasRedis, startRedis } from '../../kit/redis.ts'
import { within } from '../../kit/within.ts'
import { pairOf } from '../pairs.ts'
import { newSeal, placeOf } from './parts.ts'

describe.skipIf(!hasRedis)('the link to Redis (skipped without redis-server)', () => {
  let stack: AsyncDisposableStack
  let folder: string
  const seal = newSeal()
  beforeEach(async () => {
    stack = new AsyncDisposableStack()
    folder = await mkdtemp(join(tmpdir(), 'redis-link-'))
    stack.defer(() => rm(folder, { recursive: true, force: true }))
  })
  afterEach(() => stack.disposeAsync())

  /** Grants over a link; what they do shows whether it leads anywhere. */
  function grantsAt(url: string, options: Partial<LinkOptions> = {}): RedisGrants {
    const link = new RedisLink({ place: placeOf(url), prefix: 'p', seal, calm: 0, ...options })
    const journal = new Journal(join(folder, randomBytes(4).toString('hex')), Date.now())
    const grants = new RedisGrants(link, journal, { seal })
    stack.defer(() => grants.close())
    return grants
  }

  it('leads to a server with TLS and a password, whose certificate is of a private root', async () => {
    const { certPem, keyPem } = testAuthority().leaf('localhost')
    const [tlsPort = 0] = await freePorts(1)
    await Promise.all([
      writeFile(join(folder, 'redis.crt'), certPem),
      writeFile(join(folder, 'redis.key'), keyPem),
      writeFile(join(folder, 'ca.crt'), testAuthority().certPem),
    ])
    const password = randomBytes(16).toString('hex')
    const files = ['--tls-cert-file', join(folder, 'redis.crt'), '--tls-key-file', join(folder, 'redis.key')]
    const tls = ['--tls-port', String(tlsPort), '--tls-auth-clients', 'no', '--tls-ca-cert-file', join(folder, 'ca.crt')]
    const server = stack.use(await startRedis([...tls, ...files, '--requirepass', password], { password }))
    const url = `rediss://default@localhost:${tlsPort}/0`
    const ca = testAuthority().certPem
    let current = password
    const secret = () => new Secret('redis password', current)
    const grants = grantsAt(url, { ca, password: secret })
    expect(await grants.login('claude', pairOf(1), 1)).toBe(1)
    await expect(grantsAt(url, { password: secret }).read('claude')).rejects.toThrow('cannot be reached')
    const wrong = randomBytes(16).toString('hex')
    const refused = grantsAt(url, { ca, password: () => new Secret('redis password', wrong) }).read('claude')
    await expect(refused).rejects.toMatchObject({
      code: 'store_io',
      message: expect.stringContaining('refuses our password') as string,
    })
    await expect(refused).rejects.not.toThrow(wrong)
    // The password is another one from now on: it is read again with the next connection.
    current = randomBytes(16).toString('hex')
    await server.admin.config('SET', 'requirepass', current)
    await server.admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    expect(await within(async () => (await grants.read('claude').catch(() => undefined))?.generation === 1)).toBeDefined()
  })

  it('follows Sentinels to the master that they name', { timeout: 40_000 }, async () => {
    const server = stack.use(await startRedis())
    // Sentinels keep their configuration in a file, and write to it.
    const file = join(folder, 'sentinel.conf')
    await writeFile(file, `sentinel monitor main 127.0.0.1 ${server.port} 1\n`)
    const sentinel = stack.use(await startRedis(['--sentinel'], {}, file))
    const grants = grantsAt(`redis+sentinel://127.0.0.1:${sentinel.port}/main/0`)
    expect(await grants.login('claude', pairOf(1), 1)).toBe(1)
    expect(await server.admin.exists('{p}:grant:claude')).toBe(1)
  })

  it('leads to a cluster, where all keys are in one slot', { timeout: 40_000 }, async () => {
    const server = stack.use(await startRedis(['--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1']))
    await server.admin.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383')
    expect(await within(async () => (await server.admin.cluster('INFO')).includes('cluster_state:ok'))).toBeDefined()
    const grants = grantsAt(`redis+cluster://127.0.0.1:${server.port}`)
    expect(await grants.login('claude', pairOf(1), 1)).toBe(1)
    expect(await grants.read('claude')).toMatchObject({ generation: 1 })
  })

  it('says at once that a server is away, and leads there again once it is back', async () => {
    const server = stack.use(await startRedis())
    const changes: boolean[] = []
    const grants = grantsAt(server.url, { onChange: (up) => void changes.push(up) })
    await grants.login('claude', pairOf(1), 1)
    await server.kill()
    expect(await within(() => changes.includes(false))).toBeDefined()
    const began = performance.now()
    await expect(grants.read('claude')).rejects.toMatchObject({ name: 'StoreError', code: 'store_io' })
    expect(performance.now() - began).toBeLessThan(1_000)
    await server.start()
    // It came back empty, and was told.
    expect(await within(async () => (await grants.read('claude').catch(() => undefined))?.generation === 1)).toBeDefined()
    expect(changes).toEqual([true, false, true])
  })

  it('does not let happen later what was given up: a mark behind our back would be nobody’s', async () => {
    const server = stack.use(await startRedis())
    const grants = grantsAt(server.url)
    await grants.login('claude', pairOf(1), 1)
    await server.admin.call('CLIENT', 'PAUSE', '2500', 'ALL')
    await expect(grants.begin('claude', 1, 2)).rejects.toMatchObject({ code: 'store_io' })
    await sleep(1_500)
    expect(await within(async () => (await grants.read('claude').catch(() => undefined))?.generation === 1)).toBeDefined()
    expect((await grants.read('claude'))?.inFlightSince).toBeUndefined()
    expect(await grants.begin('claude', 1, 3)).toBe(true)
  })

  it.each([
    ['a server that is full', ['--maxmemory', '1'], 'store_full'],
    [
      'a server that is somebody’s replica',
      ['--replicaof', '127.0.0.1', '1', '--replica-serve-stale-data', 'yes'],
      'store_readonly',
    ],
  ])('tells of %s', async (_what, options, code) => {
    const server = stack.use(await startRedis(options))
    await expect(grantsAt(server.url).read('claude')).rejects.toMatchObject({ name: 'StoreError', code })
  })
})
