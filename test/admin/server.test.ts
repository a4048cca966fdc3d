import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { request, type IncomingHttpHeaders } from 'node:http'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { describe, expect, test } from 'vitest'
import { Secret } from '#base/secret.ts'
import { serveAdmin, serveMetrics, type AdminSources, type Check, type Listening, type MetricsSources } from '#admin/server.ts'
import { ManualClock } from '../kit/clock.ts'
import { noRuns } from '../kit/runs.ts'

const loopback = { host: '127.0.0.1', port: 0 }

describe('the metrics listener', () => {
  test.each([
    ['/metrics', 200, 'text/plain; version=0.0.4', 'ironproxy_build_info 1\n'],
    ['/livez', 200, 'application/json', '{"ok":true}\n'],
    ['/healthz', 200, 'application/json', '{"ok":true}\n'],
    ['/readyz', 200, 'application/json', '{"ok":true,"failing":[]}\n'],
    ['/startupz', 200, 'application/json', '{"ok":true,"failing":[]}\n'],
    ['/ca.crt', 200, 'application/x-pem-file', 'all'],
    ['/ca.crt?only=ours', 200, 'application/x-pem-file', 'ours'],
    ['/version', 200, 'application/json', '{"version":"1.2.3"}\n'],
  ])('answers %s', async (path, status, type, body) => {
    await using server = await serveMetrics(loopback, metricsSources())
    expect(await ask(server, path)).toMatchObject({ status, body, headers: { 'content-type': type } })
    expect(await ask(server, path, { method: 'HEAD' })).toMatchObject({
      status,
      body: '',
      headers: { 'content-length': String(body.length) },
    })
  })

  test('says what fails while it is not ready, and stays alive', async () => {
    let started = false
    let checks: Check[] = [{ name: 'policy', ok: false, detail: 'none is loaded' }]
    await using server = await serveMetrics(loopback, metricsSources({ started: () => started, checks: () => checks }))
    expect((await ask(server, '/startupz')).status).toBe(503)
    started = true
    expect((await ask(server, '/startupz')).status).toBe(200)
    const refused = await ask(server, '/readyz')
    expect(refused.status).toBe(503)
    expect(JSON.parse(refused.body)).toEqual({ ok: false, failing: [{ name: 'policy', detail: 'none is loaded' }] })
    expect((await ask(server, '/livez')).status).toBe(200)
    checks = []
    expect((await ask(server, '/readyz')).status).toBe(200)
  })

  test.each([
    ['GET', '/', 404],
    ['GET', '/metrics/', 404],
    ['GET', '/v1/status', 404],
    ['GET', '/toString', 404],
    ['GET', '//evil', 404],
    ['POST', '/metrics', 405],
    ['DELETE', '/readyz', 405],
    ['GET', '/ca.crt?only=key', 400],
  ])('refuses %s %s with %d', async (method, path, status) => {
    await using server = await serveMetrics(loopback, metricsSources())
    const answer = await ask(server, path, { method })
    expect(answer.status).toBe(status)
    expect(JSON.parse(answer.body)).toMatchObject({ error: { code: expect.any(String) } })
    if (status === 405) expect(answer.headers.allow).toBe('GET, HEAD')
  })

  test('does not read a body', async () => {
    await using server = await serveMetrics(loopback, metricsSources())
    const answer = await ask(server, '/livez', { headers: { 'content-length': '5' }, body: 'hello' })
    expect(answer).toMatchObject({ status: 413, headers: { connection: 'close' } })
  })

  test('answers 500 and not more when a source fails', async () => {
    const failing = () => Promise.reject(new Error('with a detail that stays inside'))
    await using server = await serveMetrics(loopback, metricsSources({ metrics: failing }))
    const answer = await ask(server, '/metrics')
    expect(answer.status).toBe(500)
    expect(answer.body).not.toContain('detail')
    expect((await ask(server, '/livez')).status).toBe(200)
  })

  test('scrapes that come together share one collection, and one that hangs holds nobody else up', async () => {
    const { promise, resolve } = Promise.withResolvers<string>()
    let collections = 0
    const metrics = () => {
      collections += 1
      return promise
    }
    await using server = await serveMetrics(loopback, metricsSources({ metrics }))
    const scrapes = Array.from({ length: 5 }, () => ask(server, '/metrics'))
    await arrived(() => collections === 1)
    expect((await ask(server, '/livez')).status).toBe(200)
    resolve('x 1\n')
    expect((await Promise.all(scrapes)).map((each) => each.body)).toEqual(Array.from({ length: 5 }, () => 'x 1\n'))
    expect(collections).toBe(1)
  })

  test('scrapers that do not read what they asked for hold nobody else up', async () => {
    const huge = 'x'.repeat(8 * 1024 * 1024)
    await using server = await serveMetrics(loopback, metricsSources({ metrics: () => Promise.resolve(huge) }))
    const hung = Array.from({ length: 20 }, () => connect(server.port, server.address))
    try {
      for (const socket of hung) {
        socket.pause()
        socket.on('error', () => {})
        socket.write('GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n')
      }
      expect((await ask(server, '/livez')).status).toBe(200)
      expect((await ask(server, '/metrics')).body).toHaveLength(huge.length)
    } finally {
      for (const socket of hung) socket.destroy()
    }
  })

  test('closes at once, connections that are open included', async () => {
    const server = await serveMetrics(loopback, metricsSources())
    const idle = connect(server.port, server.address)
    idle.on('error', () => {})
    await once(idle, 'connect')
    await ask(server, '/livez')
    await Promise.all([server.close(), once(idle, 'close')])
    await expect(ask(server, '/livez')).rejects.toThrow()
  })

  test('tells why it cannot listen', async () => {
    await using server = await serveMetrics(loopback, metricsSources())
    await expect(serveMetrics({ host: server.address, port: server.port }, metricsSources())).rejects.toMatchObject({
      code: 'EADDRINUSE',
    })
  })
})

