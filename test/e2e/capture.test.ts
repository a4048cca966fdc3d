import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { findLeaks } from '../kit/canary.ts'
import { Provider } from '../kit/provider.ts'
import { scenario } from '../kit/scenario.ts'
import { startUpstream } from '../kit/upstream.ts'
import type { Upstream } from '../kit/upstream.ts'

const endpoints = ['platform.claude.com', 'console.anthropic.com', 'api.anthropic.com'] as const

const policyOf = (other: string): string => `version: 1
agents: {devbot: {from: [{cidr: 127.0.0.0/8}]}}
credentials:
  claude:
    kind: oauth2
    stubs: {access: access-token-stub, refresh: refresh-token-stub}
    tokenEndpoint: https://platform.claude.com/v1/oauth/token
    clientId: client-of-the-tests
    answers: {endpoints: [${endpoints.map((host) => `${host}/v1/oauth/token`).join(', ')}], other: ${other}}
    scopes: [user:inference, user:profile]
    hosts: [api.anthropic.com]
  codex:
    kind: oauth2
    stubs: {access: codex-access-stub, refresh: codex-refresh-stub}
    tokenEndpoint: https://auth.openai.com/oauth/token
    clientId: app_of_the_tests
    hosts: [chatgpt.com]
rules:
  - {id: tokens, hosts: [${endpoints.join(', ')}, auth.openai.com], methods: [POST], paths: [/v1/oauth/token, /oauth/token], credentials: [claude, codex]}
  - {id: anthropic, hosts: [api.anthropic.com], credentials: [claude]}
`

async function crew(other: 'deny' | 'capture') {
  const provider = new Provider()
  const s = await scenario({
    policy: policyOf(other),
    upstreams: {
      api: {
        hosts: ['api.anthropic.com'],
        start: ({ certificate }): Promise<Upstream> =>
          startUpstream({
            certificate,
            protocol: 'h1',
            handler({ request, response }) {
              request.resume()
              const good = provider.accepts(request.headers.authorization?.replace('Bearer ', '') ?? '')
              response.writeHead(good ? 200 : 401, { 'content-type': 'application/json' }).end('{}')
              return true
            },
          }),
      },
      tokens: {
        hosts: ['platform.claude.com', 'console.anthropic.com', 'auth.openai.com'],
        start: ({ certificate }) => provider.serve(certificate),
      },
    },
  })
  const post = (host: string, body: object | string, type = 'application/json', path = '/v1/oauth/token') => {
    const text = typeof body === 'string' ? body : JSON.stringify(body)
    return s.curl('transparent', `https://${host}${path}`, ['-H', `Content-Type: ${type}`, '-d', text])
  }
  const state = async () => {
    const rows = (await (await fetch(`http://127.0.0.1:${s.ports.admin}/v1/credentials`)).json()) as {
      id: string
      generation?: number
    }[]
    return rows.find(({ id }) => id === 'claude')?.generation
  }
  return { provider, s, post, state, [Symbol.asyncDispose]: () => s[Symbol.asyncDispose]() }
}

const login = {
  grant_type: 'authorization_code',
  code: 'the-code',
  redirect_uri: 'https://platform.claude.com/oauth/code/callback',
  client_id: 'client-of-the-tests',
  code_verifier: 'v',
  state: 's',
}

describe('a refresh with the stub', () => {
  it.each([
    ...endpoints.map(
      (host) =>
        [
          host,
          { grant_type: 'refresh_token', refresh_token: 'refresh-token-stub' },
          '/v1/oauth/token',
          'access-token-stub',
        ] as const,
    ),
    [
      'auth.openai.com',
      {
        client_id: 'app_of_the_tests',
        grant_type: 'refresh_token',
        refresh_reason: 'scheduled',
        refresh_token: 'codex-refresh-stub',
      },
      '/oauth/token',
      'codex-access-stub',
    ] as const,
  ])('at %s is answered here, and nobody upstream hears of it', async (host, body, path, stub) => {
    await using on = await crew('deny')
    const reply = await on.post(host, body, 'application/json', path)
    expect(reply.status).toBe(200)
    expect(JSON.parse(reply.body.toString())).toMatchObject({ token_type: 'Bearer', access_token: stub, expires_in: 315_360_000 })
    expect(on.provider.attempts).toBe(0)
    expect(on.s.upstreams.api.requests).toHaveLength(0)
  })
})

