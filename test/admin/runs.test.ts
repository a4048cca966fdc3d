import type { RunOrder } from '#contracts/runs.ts'
import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { Secret } from '#base/secret.ts'
import { runRoutes } from '#admin/runs.ts'
import type { RunSources } from '#admin/runs.ts'
import { serve } from '#admin/http.ts'

const password = randomBytes(12).toString('hex')

const open: ReturnType<RunSources['explicitProxy']> = { address: '10.0.0.1', port: 8080 }

async function stage(proxy = open) {
  const done: unknown[] = []
  const sources: RunSources = {
    runs: {
      async mint(order: RunOrder) {
        done.push(order)
        if (order.agent !== 'devbot') return { kind: 'refused', code: 'unknown_agent', message: 'no such agent' }
        if (order.label === 'away') return { kind: 'refused', code: 'state_unavailable', message: 'away' }
        if (order.hosts) return { kind: 'refused', code: 'scope_wider', message: 'wider' }
        return {
          kind: 'minted',
          run_id: 'R1',
          agent: 'devbot',
          expires_at: 'soon',
          username: 'run-R1',
          password: new Secret('run password', password),
          stubs: { github: 'stub-1' },
        }
      },
      end: async (id) => {
        done.push(`end ${id}`)
        return ({ R1: 'ended', R3: 'untold', R4: 'unavailable' } as const)[id] ?? 'unknown'
      },
      rows: () => [{ run_id: 'R1' }],
      bind: async (agent, run) => {
        done.push(`${agent} ${run}`)
        return ({ devbot: 'bound', cut: 'untold' } as const)[agent] ?? 'unknown'
      },
    },
    explicitProxy: () => proxy,
  }
  const server = await serve(runRoutes(sources), { host: '127.0.0.1', port: 0 })
  const ask = async (method: string, path: string, body?: unknown) => {
    const init = body === undefined ? { method } : { method, body: JSON.stringify(body) }
    const reply = await fetch(`http://127.0.0.1:${server.port}${path}`, init)
    const text = await reply.text()
    return { status: reply.status, allow: reply.headers.get('allow'), body: text === '' ? '' : (JSON.parse(text) as unknown) }
  }
  return { ask, done, [Symbol.asyncDispose]: () => server.close() }
}

