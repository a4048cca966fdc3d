import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { openStore } from '#store/open.ts'
import { findLeaks } from '../kit/canary.ts'
import { run } from '../kit/clients.ts'
import { Provider } from '../kit/provider.ts'
import { scenario } from '../kit/scenario.ts'
import { startUpstream } from '../kit/upstream.ts'
import type { Visit } from '../kit/upstream.ts'
import { octocat, profile } from '../kit/whoami.ts'

const policy = `version: 1
agents: {devbot: {from: [{cidr: 127.0.0.0/8}]}}
credentials:
  claude:
    kind: oauth2
    stubs: {access: access-token-stub, refresh: refresh-token-stub}
    grant: {file: secrets/claude-oauth.json}
    tokenEndpoint: https://platform.claude.com/v1/oauth/token
    clientId: client-of-the-tests
    scopes: [user:inference, user:profile]
    hosts: [api.anthropic.com]
  github:
    {kind: bearer, stub: proxy-token-github, secret: {file: secrets/github-token}, hosts: [api.github.com, github.com]}
rules:
  - {id: anthropic, hosts: [api.anthropic.com], credentials: [claude]}
  - {id: github, hosts: [api.github.com], methods: [GET], credentials: [github]}
  - {id: git, hosts: [github.com], git: {fetch: ["*/*"]}, credentials: [github]}
`

interface Stage {
  /** What the profile of a Claude login is answered with, when its token is good. */
  readonly profileStatus?: number
  /** Neither provider ever says whose a value is. */
  readonly hangs?: boolean
}

/** A provider that rotates, the APIs of Claude and GitHub in front of it, and a proxy that asks them. */
async function crew({ profileStatus = 200, hangs = false }: Stage = {}) {
  await using stack = new AsyncDisposableStack()
  const provider = new Provider()
  const asked: string[] = []
  const answer = ({ request, response }: Visit, status: number, body: unknown, headers: Record<string, string> = {}) => {
    request.resume()
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))
    return true
  }
  const ask = (visit: Visit, reply: () => boolean): boolean => {
    asked.push(`${visit.request.headers.host} ${visit.request.headers['user-agent']}`)
    return hangs || reply()
  }
  const s = stack.use(
    await scenario({
      policy,
      secrets: ['github-token'],
      settings: { whoami: 'on' },
      upstreams: {
        claude: {
          hosts: ['api.anthropic.com'],
          start: ({ certificate }) =>
            startUpstream({
              certificate,
              handler(visit) {
                const good = provider.accepts(visit.request.headers.authorization?.replace('Bearer ', '') ?? '')
                const refused = { type: 'error', error: { type: 'authentication_error', message: 'invalid token' } }
                if (visit.request.url !== '/api/oauth/profile') return answer(visit, good ? 200 : 401, good ? {} : refused)
                return ask(visit, () => answer(visit, good ? profileStatus : 401, good ? profile : refused))
              },
            }),
        },
        github: {
          hosts: ['api.github.com'],
          start: ({ certificate, secrets }) =>
            startUpstream({
              certificate,
              handler(visit) {
                const good = visit.request.headers.authorization === `Bearer ${secrets['github-token']}`
                const headers = { 'x-oauth-scopes': 'delete_repo, read:org, repo', 'x-accepted-oauth-scopes': '' }
                if (visit.request.headers['user-agent'] !== 'iron-proxy') return answer(visit, 200, {})
                return ask(visit, () => answer(visit, good ? 200 : 401, good ? octocat : { message: 'Bad credentials' }, headers))
              },
            }),
        },
        tokens: { hosts: ['platform.claude.com'], start: ({ certificate }) => provider.serve(certificate) },
      },
    }),
  )
  const at = `http://127.0.0.1:${s.ports.admin}`
  const post = (path: string, body: object) => fetch(at + path, { method: 'POST', body: JSON.stringify(body) })
  const owned = stack.move()
  return {
    s,
    provider,
    asked,
    at,
    post,
    credentials: async () => (await (await fetch(`${at}/v1/credentials`)).json()) as readonly Record<string, unknown>[],
    begin: async () => (await (await post('/v1/login', { credential: 'claude' })).json()) as { url: string; page: string },
    submit: (page: string, code: string) =>
      fetch(`${at}${page.replace('/login/', '/login/code/')}`, {
        method: 'POST',
        headers: { origin: at },
        body: new URLSearchParams({ code }),
      }),
    cli: (...args: readonly string[]) =>
      run(
        process.execPath,
        [join(import.meta.dirname, '..', '..', 'src', 'bin.js'), ...args, '--listen-admin', `127.0.0.1:${s.ports.admin}`],
        {},
      ),
    linesOf: (event: string) => s.log.filter((line) => line.includes(`"event":"${event}"`)),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + 5000
  while (!(await holds())) {
    if (performance.now() > end) throw new Error('it never came')
    await sleep(10)
  }
}

