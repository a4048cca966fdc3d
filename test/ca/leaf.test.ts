import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createSecureServer, type Http2SecureServer } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type SecureContext, type TLSSocket } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseHost, type Host } from '#base/host.ts'
import { createAuthority, openAuthority, type Authority } from '#ca/authority.ts'
import { LeafCache, type LeafCacheOptions } from '#ca/leaf.ts'
import { curl, have, python } from '../kit/clients.ts'
import { ManualClock } from '../kit/clock.ts'

const hourMs = 3_600_000
const dayMs = 24 * hourMs

describe('the cache', () => {
  test('mints a name once, and again only when it was dropped', () => {
    const { cache, results } = setup({ limit: 2 })
    const first = cache.contextFor(host('a.example.com'))
    expect(cache.contextFor(host('a.example.com'))).toBe(first)
    cache.contextFor(host('b.example.com'))
    cache.contextFor(host('a.example.com'))
    cache.contextFor(host('c.example.com'))
    expect(cache.entries).toBe(2)
    expect(cache.contextFor(host('a.example.com'))).toBe(first)
    expect(results).toEqual(['allowed', 'allowed', 'allowed'])
    cache.contextFor(host('b.example.com'))
    expect(results).toHaveLength(4)
  })

  test('stays within its bounds however many names come', () => {
    const { cache } = setup({ limit: 10, deniedLimit: 3, deniedPerAgent: { burst: 50, perSecond: 1 } })
    for (let index = 0; index < 50; index += 1) {
      cache.contextFor(host(`n${index}.example.com`))
      cache.contextForDenied(host(`n${index}.example.net`), 'agent')
    }
    expect(cache.entries).toBe(13)
  })

  test('renews a leaf at half its life', () => {
    const { cache, clock } = setup({ lifetimeMs: 2 * dayMs })
    const first = cache.contextFor(host('a.example.com'))
    clock.advance(dayMs - 1)
    expect(cache.contextFor(host('a.example.com'))).toBe(first)
    clock.advance(1)
    const second = cache.contextFor(host('a.example.com'))
    expect(second).not.toBe(first)
    expect(cache.contextFor(host('a.example.com'))).toBe(second)
    expect(cache.entries).toBe(1)
  })

  test('renews a leaf when the clock was set back before it', () => {
    const { cache, clock } = setup()
    clock.advance(dayMs)
    const first = cache.contextFor(host('a.example.com'))
    clock.set(clock.now() - 2 * hourMs)
    expect(cache.contextFor(host('a.example.com'))).not.toBe(first)
  })

  test('keeps a leaf that ends with its CA until then, and mints none after', () => {
    const { cache, clock, authority, results } = setup({ lifetimeMs: 3 * dayMs })
    clock.set(authority.notAfter - hourMs)
    cache.contextFor(host('a.example.com'))
    clock.set(authority.notAfter - 1)
    cache.contextFor(host('a.example.com'))
    expect(results).toEqual(['allowed'])
    clock.set(authority.notAfter)
    expect(() => cache.contextFor(host('a.example.com'))).toThrow(expect.objectContaining({ code: 'ca_expired' }))
    expect(() => cache.contextForDenied(host('a.example.com'), 'agent')).toThrow(expect.objectContaining({ code: 'ca_expired' }))
  })

  test('refuses a life of nothing or of more than seven days', () => {
    expect(() => setup({ lifetimeMs: 0 })).toThrow(RangeError)
    expect(() => setup({ lifetimeMs: 7 * dayMs + 1 })).toThrow(RangeError)
    expect(() => setup({ lifetimeMs: Number.NaN })).toThrow(RangeError)
  })
})

describe('a flood of denied names', () => {
  test('is cut off by agent, and comes back slowly', () => {
    const { cache, clock, results } = setup()
    const minted = (agent: string, from: number) =>
      Array.from({ length: 30 }, (_, index) => cache.contextForDenied(host(`n${from + index}.example.net`), agent)).filter(
        Boolean,
      ).length
    expect(minted('a', 0)).toBe(20)
    expect(minted('b', 100)).toBe(20)
    expect(results.filter((each) => each === 'refused')).toHaveLength(20)
    clock.advance(3000)
    expect(minted('a', 200)).toBe(3)
  })

  test('drops no allowed name, and a name seen again costs nothing', () => {
    const { cache, results } = setup({ limit: 2, deniedLimit: 2 })
    const allowed = [host('a.example.com'), host('b.example.com')]
    const contexts = allowed.map((each) => cache.contextFor(each))
    for (let index = 0; index < 100; index += 1) cache.contextForDenied(host(`n${index}.example.net`), 'agent')
    expect(allowed.map((each) => cache.contextFor(each))).toEqual(contexts)
    expect(results.filter((each) => each === 'allowed')).toHaveLength(2)
    for (let index = 0; index < 100; index += 1) expect(cache.contextForDenied(host('n19.example.net'), 'agent')).toBeDefined()
  })

  test('does not make a denied name an allowed one', () => {
    const { cache, results } = setup()
    cache.contextForDenied(host('a.example.com'), 'agent')
    cache.contextFor(host('a.example.com'))
    expect(results).toEqual(['denied', 'allowed'])
  })
})