describe('the admin listener', () => {
  test('shows the status and reloads', async () => {
    let reloads = 0
    const reload = () => {
      reloads += 1
      return Promise.resolve({ ok: true, hash: 'abc', issues: [] })
    }
    await using server = await serveAdmin(loopback, adminSources({ reload }))
    expect(await ask(server, '/v1/status')).toMatchObject({ status: 200, body: '{"agents":2}\n' })
    expect((await ask(server, '/v1/reload')).status).toBe(405)
    expect(reloads).toBe(0)
    expect(await ask(server, '/v1/reload', { method: 'POST' })).toMatchObject({
      status: 200,
      body: '{"ok":true,"hash":"abc","issues":[]}\n',
    })
    expect(reloads).toBe(1)
  })

  test('tells what is wrong with a policy that was not taken', async () => {
    const issues = ['policies/crew.yaml:3:1 rules: is missing']
    const reload = () => Promise.resolve({ ok: false, hash: undefined, issues })
    await using server = await serveAdmin(loopback, adminSources({ reload }))
    const answer = await ask(server, '/v1/reload', { method: 'POST' })
    expect(answer.status).toBe(422)
    expect(JSON.parse(answer.body)).toEqual({ ok: false, hash: null, issues })
  })

  test.each([
    ['a rebound name', { host: 'evil.example.com:9465' }, 421],
    ['a page of another origin', { origin: 'https://evil.example.com' }, 403],
  ])('refuses %s and does nothing', async (_, headers, status) => {
    let reloads = 0
    const reload = () => Promise.resolve({ ok: true, hash: String((reloads += 1)), issues: [] })
    await using server = await serveAdmin(loopback, adminSources({ reload }))
    expect((await ask(server, '/v1/reload', { method: 'POST', headers })).status).toBe(status)
    expect((await ask(server, '/v1/status', { headers })).status).toBe(status)
    expect(reloads).toBe(0)
  })

  test.each(['0.0.0.0', '::', '10.0.0.1'])('does not start on %s without a token', async (host) => {
    await expect(serveAdmin({ host, port: 0 }, adminSources())).rejects.toThrow(/listen\.admin: .*token/)
  })

  test('asks for the token on every path when it has one', async () => {
    const value = randomBytes(24).toString('hex')
    await using server = await serveAdmin(loopback, adminSources(), new Secret('admin token', value))
    for (const path of ['/v1/status', '/version', '/nothing']) {
      const refused = await ask(server, path)
      expect(refused).toMatchObject({ status: 401, headers: { 'www-authenticate': 'Bearer' } })
      expect(refused.body).not.toContain(value)
    }
    const headers = { authorization: `Bearer ${value}` }
    expect((await ask(server, '/v1/status', { headers })).status).toBe(200)
    expect((await ask(server, '/v1/status', { headers: { ...headers, host: 'evil.example.com' } })).status).toBe(421)
  })
})

function metricsSources(some: Partial<MetricsSources> = {}): MetricsSources {
  return {
    metrics: () => Promise.resolve('ironproxy_build_info 1\n'),
    contentType: 'text/plain; version=0.0.4',
    checks: () => [],
    started: () => true,
    bundle: (only) => only ?? 'all',
    version: '1.2.3',
    ...some,
  }
}

function adminSources(some: Partial<AdminSources> = {}): AdminSources {
  const notExpected = () => Promise.reject(new Error('not expected'))
  return {
    status: () => ({ agents: 2 }),
    reload: notExpected,
    records: () => ['{"id":"1"}', '{"id":"2"}'],
    credentials: () => [],
    budgets: notExpected,
    spent: notExpected,
    moveSpend: notExpected,
    setBudget: notExpected,
    budgetClock: { ahead: () => 0, putRight: notExpected },
    beginLogin: (credential) => `https://login.test/?for=${credential}`,
    identify: notExpected,
    finishLogin: notExpected,
    ...noRuns,
    clock: new ManualClock(),
    version: '1.2.3',
    ...some,
  }
}

interface Asked {
  readonly status: number | undefined
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

async function ask(
  { address, port }: Listening,
  path: string,
  options: { readonly method?: string; readonly headers?: Record<string, string>; readonly body?: string } = {},
): Promise<Asked> {
  const { promise, resolve, reject } = Promise.withResolvers<Asked>()
  const { method = 'GET', headers = {}, body } = options
  request({ host: address, port, path, method, headers, agent: false }, (response) => {
    text(response).then((read) => resolve({ status: response.statusCode, headers: response.headers, body: read }), reject)
  })
    .on('error', reject)
    .end(body)
  return promise
}

async function arrived(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5))
}