const claudeApi = 'https://api.anthropic.com/v1/models'
const bearer = ['-H', 'Authorization: Bearer access-token-stub'] as const

describe('whose a credential is', () => {
  it('is asked on load, shown, and warned of once where the grant is wider than the policy uses', async () => {
    await using on = await crew()
    await until(() => on.linesOf('grant').length > 0)
    const row = (await on.credentials()).find(({ id }) => id === 'github')
    expect(row).toMatchObject({
      identity: { kind: 'known', provider: 'github', who: 'octocat', scopes: ['delete_repo', 'read:org', 'repo'] },
      warnings: ['the grant is wider than the policy uses: delete_repo, repo, while its rules only let agents read'],
    })
    expect(await on.s.audited({ door: 'self', credential: 'github' })).toMatchObject({
      method: 'GET',
      path: '/user',
      status: 200,
    })
    await on.s.app.reload('signal')
    expect(await on.s.editPolicy(`${policy}# edited\n`)).toBe(true)
    expect(on.linesOf('grant').length).toBe(1)
    expect(on.asked).toEqual(['api.github.com iron-proxy'])
    const shown = await on.cli('credentials', '--whoami', 'github')
    expect(shown.stdout).toMatch(
      /^github +bearer +loaded, octocat, scopes delete_repo read:org repo\n {2}warning: the grant is wider/,
    )
    expect(shown.code).toBe(0)
    expect(on.asked.length).toBe(2)
    expect(await on.s.editPolicy(policy.replace('methods: [GET], ', ''))).toBe(true)
    expect((await on.credentials()).find(({ id }) => id === 'github')).not.toHaveProperty('warnings')
    on.s.readable('credentials', JSON.stringify(await on.credentials()) + shown.stdout)
    expect(await on.s.canaryFoundIn()).toEqual([])
  })

  it('is asked anew of a new secret and of a new login, and what the seed lacks is told', async () => {
    await using on = await crew()
    await until(() => on.asked.length === 1)
    await on.s.files.renewSecret('github-token')
    await until(() => on.asked.length === 2)
    const { access, refresh } = on.provider.login()
    const scopes = ['user:inference', 'org:create_api_key']
    const seed = { claudeAiOauth: { accessToken: access, refreshToken: refresh, expiresAt: Date.now() + 3_600_000, scopes } }
    await writeFile(join(on.s.files.policies, 'secrets/claude-oauth.json'), JSON.stringify(seed))
    await on.s.app.reload('signal')
    await until(async () =>
      (await on.credentials()).some(({ identity }) => JSON.stringify(identity ?? '').includes('ops@example.com')),
    )
    const row = (await on.credentials()).find(({ id }) => id === 'claude')
    expect(row).toMatchObject({
      scopes,
      warnings: [
        'the grant is wider than the policy uses: org:create_api_key',
        'the grant lacks what the policy asks for: user:profile',
      ],
    })
  })

  it('holds up nothing where nobody answers', async () => {
    await using on = await crew({ hangs: true })
    await until(() => on.asked.length === 1)
    const { status } = await on.s.curl('transparent', 'https://api.github.com/user', [
      '-H',
      'Authorization: token proxy-token-github',
    ])
    expect(status).toBe(200)
    expect((await on.credentials()).find(({ id }) => id === 'github')).not.toHaveProperty('identity')
  })
})

