import { createServer } from 'node:https'
import type { RequestListener } from 'node:http'
import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { MemoryAccount } from '#base/memory-account.ts'
import type { Address } from '#base/address.ts'
import { Secret } from '#base/secret.ts'
import type { TokenEndpoint } from '#credentials/lease.ts'
import type { AuditRecord } from '#contracts/audit-record.ts'
import type { Host } from '#base/host.ts'
import { ulids } from '#observe/ids.ts'
import { OwnCalls } from '#upstream/call.ts'
import { Sender } from '#upstream/send.ts'
import { testAuthority } from '../kit/ca.ts'
import { ManualClock } from '../kit/clock.ts'
import { closer, listen } from '../kit/listen.ts'

const host = 'login.test' as Host

/** A token endpoint and the caller in front of it, over real TLS. */
async function stage(answer: RequestListener) {
  const { certPem: cert, keyPem: key } = testAuthority().leaf(host)
  const server = createServer({ cert, key }, answer)
  const close = closer(server)
  const port = await listen(server)
  const records: AuditRecord[] = []
  const clock = new ManualClock()
  const upstream = new Sender(
    {
      resolve: () => Promise.reject(new Error('not expected')),
      hosts: new Map([[host, { address: '127.0.0.1' as Address, port }]]),
      allowPrivate: [],
      own: { has: () => false },
      extraRoots: [testAuthority().certPem],
      connectTimeout: 2_000,
    },
    new MemoryAccount({ bytes: 1 << 20 }),
  )
  const calls = new OwnCalls({ upstream, audit: { write: (record) => void records.push(record) }, ids: ulids(() => 0), clock })
  const endpoint: TokenEndpoint = { host, port: 443, path: '/token' }
  const call = (body: string) =>
    calls.call('claude', endpoint, {
      method: 'POST',
      path: '/token?x=1',
      headers: ['content-type', 'application/json'],
      body: new Secret('call', body),
    })
  return {
    ask: (value: string) => calls.ask('github', host, { path: '/user?x=1', headers: ['authorization', `Bearer ${value}`] }),
    call,
    clock,
    records,
    async [Symbol.asyncDispose]() {
      await upstream.close()
      await close()
    },
  }
}

describe('a call of the proxy’s own', () => {
  it('goes out whole, comes back whole, and leaves one record without a value', async () => {
    const canary = randomBytes(16).toString('hex')
    let seen = ''
    await using on = await stage((request, response) => {
      request.setEncoding('utf8').on('data', (text: string) => (seen += text))
      request.on('end', () =>
        response.writeHead(200, { 'content-type': 'application/json', 'retry-after': '3' }).end(`{"access_token":"${canary}"}`),
      )
    })
    const reply = await on.call(`{"refresh_token":"${canary}"}`)
    expect(seen).toBe(`{"refresh_token":"${canary}"}`)
    expect(reply).toMatchObject({ status: 200, contentType: 'application/json', retryAfter: 3000 })
    expect(reply.body.expose()).toBe(`{"access_token":"${canary}"}`)
    expect(on.records).toMatchObject([
      {
        type: 'request',
        door: 'self',
        agent: null,
        credential: 'claude',
        method: 'POST',
        host,
        path: '/token',
        status: 200,
        verdict: 'allow',
      },
    ])
    expect(JSON.stringify([on.records, reply])).not.toContain(canary)
  })

  it('does not take a reply that is too long to be a token reply', async () => {
    await using on = await stage((request, response) => {
      request.resume()
      response.end('x'.repeat((1 << 20) + 1))
    })
    await expect(on.call('{}')).rejects.toMatchObject({ code: 'upstream_protocol' })
    expect(on.records).toMatchObject([{ verdict: 'error', code: 'upstream_protocol' }])
  })

  it('gives up on an endpoint that does not answer', async () => {
    const arrived = Promise.withResolvers<void>()
    await using on = await stage(() => arrived.resolve())
    const call = on.call('{}').catch((error: unknown) => error)
    await arrived.promise
    on.clock.advance(30_000)
    on.clock.advance(250)
    expect(await call).toMatchObject({ code: 'upstream_timeout' })
    expect(on.records).toMatchObject([{ verdict: 'error', code: 'upstream_timeout' }])
  })

  it('reads what came while the process was stopped, though its time was up then', async () => {
    const arrived = Promise.withResolvers<void>()
    await using on = await stage((_request, response) => {
      response.end('{}')
      arrived.resolve()
    })
    const call = on.call('{}').catch((error: unknown) => error)
    await arrived.promise
    on.clock.advance(60_000)
    expect(await call).toMatchObject({ status: 200 })
  })

  it('asks whose a value is, without a body and without a trace of it', async () => {
    const canary = randomBytes(16).toString('hex')
    let seen: unknown
    await using on = await stage((request, response) => {
      const { authorization, 'user-agent': agent, 'content-length': length } = request.headers
      seen = [request.method, request.url, authorization, agent, length]
      response.writeHead(200, { 'x-oauth-scopes': 'repo' }).end('{"login":"octocat"}')
    })
    const reply = await on.ask(canary)
    expect(seen).toEqual(['GET', '/user?x=1', `Bearer ${canary}`, 'iron-proxy', undefined])
    expect([reply.status, reply.header('x-oauth-scopes'), reply.header('x-none'), reply.body]).toEqual([
      200,
      'repo',
      undefined,
      '{"login":"octocat"}',
    ])
    expect(on.records).toMatchObject([
      { type: 'request', door: 'self', credential: 'github', method: 'GET', path: '/user', status: 200, bytesUp: 0 },
    ])
    expect(JSON.stringify(on.records)).not.toContain(canary)
  })

  it('does not wait for a name as long as for a token', async () => {
    const arrived = Promise.withResolvers<void>()
    await using on = await stage(() => arrived.resolve())
    const asked = on.ask('value').catch((error: unknown) => error)
    await arrived.promise
    on.clock.advance(10_000)
    on.clock.advance(250)
    expect(await asked).toMatchObject({ code: 'upstream_timeout' })
  })
})
