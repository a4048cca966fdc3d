import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { rootCertificates } from 'node:tls'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { testAuthority } from '../../kit/ca.ts'
import { run } from '../../kit/clients.ts'
import { listen } from '../../kit/listen.ts'
import { createServer } from 'node:http'
import { makeRig, missing, scripts, type Rig } from './rig.ts'

const template = (name: string): string => readFileSync(`policies/examples/stubs/${name}`, 'utf8')
const realLooking = (): string => `ghp_${randomBytes(18).toString('hex')}`

let rig: Rig

beforeEach(async () => {
  rig = await makeRig()
  await rig.write('roots.crt', `${rootCertificates[0]}\n`)
})

afterEach(async () => {
  await rig[Symbol.asyncDispose]()
})

const setup = (env: Readonly<Record<string, string>> = {}) =>
  rig.script('setup.sh', [], { env: { SYSTEM_ROOTS: join(rig.folder, 'roots.crt'), ...env } })
const modeOf = (path: string): string => (statSync(join(rig.home, path)).mode & 0o777).toString(8)

/** Every file of the home with the moment of its last change. */
function homeFiles(): Readonly<Record<string, number>> {
  return Object.fromEntries(
    readdirSync(rig.home, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((path) => [path, statSync(path).mtimeMs]),
  )
}

describe.skipIf(missing.length > 0)(`setup.sh${missing.length > 0 ? ` (skipped: no ${missing.join(', ')})` : ''}`, () => {
  test('makes an empty home ready, and a second run changes nothing', async () => {
    const repository = await rig.repository('homelab')
    await rig.write('persona/mcp.json', '{"mcpServers": {"clock": {"command": "clock"}}}')
    await rig.write('persona/agents/reviewer.md', 'Review.\n')
    const env = {
      AGENT_REPOS: repository,
      IRON_PROXY_CA_CRT: testAuthority().certPem,
      CHANNEL: 'matrix',
      MATRIX_HOMESERVER_URL: 'https://matrix.invalid',
      MATRIX_BOT_USER_ID: '@testbot:example.com',
      MATRIX_ALLOWED_USERS: '@a:example.com, @b:example.com',
    }
    const first = await setup(env)
    expect(first.stderr).toContain('[setup] complete')
    expect(first.code).toBe(0)

    expect(await rig.read('.claude/.credentials.json')).toBe(template('claude-credentials.json'))
    expect(await rig.read('.claude/CLAUDE.md')).toMatch(/^# How we work[^]*# Testbot/)
    expect(await rig.read('.claude/agents/reviewer.md')).toBe('Review.\n')
    expect(await rig.json('.claude/settings.json')).toMatchObject({ hooks: { Stop: expect.any(Array) } })
    // The channel's plugin comes by the settings, whatever marketplaces the persona has.
    expect(await rig.json('.claude/settings.json')).toMatchObject({
      channelsEnabled: true,
      skipDangerousModePermissionPrompt: true,
      enabledPlugins: { 'matrix@claude-code-channel-matrix': true },
      extraKnownMarketplaces: {
        'claude-code-channel-matrix': { source: { source: 'github', repo: 'zekker6/claude-code-channel-matrix' } },
      },
    })
    // Either of these switches remote control and channels off.
    const lines = await rig.read('.agent/env.d/40-agent.sh')
    expect(lines).not.toMatch(/NONESSENTIAL|DISABLE_TELEMETRY/)
    expect(lines).toContain('export DISABLE_ERROR_REPORTING=1\n')
    expect(await rig.json('.claude.json')).toMatchObject({
      hasCompletedOnboarding: true,
      theme: 'dark',
      bypassPermissionsModeAccepted: true,
      hasSeenAutoDefaultNudge: true,
      resumeReturnDismissed: true,
      mcpServers: {
        memory: { command: 'node', args: [join(scripts, 'memory/server.ts')], env: { AGENT_NAME: 'testbot' } },
        clock: { command: 'clock' },
      },
      projects: { [join(rig.workspace, 'homelab')]: { hasTrustDialogAccepted: true } },
    })
    expect(await rig.read('.claude/channels/matrix/.env')).toContain('MATRIX_ACCESS_TOKEN=proxy-token-matrix\n')
    expect(await rig.json('.claude/channels/matrix/access.json')).toEqual({
      allowedUsers: ['@a:example.com', '@b:example.com'],
      ackReaction: '👀',
    })
    expect(await rig.read('.git-credentials')).toBe('https://x-access-token:proxy-token-github@github.com\n')
    expect(readdirSync(join(rig.workspace, 'homelab'))).toContain('.git')
    for (const secret of ['.claude/.credentials.json', '.claude/channels/matrix/.env', '.git-credentials', '.claude.json'])
      expect([secret, modeOf(secret)]).toEqual([secret, '600'])
    expect(modeOf('.claude/settings.json')).toBe('644')

    const before = homeFiles()
    expect((await setup(env)).code).toBe(0)
    expect(homeFiles()).toEqual(before)
  })

  test('hands every client one bundle: our CA first, the public roots after it', async () => {
    expect((await setup({ IRON_PROXY_CA_CRT: testAuthority().certPem })).code).toBe(0)
    const bundle = await rig.read('.agent/ca-bundle.crt')
    expect(bundle.startsWith(testAuthority().certPem.trim())).toBe(true)
    expect(bundle).toContain(rootCertificates[0]?.trim())
    const lines = await rig.read('.agent/env.d/10-trust.sh')
    for (const name of ['NODE_EXTRA_CA_CERTS', 'SSL_CERT_FILE', 'GIT_SSL_CAINFO', 'CURL_CA_BUNDLE', 'REQUESTS_CA_BUNDLE'])
      expect(lines).toContain(`export ${name}='${join(rig.home, '.agent/ca-bundle.crt')}'`)
  })

  test('without a CA it warns, and git works on with the public roots', async () => {
    const done = await setup({ AGENT_REPOS: await rig.repository('homelab') })
    expect(done.code).toBe(0)
    expect(done.stderr).toContain('WARN: no CA')
    expect(readdirSync(join(rig.home, '.agent/env.d'))).not.toContain('10-trust.sh')
  })

  test('asks the proxy for its CA, and waits for a proxy that is not there yet', async () => {
    let asked = 0
    const server = createServer((request, response) => {
      asked += 1
      response.statusCode = asked < 3 ? 503 : 200
      response.end(request.url === '/ca.crt?only=ours' ? testAuthority().certPem : 'no')
    })
    const port = await listen(server)
    const done = await setup({ IRON_PROXY_METRICS_URL: `http://127.0.0.1:${port}/` })
    server.close()
    expect(done.code).toBe(0)
    expect(await rig.read('.agent/ca-bundle.crt')).toContain(testAuthority().certPem.trim())
  })

  test.each([
    ['no name', { AGENT_NAME: '' }, 78, 'not set: AGENT_NAME'],
    ['a name that is a path', { AGENT_NAME: '../x' }, 78, 'AGENT_NAME: "../x"'],
    ['no persona', { PERSONA_DIR: '/nowhere' }, 66, 'no persona for testbot'],
    ['an unknown harness', { HARNESS: 'emacs' }, 78, 'HARNESS: there is no "emacs"; there are claude-code, codex'],
    ['an unknown channel', { CHANNEL: 'fax' }, 78, 'CHANNEL: there is no "fax"'],
    [
      'nothing about the channel',
      { CHANNEL: 'matrix' },
      78,
      'not set: MATRIX_HOMESERVER_URL MATRIX_BOT_USER_ID MATRIX_ALLOWED_USERS',
    ],
    ['a CA that is none', { IRON_PROXY_CA_CRT: 'hello' }, 78, 'no PEM certificate'],
    ['a CA file that is not there', { IRON_PROXY_CA_FILE: '/nowhere' }, 66, 'no readable file IRON_PROXY_CA_FILE=/nowhere'],
    [
      'no proxy',
      { IRON_PROXY_METRICS_URL: 'http://127.0.0.1:9', PROXY_WAIT_SECONDS: '1' },
      69,
      'no proxy at IRON_PROXY_METRICS_URL',
    ],
    ['a stub file nobody knows', { AGENT_STUB_FILES: 'bank' }, 78, 'there is no stub file for "bank"'],
    ['a repository that is none', { AGENT_REPOS: 'homelab' }, 78, 'AGENT_REPOS: "homelab" is neither'],
    ['a repository that cannot be cloned', { AGENT_REPOS: 'file:///nowhere/x.git' }, 69, 'could not clone file:///nowhere/x.git'],
  ] as const)('says what is wrong with %s', async (_case, env, code, message) => {
    const done = await setup(env)
    expect(done.stderr).toContain(message)
    expect(done.code).toBe(code)
  })

  test('refuses a CA that comes with its key, and two repositories that would be one folder', async () => {
    const { certPem } = testAuthority()
    const file = await rig.write('both.pem', `${certPem}${['-----BEGIN', 'PRIVATE KEY-----'].join(' ')}`)
    const key = await setup({ IRON_PROXY_CA_FILE: file })
    expect([key.code, key.stderr]).toEqual([78, expect.stringContaining('came with a private key')])
    const url = await rig.repository('homelab')
    const twice = await setup({ AGENT_REPOS: `${url} ${url}` })
    expect([twice.code, twice.stderr]).toEqual([78, expect.stringMatching(/would both be .*homelab/)])
  })

  test('puts stubs back where a login has been, and names what it found without its value', async () => {
    const real = `sk-ant-oat01-${randomBytes(20).toString('hex')}`
    await mkdir(join(rig.home, '.claude'))
    await writeFile(join(rig.home, '.claude/.credentials.json'), JSON.stringify({ claudeAiOauth: { accessToken: real } }))
    await writeFile(join(rig.home, '.git-credentials'), `https://x:${realLooking()}@github.com\n`)
    const done = await setup()
    expect(done.code).toBe(0)
    expect(done.stderr).toMatch(/\.credentials\.json did not hold the stubs: replaced; it held an Anthropic key/)
    expect(done.stderr).toMatch(/\.git-credentials did not hold the stubs: replaced; it held a GitHub token/)
    expect(await rig.read('.claude/.credentials.json')).toBe(template('claude-credentials.json'))
    expect(`${done.stdout}${done.stderr}`).not.toContain(real)
  })

  test('refuses a real value in the environment before it writes anything', async () => {
    const real = realLooking()
    const done = await setup({ GITHUB_TOKEN: real })
    expect(done.code).toBe(78)
    expect(done.stderr).toContain('the variable GITHUB_TOKEN holds what looks real: a GitHub token')
    expect(done.stderr).not.toContain(real)
    expect(homeFiles()).toEqual({})
  })

  test('refuses a real value in a file that is not its own to replace; REAL_VALUES=report goes on', async () => {
    await writeFile(join(rig.home, '.netrc'), `machine github.com password ${realLooking()}\n`)
    const refused = await setup()
    expect(refused.code).toBe(78)
    expect(refused.stderr).toContain('.netrc holds what looks real: a GitHub token')
    expect((await setup({ REAL_VALUES: 'report' })).code).toBe(0)
  })

  test('leaves a repository with work of the agent’s own as it is', async () => {
    const repository = await rig.repository('homelab')
    await setup({ AGENT_REPOS: repository })
    await rm(join(rig.folder, 'origin'), { recursive: true })
    const again = await setup({ AGENT_REPOS: repository })
    expect(again.code).toBe(0)
    expect(again.stderr).toContain('stays as it is: git pull --ff-only failed')
  })

  test.each([
    ['exit 3', 'WARN: SETUP_COMMAND exited with 3'],
    ['false | true', 'WARN: SETUP_COMMAND exited with 1'],
    ['sleep 30', 'WARN: SETUP_COMMAND did not end within 1 s'],
  ])('starts all the same when the operator’s own step fails: %s', async (command, message) => {
    const done = await setup({ SETUP_COMMAND: command, SETUP_TIMEOUT_SECONDS: '1' })
    expect(done.code).toBe(0)
    expect(done.stderr).toContain(message)
  })

  test('keeps what Claude Code wrote, unites what is denied, and refuses settings that are not JSON', async () => {
    await writeFile(join(rig.home, '.claude.json'), '{"numStartups": 7}')
    await rig.write('persona/settings.json', '{"model": "opus", "permissions": {"deny": ["Bash(rm:*)"]}}')
    expect((await setup()).code).toBe(0)
    expect(await rig.json('.claude.json')).toMatchObject({ numStartups: 7, hasCompletedOnboarding: true })
    const settings = (await rig.json('.claude/settings.json')) as { model: string; permissions: { deny: string[] } }
    expect(settings.model).toBe('opus')
    expect(settings.permissions.deny).toEqual(expect.arrayContaining(['Bash(rm:*)', 'Bash(kubectl delete:*)']))

    await rig.write('persona/settings.json', '{"model": ')
    const broken = await setup()
    expect(broken.code).toBe(78)
    expect(broken.stderr).toContain('a settings.json is not JSON')
  })

  test('denies Claude Code what its capabilities do not name', async () => {
    const done = await setup({ PERSONA_DIR: '/nowhere', AGENT_NAME: 'example-devbot' })
    expect(done.code).toBe(0)
    const settings = (await rig.json('.claude/settings.json')) as { permissions: { deny: string[] } }
    expect(settings.permissions.deny).toEqual(
      expect.arrayContaining(['WebSearch', 'Bash(kubectl:*)', 'Bash(git push --force:*)']),
    )

    await rig.write('persona/capabilities.yaml', 'version: 1\nagent: testbot\nsecretz: []\n')
    const broken = await setup()
    expect(broken.code).toBe(78)
    expect(broken.stderr).toContain('capabilities.yaml is not valid')
  })

  test('joins rooms with every byte of their names encoded, and only warns when it cannot', async () => {
    const paths: string[] = []
    const server = createServer((request, response) => {
      paths.push(`${request.url} ${request.headers.authorization}`)
      response.statusCode = paths.length > 1 ? 403 : 200
      response.end('{}')
    })
    const done = await setup({
      CHANNEL: 'matrix',
      MATRIX_HOMESERVER_URL: `http://127.0.0.1:${await listen(server)}`,
      MATRIX_BOT_USER_ID: '@testbot:example.com',
      MATRIX_ALLOWED_USERS: '@a:example.com',
      MATRIX_AUTO_JOIN_ROOMS: '#ops:example.com,!id:example.com',
    })
    server.close()
    expect(done.code).toBe(0)
    expect(paths).toEqual([
      '/_matrix/client/v3/join/%23ops%3Aexample.com Bearer proxy-token-matrix',
      '/_matrix/client/v3/join/!id%3Aexample.com Bearer proxy-token-matrix',
    ])
    expect(done.stderr).toContain('could not join !id:example.com: HTTP 403')
  })

  test.each([
    ['codex', '.codex/auth.json', 'codex-auth.json', '.codex/AGENTS.md'],
    ['gemini-cli', '.gemini/oauth_creds.json', 'gemini-oauth-creds.json', '.gemini/GEMINI.md'],
  ])('gives %s its own stub file and instructions', async (harness, file, stubs, memory) => {
    expect((await setup({ HARNESS: harness, AGENT_STUB_FILES: 'npm' })).code).toBe(0)
    expect(await rig.read(file)).toBe(template(stubs))
    expect(await rig.read(memory)).toContain('# Testbot')
    expect(await rig.read('.npmrc')).toBe(template('npmrc'))
  })

  test.each([
    ['acme/chat', { source: 'github', repo: 'acme/chat' }],
    ['https://git.example/chat.git', { source: 'git', url: 'https://git.example/chat.git' }],
    ['/opt/chat', { source: 'directory', path: '/opt/chat' }],
    ['', undefined],
  ])('takes a Slack plugin from the marketplace "%s"', async (marketplace, source) => {
    const env = {
      CHANNEL: 'slack',
      CHANNEL_PLUGIN: 'plugin:slack@chat',
      SLACK_ALLOWED_USERS: 'U1',
      CHANNEL_MARKETPLACE: marketplace,
    }
    expect((await setup(env)).code).toBe(0)
    const settings = (await rig.json('.claude/settings.json')) as { enabledPlugins: unknown; extraKnownMarketplaces?: unknown }
    expect(settings.enabledPlugins).toEqual({ 'slack@chat': true })
    expect(settings.extraKnownMarketplaces).toEqual(source && { chat: { source } })
  })

  test('leads clients that know of proxies to the explicit door', async () => {
    expect((await setup({ IRON_PROXY_URL: 'http://agent:a b@127.0.0.1:8080' })).code).toBe(0)
    const shown = await run('bash', ['-c', `. ${rig.home}/.agent/env.d/20-proxy.sh; echo "$HTTPS_PROXY $NODE_USE_ENV_PROXY"`])
    expect(shown.stdout).toBe('http://agent:a b@127.0.0.1:8080 1\n')
  })
})