describe('a real handshake', () => {
  let server: Http2SecureServer
  let directory = ''
  const { cache, authority } = setup({}, Date.now())

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'leaf-'))
    await writeFile(join(directory, 'ca.pem'), authority.certPem)
    server = createSecureServer({ allowHTTP1: true, SNICallback: (name, done) => done(null, contextOf(name)) }, (_, reply) =>
      reply.end('hello'),
    )
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
  })
  afterAll(async () => {
    server.close()
    await rm(directory, { recursive: true })
  })

  function contextOf(name: string): SecureContext {
    return name.startsWith('denied')
      ? (cache.contextForDenied(host(name), 'agent') as SecureContext)
      : cache.contextFor(host(name))
  }

  const long = `${'a'.repeat(63)}.${'b'.repeat(40)}.example.com`

  test.each([
    ['api.example.com', ['h2', 'http/1.1'], 'h2'],
    ['api.example.com', ['http/1.1'], 'http/1.1'],
    ['denied.example.net', ['h2'], 'h2'],
    [long, ['http/1.1'], 'http/1.1'],
  ])('with %s offering %j is trusted and speaks %s', async (name, protocols, chosen) => {
    const socket = connect({ port: port(), host: '127.0.0.1', servername: name, ca: authority.certPem, ALPNProtocols: protocols })
    try {
      await once(socket, 'secureConnect')
      expect(socket.authorized).toBe(true)
      expect(socket.alpnProtocol).toBe(chosen)
      expect(days(socket)).toBeLessThanOrEqual(7)
    } finally {
      socket.destroy()
    }
  })

  test('with a client that does not know our CA fails', async () => {
    const socket = connect({ port: port(), host: '127.0.0.1', servername: 'api.example.com' })
    await expect(once(socket, 'secureConnect')).rejects.toMatchObject({ code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' })
  })

  test.skipIf(!have('curl')).each(['--http1.1', '--http2'])('with curl %s is trusted (skipped without curl)', async (version) => {
    const name = 'curl.example.com'
    const resolve = `${name}:${port()}:127.0.0.1`
    const { stdout } = await curl([
      version,
      '--cacert',
      join(directory, 'ca.pem'),
      '--resolve',
      resolve,
      `https://${name}:${port()}/`,
    ])
    expect(stdout).toBe('hello')
  })

  test.skipIf(!have('python3'))('with Python in strict mode is trusted (skipped without python3)', async () => {
    const { stdout, stderr } = await python(`
import socket, ssl
context = ssl.create_default_context(cafile=${JSON.stringify(join(directory, 'ca.pem'))})
context.verify_flags |= ssl.VERIFY_X509_STRICT
raw = socket.create_connection(("127.0.0.1", ${port()}), 5)
print(context.wrap_socket(raw, server_hostname="${long}").version())
`)
    expect(stdout, stderr).toMatch(/^TLSv1\.[23]/)
  })

  function port(): number {
    return (server.address() as AddressInfo).port
  }
})

function setup(options: Omit<LeafCacheOptions, 'clock' | 'onMint'> = {}, now = Date.UTC(2026, 0, 1)) {
  const clock = new ManualClock(now)
  const made = createAuthority({ commonName: 'Test CA', days: 30, now })
  const authority: Authority = openAuthority({ ...made, now })
  const results: string[] = []
  const cache = new LeafCache(() => authority, { ...options, clock, onMint: (result) => results.push(result) })
  return { cache, clock, authority, results }
}

function host(text: string): Host {
  const parsed = parseHost(text)
  if (!parsed) throw new Error(text)
  return parsed
}

function days(socket: TLSSocket): number {
  const { valid_from: from, valid_to: to } = socket.getPeerCertificate()
  return (Date.parse(to) - Date.parse(from)) / dayMs
}