describe('runs on the admin listener', () => {
  it('are minted with everything a client needs', async () => {
    await using on = await stage()
    const order = { agent: 'devbot', ttl_seconds: 60, label: 'review', budget: { tokens: 5 } }
    expect(await on.ask('POST', '/v1/runs', order)).toMatchObject({
      status: 201,
      body: {
        run_id: 'R1',
        agent: 'devbot',
        proxy: { url: 'http://10.0.0.1:8080', username: 'run-R1', password },
        stubs: { github: 'stub-1' },
        expires_at: 'soon',
      },
    })
    expect(on.done).toEqual([{ agent: 'devbot', ttlSeconds: 60, label: 'review', budget: { tokens: 5 } }])
  })

  it('are listed, ended once, and bound, and each change is in force before it is answered', async () => {
    await using on = await stage()
    expect(await on.ask('GET', '/v1/runs')).toMatchObject({ status: 200, body: [{ run_id: 'R1' }] })
    expect(await on.ask('DELETE', '/v1/runs/R1')).toMatchObject({ status: 204, body: '' })
    expect(await on.ask('DELETE', '/v1/runs/R2')).toMatchObject({ status: 404, body: { error: { code: 'unknown_run' } } })
    expect(await on.ask('POST', '/v1/runs/bind', { agent: 'devbot', run_id: 'abc' })).toMatchObject({
      status: 200,
      body: { agent: 'devbot', run_id: 'abc' },
    })
    expect(await on.ask('POST', '/v1/runs/bind', { agent: 'devbot', run_id: null })).toMatchObject({ status: 200 })
    expect(await on.ask('POST', '/v1/runs/bind', { agent: 'nobody', run_id: 'abc' })).toMatchObject({ status: 404 })
    expect(on.done).toEqual(['end R1', 'end R2', 'devbot abc', 'devbot undefined', 'nobody abc'])
  })

  it.each(['run-1', '0197f3a0-4a1f', 'ci:42_7', 'a'.repeat(128)])('may be called %s', async (run_id) => {
    await using on = await stage()
    expect(await on.ask('POST', '/v1/runs/bind', { agent: 'devbot', run_id })).toMatchObject({ status: 200 })
  })

  it.each(['', 'a b', 'a/b', '<a>', 'a"', 'é', 'a'.repeat(129)])('may not be called %j, as X-Run-Id may not', async (run_id) => {
    await using on = await stage()
    const { status, body } = await on.ask('POST', '/v1/runs/bind', { agent: 'devbot', run_id })
    expect([status, JSON.stringify(body)]).toEqual([400, expect.stringContaining('a run id is 1 to 128 letters')])
    expect(on.done).toEqual([])
  })

  it('that others were not told of are said to be so, and nobody is told that there is none where nobody knows', async () => {
    await using on = await stage()
    expect(await on.ask('DELETE', '/v1/runs/R3')).toMatchObject({ status: 202, body: { run_id: 'R3', ended: 'here' } })
    expect(await on.ask('DELETE', '/v1/runs/R4')).toMatchObject({ status: 503, body: { error: { code: 'state_unavailable' } } })
    const order = { agent: 'cut', run_id: 'abc' }
    expect(await on.ask('POST', '/v1/runs/bind', order)).toMatchObject({ status: 202, body: order })
  })

  it.each([
    [{}, 400, 'bad_body'],
    [{ agent: 'devbot' }, 400, 'bad_body'],
    [{ agent: 'devbot', ttl_seconds: 0 }, 400, 'bad_body'],
    [{ agent: 'devbot', ttl_seconds: 86_401 }, 400, 'bad_body'],
    [{ agent: 'devbot', ttl_seconds: 1.5 }, 400, 'bad_body'],
    [{ agent: 'devbot', ttl_seconds: 1, label: 'two\nlines' }, 400, 'bad_body'],
    [{ agent: 'devbot', ttl_seconds: 1, hosts: [] }, 400, 'bad_body'],
    [{ agent: 'devbot', ttl_seconds: 1, budget: {} }, 400, 'bad_body'],
    [{ agent: 'devbot', ttl_seconds: 1, budget: { tokens: -1 } }, 400, 'bad_body'],
    [{ agent: 'devbot', ttl_seconds: 1, mode: 'report' }, 400, 'bad_body'],
    [{ agent: 'devbot', ttl_seconds: 1, hosts: ['a.test'] }, 400, 'scope_wider'],
    [{ agent: 'other', ttl_seconds: 1 }, 404, 'unknown_agent'],
    [{ agent: 'devbot', ttl_seconds: 1, label: 'away' }, 503, 'state_unavailable'],
  ])('are not minted of %j', async (body, status, code) => {
    await using on = await stage()
    expect(await on.ask('POST', '/v1/runs', body)).toMatchObject({ status, body: { error: { code } } })
  })

  it('are not minted where they would find no proxy, and an IPv6 one is written as a URL has it', async () => {
    await using off = await stage({ ...open, port: undefined })
    const order = { agent: 'devbot', ttl_seconds: 60 }
    expect(await off.ask('POST', '/v1/runs', order)).toMatchObject({ status: 409, body: { error: { code: 'proxy_off' } } })
    await using six = await stage({ ...open, address: 'fd00::1' })
    expect(await six.ask('POST', '/v1/runs', order)).toMatchObject({ body: { proxy: { url: 'http://[fd00::1]:8080' } } })
  })

  it('take no other method, and say which they take', async () => {
    await using on = await stage()
    expect(await on.ask('DELETE', '/v1/runs')).toMatchObject({ status: 405, allow: 'GET, HEAD, POST' })
    expect(await on.ask('GET', '/v1/runs/R1')).toMatchObject({ status: 405, allow: 'DELETE' })
    expect(on.done).toEqual([])
  })
})
