import { inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import { credentialSchema } from '#credentials/index.ts'
import { canary, credential, outcome, swapped } from '../../kit/credentials.ts'
import { canaryToken, leaseInput, leaseOf, now, plain, shown, thrownBy, tokenReply } from '../../kit/lease-input.ts'

const stub = 'stub-for-the-app'
const entry = {
  kind: 'github-app',
  stub,
  appId: 1,
  installationId: 2,
  privateKey: { file: 'secrets/app.pem' },
  repositories: ['homelab'],
  permissions: { contents: 'write', pull_requests: 'write' },
  hosts: ['good.test'],
}
const app = credential('app', entry)
const lease = leaseOf(app)
const sent = (value: string, host = 'good.test') => ({ all: [app], head: { host, headers: ['authorization', value] } })
const basic = (token: string) => `Basic ${Buffer.from(`x-access-token:${token}`).toString('base64')}`
const given = leaseInput({ secrets: { privateKey: 'key' } })
const second = now / 1000

describe('a github-app credential', () => {
  it('swaps its stub as gh and git send it', () => {
    const real = canary()
    expect(swapped(sent(`token ${stub}`), real).headers[1]).toBe(`token ${real}`)
    expect(swapped(sent(basic(stub)), real).headers[1]).toBe(basic(real))
  })

  it('has its stub guarded', () => {
    expect(outcome(sent(`token ${stub}`, 'other.test'))).toBe('stub_wrong_host')
  })

  it.each([
    ['a permission that does not exist', { permissions: { contents: 'own' } }],
    ['a repository with its owner', { repositories: ['someone/homelab'] }],
    ['no repository at all', { repositories: [] }],
    ['more repositories than GitHub takes', { repositories: Array.from({ length: 501 }, (_, index) => `r${index}`) }],
    ['a URL for a host', { apiHost: 'https://github.example.com' }],
    ['an address for a host', { apiHost: '10.0.0.1' }],
  ])('refuses %s in the policy', (_what, change) => {
    expect(credentialSchema.safeParse({ ...entry, ...change }).success).toBe(false)
  })
})

describe('the call for an installation token', () => {
  it('is signed by the App and narrowed as the policy says', () => {
    expect(shown(lease.ask(given))).toEqual({
      start: 'POST /app/installations/2/access_tokens',
      headers: {
        'user-agent': 'iron-proxy',
        accept: 'application/vnd.github+json',
        'content-type': 'application/json',
        'x-github-api-version': '2022-11-28',
        authorization: `Bearer signed:${JSON.stringify([{ alg: 'RS256' }, { iss: '1', iat: second - 60, exp: second + 540 }])}`,
      },
      body: '{"repositories":["homelab"],"permissions":{"contents":"write","pull_requests":"write"}}',
    })
    expect(lease).toMatchObject({
      rotating: false,
      seed: undefined,
      refs: { privateKey: entry.privateKey },
      stubs: { access: stub },
      answers: [],
    })
    expect(lease.endpoint).toEqual({ host: 'api.github.com', port: 443, path: '/app/installations/2/access_tokens' })
  })

  it('is not narrowed where the policy says nothing', () => {
    const { repositories: _, permissions: __, ...wide } = entry
    expect(shown(leaseOf(credential('app', wide)).ask(given)).body).toBe('{}')
  })

  it.each([
    ['api.acme.ghe.com', 'api.acme.ghe.com', ''],
    ['GitHub.example.com/api/v3', 'github.example.com', '/api/v3'],
  ])('goes to %s where the policy says so', (apiHost, host, prefix) => {
    const elsewhere = leaseOf(credential('app', { ...entry, apiHost }))
    expect(elsewhere.endpoint).toEqual({ host, port: 443, path: `${prefix}/app/installations/2/access_tokens` })
    expect(elsewhere.ask(given).path).toBe(elsewhere.endpoint.path)
  })

  it('is not made without the key', () => {
    expect(thrownBy(() => lease.ask(leaseInput()))).toMatchObject({
      code: 'credential_unavailable',
      message: 'the value of privateKey is not available',
    })
  })
})

describe('the reply', () => {
  it.each([200, 201])('%i has a token, however long it is', (status) => {
    const token = `ghs_1_${canaryToken()}.${'x'.repeat(480)}.y`
    const answer = lease.read(
      tokenReply(status, {
        token,
        expires_at: '2026-01-01T13:00:00Z',
        permissions: { contents: 'write' },
        repository_selection: 'selected',
      }),
      given,
    )
    expect(answer.kind === 'granted' && plain(answer.pair)).toEqual({
      access: token,
      refresh: undefined,
      expiresAt: now + 3_600_000,
      scopes: ['contents:write'],
    })
    expect(inspect(answer, { depth: 9 })).not.toContain(token)
  })

  it.each([undefined, 'soon', 7])('with %j for an end says no end', (expires_at) => {
    expect(lease.read(tokenReply(201, { token: 'x', expires_at }), given)).toMatchObject({ pair: { expiresAt: undefined } })
  })

  it.each([
    [403, 'GitHub answered 403: the installation is suspended, or the App may not do this'],
    [404, 'GitHub answered 404: the App has no such installation'],
    [422, 'GitHub answered 422: the installation lacks one of the repositories or permissions'],
  ])('%i is final', (status, reason) => {
    expect(lease.read(tokenReply(status, { message: canaryToken() }), given)).toEqual({ kind: 'refused', reason })
  })

  it.each<[string, number, unknown, object, string]>([
    ['a clock that is ahead', 401, {}, { serverTime: now - 600_000 }, 'GitHub answered 401: our clock is 600 s ahead'],
    ['a clock that is behind', 401, {}, { serverTime: now + 600_000 }, 'GitHub answered 401: our clock is 600 s behind'],
    ['a key that does not fit', 401, {}, { serverTime: now + 1000 }, 'GitHub answered 401: check appId and privateKey'],
    ['a key that does not fit, and no date', 401, {}, {}, 'GitHub answered 401: check appId and privateKey'],
    ['a limit with a time', 403, {}, { retryAfter: 60_000 }, 'GitHub answered 403'],
    ['a limit in words', 403, { message: 'API rate limit exceeded for installation' }, {}, 'GitHub answered 403'],
    ['another limit', 429, {}, {}, 'GitHub answered 429'],
    ['a fault', 502, '<html>', {}, 'GitHub answered 502'],
    ['a reply without a token', 201, {}, {}, 'GitHub answered 201 without a token'],
    ['a reply that is no JSON', 200, 'ok', {}, 'GitHub answered 200 without a token'],
  ])('is asked for again after %s', (_what, status, body, more, reason) => {
    expect(lease.read(tokenReply(status, body, more), given)).toEqual({
      kind: 'later',
      reason,
      after: 'retryAfter' in more ? more.retryAfter : undefined,
    })
  })
})

describe('an App', () => {
  it('starts from no grant, and answers no agent', () => {
    const content = canaryToken()
    const { code, printed } = thrownBy(() => lease.readSeed(content))
    expect(code).toBe('credential_unavailable')
    expect(printed).not.toContain(content)
    expect(lease.answer({ contentType: 'application/json', body: '{}' }).kind).toBe('refused')
  })
})
