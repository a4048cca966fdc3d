import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { openStore } from '#store/open.ts'
import { findLeaks } from '../kit/canary.ts'
import { run } from '../kit/clients.ts'
import { Provider } from '../kit/provider.ts'
import { scenario } from '../kit/scenario.ts'
import { startUpstream } from '../kit/upstream.ts'
import type { Upstream } from '../kit/upstream.ts'

const policy = `version: 1
agents: {devbot: {from: [{cidr: 127.0.0.0/8}]}}
credentials:
  claude:
    kind: oauth2
    stubs: {access: access-token-stub, refresh: refresh-token-stub}
    grant: {file: secrets/claude-oauth.json}
    tokenEndpoint: https://platform.claude.com/v1/oauth/token
    clientId: client-of-the-tests
    answers: [platform.claude.com/v1/oauth/token, console.anthropic.com/v1/oauth/token]
    scopes: [user:inference, user:profile]
    hosts: [api.anthropic.com]
rules:
  - {id: anthropic, hosts: [api.anthropic.com], credentials: [claude]}
  - {id: tokens, hosts: [platform.claude.com, console.anthropic.com], methods: [POST], paths: [/v1/oauth/token], credentials: [claude]}
`

/** A provider that rotates, an API that takes only its newest token, and the proxy between them and the agents. */
async function crew(provider: Provider, expiresIn = 3600) {
  await using stack = new AsyncDisposableStack()
  const s = stack.use(
    await scenario({
      policy,
      upstreams: {
        api: {
          hosts: ['api.anthropic.com'],
          start: ({ certificate }): Promise<Upstream> =>
            startUpstream({
              certificate,
              protocol: 'h1',
              handler({ request, response }) {
                const token = request.headers.authorization?.replace('Bearer ', '') ?? ''
                const good = provider.accepts(token)
                request.resume()
                response.writeHead(good ? 200 : 401, { 'content-type': 'application/json' })
                response.end(JSON.stringify(good ? { shown: token } : { type: 'error', error: { type: 'authentication_error' } }))
                return true
              },
            }),
        },
        tokens: {
          hosts: ['platform.claude.com', 'console.anthropic.com'],
          start: ({ certificate }) => provider.serve(certificate),
        },
      },
    }),
  )
  const { access, refresh } = provider.login()
  const seed = { access_token: access, refresh_token: refresh, expires_at: Math.floor(Date.now() / 1000) + expiresIn }
  await writeFile(join(s.files.policies, 'secrets/claude-oauth.json'), JSON.stringify(seed))
  await s.app.reload('signal')
  const owned = stack.move()
  return { s, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

const bearer = ['-H', 'Authorization: Bearer access-token-stub'] as const
const post = ['-H', 'Content-Type: application/json', '-d'] as const

describe('a rotating login', () => {
  it('serves the crew, is refreshed once for everyone when it has ended, and never shows', async () => {
    const provider = new Provider()
    await using given = await crew(provider, -60)
    const { s } = given
    const replies = await Promise.all(
      Array.from({ length: 30 }, () =>
        s.curl('transparent', 'https://api.anthropic.com/v1/messages', [...bearer, ...post, '{"model":"m"}']),
      ),
    )
    expect(replies.map(({ status }) => status)).toEqual(Array.from({ length: 30 }, () => 200))
    expect(provider.calls).toBe(1)
    expect(provider.alive).toBe(true)
    for (const { body } of replies) expect(body.toString()).toBe('{"shown":"access-token-stub"}')
    const own = await s.audited({ door: 'self', type: 'request', credential: 'claude' })
    expect(own).toMatchObject({
      agent: null,
      host: 'platform.claude.com',
      path: '/v1/oauth/token',
      status: 200,
      verdict: 'allow',
    })
    for (const file of ['state.db', 'state.db-wal']) s.readable(file, await readFile(join(s.files.folder, file)).catch(() => ''))
    s.readable('credentials', await (await fetch(`http://127.0.0.1:${s.ports.admin}/v1/credentials`)).text())
    expect(await s.canaryFoundIn()).toEqual([])
    expect(
      findLeaks(provider.handedOut, [
        { name: 'sinks', bytes: Buffer.from(s.log.join('') + s.files.audit() + (await s.metrics())) },
      ]),
    ).toEqual([])
  })

  it('renews once for twenty parallel refusals, and no agent reads a 401', async () => {
    const provider = new Provider()
    await using given = await crew(provider)
    const { s } = given
    expect((await s.curl('connect', 'https://api.anthropic.com/v1/models', [...bearer])).status).toBe(200)
    provider.expireAccess()
    const replies = await Promise.all(
      Array.from({ length: 20 }, () =>
        s.curl('connect', 'https://api.anthropic.com/v1/messages', [...bearer, ...post, '{"model":"m"}']),
      ),
    )
    expect(replies.map(({ status }) => status)).toEqual(Array.from({ length: 20 }, () => 200))
    expect(provider.calls).toBe(1)
  })

  it('answers an agent’s own refresh here, with stubs, and refuses anything but the stub', async () => {
    const provider = new Provider()
    await using given = await crew(provider)
    const { s } = given
    const shown = (refresh: string) =>
      JSON.stringify({ grant_type: 'refresh_token', refresh_token: refresh, client_id: 'anything' })
    for (const host of ['platform.claude.com', 'console.anthropic.com']) {
      const { status, body } = await s.curl('transparent', `https://${host}/v1/oauth/token`, [
        ...post,
        shown('refresh-token-stub'),
      ])
      expect(status).toBe(200)
      expect(JSON.parse(body.toString())).toMatchObject({
        token_type: 'Bearer',
        access_token: 'access-token-stub',
        refresh_token: 'refresh-token-stub',
        scope: 'user:inference user:profile',
      })
    }
    const other = await s.curl('connect', 'https://platform.claude.com/v1/oauth/token', [
      ...post,
      shown('brought-along-by-someone'),
    ])
    expect(other.status).toBe(403)
    expect(JSON.parse(other.body.toString())).toMatchObject({ error: { code: 'token_call_refused' } })
    expect(provider.attempts).toBe(0)
    expect(await s.metrics()).toMatch(/ironproxy_token_calls_total\{agent="devbot",credential="claude",result="answered"\} 2/)
  })

  it('says 400 and who must act once the provider has ended the login, without hammering it', async () => {
    const provider = new Provider()
    await using given = await crew(provider, -60)
    const { s } = given
    provider.revoke()
    for (let i = 0; i < 5; i += 1) {
      const { status, body } = await s.curl('transparent', 'https://api.anthropic.com/v1/messages', [...bearer, ...post, '{}'])
      expect(status).toBe(400)
      expect(JSON.parse(body.toString())).toMatchObject({
        type: 'error',
        error: {
          type: 'invalid_request_error',
          code: 'needs_login',
          message: expect.stringContaining('log in: ask the operator'),
        },
      })
    }
    expect(provider.calls).toBe(1)
    expect(await s.metrics()).toContain('ironproxy_oauth_reauth_required{credential="claude"} 1')
    const again = provider.login()
    await writeFile(
      join(s.files.policies, 'secrets/claude-oauth.json'),
      JSON.stringify({
        access_token: again.access,
        refresh_token: again.refresh,
        expires_at: Math.floor(Date.now() / 1000) + 3600,
      }),
    )
    await s.app.reload('signal')
    expect((await s.curl('transparent', 'https://api.anthropic.com/v1/messages', [...bearer, ...post, '{}'])).status).toBe(200)
  })

  it('is logged in anew from the command line, by a link and a code', async () => {
    const provider = new Provider()
    await using given = await crew(provider, -60)
    const { s } = given
    provider.revoke()
    expect((await s.curl('transparent', 'https://api.anthropic.com/v1/models', [...bearer])).status).toBe(400)
    const at = ['--listen-admin', `127.0.0.1:${s.ports.admin}`]
    const bin = join(import.meta.dirname, '..', '..', 'src', 'bin.js')
    const ended = await run(process.execPath, [bin, 'credentials', ...at], {})
    expect(ended).toMatchObject({ code: 1 })
    expect(ended.stdout).toMatch(/^claude .*needs login/)
    const unasked = await run(process.execPath, [bin, 'login', 'claude', '--code', 'a-code', ...at], {})
    expect(unasked).toMatchObject({ code: 69 })
    expect(unasked.stderr).toContain('the link has expired; begin again')
    const asked = await fetch(`http://127.0.0.1:${s.ports.admin}/v1/login`, { method: 'POST', body: '{"credential":"claude"}' })
    expect(((await asked.json()) as { url: string }).url).toContain('https://claude.com/cai/oauth/authorize')
    const done = await run(process.execPath, [bin, 'login', 'claude', '--code', 'a-code', ...at], {})
    expect(done.stdout).toMatch(/^claude is logged in, generation \d+; nothing was probed/)
    expect((await s.curl('transparent', 'https://api.anthropic.com/v1/models', [...bearer])).status).toBe(200)
    expect((await run(process.execPath, [bin, 'credentials', ...at], {})).code).toBe(0)
  })

  it('keeps the rotated pair on disk, under the generation that is in force', async () => {
    const provider = new Provider()
    await using given = await crew(provider, -60)
    const { s } = given
    expect((await s.curl('transparent', 'https://api.anthropic.com/v1/models', [...bearer])).status).toBe(200)
    const [state, sealKey] = [join(s.files.folder, 'state.db'), join(s.files.folder, 'seal.key')]
    const store = openStore({ path: state, sealKey, uid: process.getuid?.() })
    const kept = await store.read('claude')
    await store.close()
    expect(kept).toMatchObject({ generation: 2, inFlightSince: undefined, needsLogin: undefined })
    expect(provider.accepts(kept?.pair.access.expose() ?? '')).toBe(true)
  })
})
