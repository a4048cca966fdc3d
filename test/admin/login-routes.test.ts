import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { ProxyError } from '#base/errors.ts'
import { Secret } from '#base/secret.ts'
import { serveAdmin } from '#admin/server.ts'
import type { AdminSources } from '#admin/server.ts'
import { ManualClock } from '../kit/clock.ts'
import { noRuns } from '../kit/runs.ts'

/** An admin listener with a token of its own, and logins that take one code. */
async function stage(some: Partial<AdminSources> = {}) {
  const clock = new ManualClock()
  const adminToken = randomBytes(24).toString('hex')
  const finished: string[] = []
  let begun = 0
  const sources: AdminSources = {
    status: () => ({}),
    reload: () => Promise.resolve({ ok: true, hash: undefined, issues: [] }),
    records: () => [],
    credentials: () => [],
    budgets: () => Promise.resolve([]),
    setBudget: () => Promise.resolve(false),
    spent: () => Promise.resolve({ policies: '', spent: [], unpriced: [] }),
    moveSpend: () => Promise.resolve('from'),
    budgetClock: { ahead: () => 0, putRight: () => Promise.resolve([]) },
    identify: (credential) => Promise.resolve([{ id: credential ?? 'all' }]),
    beginLogin: (credential) => `https://login.test/${credential}?begun=${(begun += 1)}`,
    finishLogin(credential, code) {
      finished.push(`${credential} ${code}`)
      if (code !== 'good#state') return Promise.reject(new ProxyError('needs_login', `no <b>good</b> code`))
      return Promise.resolve({ generation: 4, ok: true, message: 'claude is logged in as ops@example.com, generation 4' })
    },
    ...noRuns,
    clock,
    version: '1',
    ...some,
  }
  const server = await serveAdmin({ host: '127.0.0.1', port: 0 }, sources, new Secret('admin token', adminToken))
  const at = `http://127.0.0.1:${server.port}`
  const api = (path: string, body: object) =>
    fetch(at + path, { method: 'POST', headers: { authorization: `Bearer ${adminToken}` }, body: JSON.stringify(body) })
  const begin = async () => ((await (await api('/v1/login', { credential: 'claude' })).json()) as { page: string }).page
  const submit = (page: string, code: string, headers: Record<string, string> = { origin: at }) =>
    fetch(`${at}${page.replace('/login/', '/login/code/')}`, { method: 'POST', headers, body: new URLSearchParams({ code }) })
  return { api, at, begin, clock, finished, submit, [Symbol.asyncDispose]: () => server.close() }
}

describe('the login page on the admin listener', () => {
  it('needs its link and no token, logs in with the code, and is good once', async () => {
    await using on = await stage()
    const page = await on.begin()
    const opened = await fetch(on.at + page)
    expect(opened.status).toBe(200)
    expect(opened.headers.get('cache-control')).toBe('no-store')
    const text = await opened.text()
    expect(text).toContain('https://login.test/claude?begun=1')
    expect(text).toContain(`action="${page.replace('/login/', '/login/code/')}"`)
    // Looking once more changes nothing.
    expect((await fetch(on.at + page)).status).toBe(200)
    const done = await on.submit(page, 'good#state')
    expect(done.status).toBe(200)
    expect(await done.text()).toContain('claude is logged in as ops@example.com, generation 4')
    expect(on.finished).toEqual(['claude good#state'])
    expect((await fetch(on.at + page)).status).toBe(410)
    expect((await on.submit(page, 'good#state')).status).toBe(410)
    expect(on.finished.length).toBe(1)
  })

  it('says what is wrong with a code, has another link for the next try, and ends after five', async () => {
    await using on = await stage()
    const page = await on.begin()
    for (let tries = 1; tries < 5; tries += 1) {
      const refused = await on.submit(page, 'bad')
      expect(refused.status).toBe(409)
      const text = await refused.text()
      expect(text).toContain('no &#60;b&#62;good&#60;/b&#62; code')
      expect(text).toContain(`begun=${tries + 1}`)
    }
    expect(await (await on.submit(page, 'bad')).text()).toContain('This was the last try')
    expect((await on.submit(page, 'good#state')).status).toBe(410)
  })

  it('tells that a login is in force whose probe has failed', async () => {
    await using on = await stage({
      finishLogin: () => Promise.resolve({ generation: 5, ok: false, message: 'but the probe failed: Anthropic answered 401' }),
    })
    const done = await on.submit(await on.begin(), 'any')
    expect(done.status).toBe(502)
    expect(await done.text()).toContain('but the probe failed: Anthropic answered 401')
  })

  it('ends after ten minutes', async () => {
    await using on = await stage()
    const page = await on.begin()
    on.clock.advance(10 * 60_000)
    expect((await fetch(on.at + page)).status).toBe(410)
    expect((await on.submit(page, 'good#state')).status).toBe(410)
    expect(on.finished).toEqual([])
  })

  it.each([
    ['a page of another origin', { origin: 'https://evil.example.com' }, 403],
    ['a page of no origin', { origin: 'null' }, 403],
  ])('takes no form of %s', async (_name, headers, status) => {
    await using on = await stage()
    expect((await on.submit(await on.begin(), 'good#state', headers)).status).toBe(status)
    expect(on.finished).toEqual([])
  })

  it('opens nothing else without the token, and takes no body that is too long', async () => {
    await using on = await stage()
    expect((await fetch(`${on.at}/v1/login`, { method: 'POST', body: '{}' })).status).toBe(401)
    expect((await fetch(`${on.at}/login`)).status).toBe(401)
    expect((await fetch(`${on.at}/login/x/y`)).status).toBe(404)
    expect((await fetch(`${on.at}/login/`)).status).toBe(410)
    expect((await on.submit(await on.begin(), 'x'.repeat(20_000))).status).toBe(400)
  })
})

describe('who a credential is', () => {
  it('is asked for one or for all', async () => {
    await using on = await stage()
    expect(await (await on.api('/v1/whoami', { credential: 'github' })).json()).toEqual([{ id: 'github' }])
    expect(await (await on.api('/v1/whoami', {})).json()).toEqual([{ id: 'all' }])
    expect((await on.api('/v1/whoami', { credential: 7 })).status).toBe(400)
  })
})