describe('a login through the proxy', () => {
  it('is kept here, and its agent holds stubs', async () => {
    await using on = await crew('capture')
    expect(await on.state()).toBeUndefined()
    const reply = await on.post('platform.claude.com', login)
    expect(reply.status).toBe(200)
    const said = JSON.parse(reply.body.toString()) as {
      access_token: string
      refresh_token: string
      expires_in: number
      scope: string
    }
    expect(said).toMatchObject({
      access_token: 'access-token-stub',
      refresh_token: 'refresh-token-stub',
      scope: 'user:inference user:profile',
    })

    // What Claude Code writes into its home.
    const home = join(on.s.files.folder, 'home', '.claude')
    await mkdir(home, { recursive: true })
    const claudeAiOauth = {
      accessToken: said.access_token,
      refreshToken: said.refresh_token,
      expiresAt: Date.now() + said.expires_in * 1000,
      scopes: said.scope.split(' '),
    }
    await writeFile(join(home, '.credentials.json'), JSON.stringify({ claudeAiOauth }))

    expect(await on.state()).toBe(1)
    expect(on.provider.calls).toBe(1)
    const bearer = ['-H', `Authorization: Bearer ${said.access_token}`]
    expect((await on.s.curl('transparent', 'https://api.anthropic.com/v1/messages', [...bearer, '-d', '{}'])).status).toBe(200)
    expect(await on.s.audited({ captured: true })).toMatchObject({
      agent: 'devbot',
      credential: 'claude',
      answered: true,
      status: 200,
    })
    expect(await on.s.metrics()).toContain('ironproxy_token_calls_total{agent="devbot",credential="claude",result="captured"} 1')

    const files = ['home/.claude/.credentials.json', 'state.db', 'state.db-wal', 'state.db-shm'].map(async (name) => ({
      name,
      bytes: await readFile(join(on.s.files.folder, name)).catch(() => Buffer.alloc(0)),
    }))
    const said2 = Buffer.from(on.s.log.join('') + on.s.files.audit() + (await on.s.metrics()) + reply.body.toString())
    expect(Object.keys(on.provider.handedOut).length).toBeGreaterThanOrEqual(2)
    expect(findLeaks(on.provider.handedOut, [...(await Promise.all(files)), { name: 'sinks', bytes: said2 }])).toEqual([])
  })

  it('as a form, and once more, makes a new generation each time', async () => {
    await using on = await crew('capture')
    const form = new URLSearchParams(login).toString()
    for (const generation of [1, 2]) {
      expect((await on.post('console.anthropic.com', form, 'application/x-www-form-urlencoded')).status).toBe(200)
      expect(await on.state()).toBe(generation)
    }
  })

  it.each([
    ['where the policy does not say so', 'deny', login],
    ['of another client', 'capture', { ...login, client_id: 'theirs' }],
    [
      'that is a refresh with a token of its own',
      'capture',
      { grant_type: 'refresh_token', refresh_token: 'sk-ant-ort-of-someone' },
    ],
  ] as const)('%s is refused, counted, and not sent', async (_what, other, body) => {
    await using on = await crew(other)
    const reply = await on.post('platform.claude.com', body)
    expect([reply.status, (JSON.parse(reply.body.toString()) as { error: { code: string } }).error.code]).toEqual([
      403,
      'token_call_refused',
    ])
    expect(on.provider.attempts).toBe(0)
    expect(await on.s.audited({ code: 'token_call_refused' })).toMatchObject({ credential: 'claude' })
    expect(await on.s.metrics()).toContain('ironproxy_token_calls_total{agent="devbot",credential="claude",result="refused"} 1')
  })

  it('that the provider refuses changes nothing, and reads no word that wipes a client’s file', async () => {
    await using on = await crew('capture')
    on.provider.down = { kind: 'html', status: 403 }
    const reply = await on.post('platform.claude.com', login)
    expect(reply.status).toBe(403)
    expect(reply.body.toString()).not.toContain('invalid_grant')
    expect(await on.state()).toBeUndefined()
    on.provider.down = undefined
    expect((await on.post('platform.claude.com', login)).status).toBe(200)
  })
})