describe('a login by the page', () => {
  it('refuses a code of another link, takes the right one, tells who logged in, and is good once', async () => {
    await using on = await crew()
    const { page } = await on.begin()
    expect(await (await fetch(on.at + page)).text()).toContain('https://claude.com/cai/oauth/authorize')
    const refused = await on.submit(page, 'the-code#another-state')
    expect(refused.status).toBe(409)
    const again = await refused.text()
    expect(again).toContain('the code is not the one of this link')
    const state = /[?&;]state=([\w-]+)/.exec(again.replaceAll('&#38;', '&'))?.[1]
    const done = await on.submit(page, `the-code#${state}`)
    expect(done.status).toBe(200)
    expect(await done.text()).toContain(
      'claude is logged in as ops@example.com (Acme, claude_max, default_claude_max_20x), generation 1',
    )
    expect((await fetch(on.at + page)).status).toBe(410)
    expect((await on.submit(page, `the-code#${state}`)).status).toBe(410)
    expect((await on.s.curl('transparent', claudeApi, bearer)).status).toBe(200)
    const token = page.replace('/login/', '')
    const written = on.s.log.join('') + on.s.files.audit() + (await on.s.metrics())
    expect(written).not.toContain(token)
    expect(findLeaks(on.provider.handedOut, [{ name: 'sinks', bytes: Buffer.from(written) }])).toEqual([])
  })

  it('refuses a name that leads here from elsewhere', async () => {
    await using on = await crew()
    const { page } = await on.begin()
    const { stdout } = await run(
      'curl',
      ['-q', '-s', '-o', '/dev/null', '-w', '%{http_code}', '-H', 'Host: evil.test', on.at + page],
      {},
    )
    expect(stdout).toBe('421')
  })

  it('is what the command prints with --page', async () => {
    await using on = await crew()
    const printed = await on.cli('login', 'claude', '--page')
    expect(printed.code).toBe(0)
    expect((await fetch(printed.stdout.trim())).status).toBe(200)
  })
})

describe('a login by the command', () => {
  it('says what was seen', async () => {
    await using on = await crew()
    await on.begin()
    const done = await on.cli('login', 'claude', '--code', 'the-code')
    expect(done).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^claude is logged in as ops@example\.com .*generation 1\n$/),
    })
  })

  it('says so when the probe fails, and keeps the generation', async () => {
    await using on = await crew({ profileStatus: 503 })
    await on.begin()
    const done = await on.cli('login', 'claude', '--code', 'the-code')
    expect(done.code).toBe(1)
    expect(done.stdout).toBe('claude is logged in, generation 1, but the probe failed: Anthropic answered 503\n')
    expect((await on.s.curl('transparent', claudeApi, bearer)).status).toBe(200)
    const [state, sealKey] = [join(on.s.files.folder, 'state.db'), join(on.s.files.folder, 'seal.key')]
    const store = openStore({ path: state, sealKey, uid: process.getuid?.() })
    expect(await store.read('claude')).toMatchObject({ generation: 1, needsLogin: undefined })
    await store.close()
    expect(await readFile(state, 'latin1')).not.toContain('access')
  })
})

describe('a login that has ended', () => {
  it('is told once however many ask, and once more when it is well again', async () => {
    await using on = await crew()
    await on.begin()
    await on.cli('login', 'claude', '--code', 'the-code')
    await on.s.audited({ type: 'credential', event: 'recovered' })
    const before = on.s.audit.filter(({ type }) => type === 'credential')
    expect(before.map(({ event }) => event)).toEqual(['needs_login', 'recovered'])
    on.provider.revoke()
    const statuses = await Promise.all(
      Array.from({ length: 50 }, async () => (await on.s.curl('connect', claudeApi, bearer)).status),
    )
    expect(new Set(statuses)).toEqual(new Set([400]))
    await on.begin()
    await on.cli('login', 'claude', '--code', 'the-code')
    const incidents = () => on.s.audit.filter(({ type }) => type === 'credential')
    await until(() => incidents().length >= before.length + 2)
    const records = incidents().slice(before.length)
    expect(records).toMatchObject([
      { event: 'needs_login', credential: 'claude', code: 'needs_login', verdict: 'error', agent: null, reason: 'invalid_grant' },
      { event: 'recovered', credential: 'claude', verdict: 'allow' },
    ])
    expect(on.linesOf('needs_login').length).toBe(2)
    expect(on.linesOf('recovered').length).toBe(2)
    expect(await on.s.metrics()).toContain('ironproxy_failures_total{layer="credential",code="needs_login"} 2')
  })
})
