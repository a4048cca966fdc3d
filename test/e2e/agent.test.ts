/** An agent's own scripts against the running product: everything works, and nothing real is anywhere the agent can look. */
import { spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { appendFile, chmod, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { rootCertificates } from 'node:tls'
import { randomBytes } from 'node:crypto'
import { createServer } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeRig, missing, scripts, until, type Rig } from '../deploy/agent/rig.ts'
import { testAuthority } from '../kit/ca.ts'
import { findLeaks, makeCanary } from '../kit/canary.ts'
import { startChild, type Child } from '../kit/child.ts'
import { have, run, type Run } from '../kit/clients.ts'
import { startGitServer, type GitServer } from '../kit/git.ts'
import { listen } from '../kit/listen.ts'
import { headerOf, startUpstream, type Upstream } from '../kit/upstream.ts'
import { makeWorkspace, type Workspace } from '../kit/workspace.ts'

const policy = `
version: 1
agents:
  testbot:
    from: [{cidr: 127.0.0.1/32}]
credentials:
  claude:
    kind: oauth2
    stubs: {access: access-token-stub, refresh: refresh-token-stub}
    grant: {file: secrets/claude.json}
    tokenEndpoint: https://platform.claude.com/v1/oauth/token
    clientId: client-of-the-tests
    scopes: [user:inference]
    hosts: [api.anthropic.com]
  github: {kind: bearer, stub: proxy-token-github, secret: {file: secrets/github}, hosts: [api.github.com, github.com]}
rules:
  - {id: tokens, hosts: [platform.claude.com], methods: [POST], credentials: [claude]}
  - {id: api, hosts: [api.github.com], credentials: [github]}
  - {id: git, hosts: [github.com], git: {fetch: ["crew/*"], push: [crew/homelab]}, credentials: [github]}
`

const stack = new AsyncDisposableStack()
const said: Run[] = []
let files: Workspace
let github: GitServer
let api: Upstream
let claude: Upstream
let real: Readonly<Record<string, string>>
let proxy: Child
let rig: Rig

beforeAll(async () => {
  if (missing.length > 0) return
  files = stack.use(await makeWorkspace(policy, ['github']))
  const token = files.secrets['github'] ?? ''
  github = stack.use(await startGitServer({ certificate: testAuthority().leaf('github.com'), token }))
  await github.makeRepository('crew/homelab')
  api = stack.use(await startUpstream({ certificate: testAuthority().leaf('api.github.com') }))
  claude = stack.use(await startUpstream({ certificate: testAuthority().leaf('platform.claude.com') }))
  const login = { access_token: makeCanary(), refresh_token: makeCanary(), expires_at: Math.floor(Date.now() / 1000) + 86_400 }
  await writeFile(join(files.policies, 'secrets', 'claude.json'), JSON.stringify(login), { mode: 0o600 })
  real = { ...files.everSecret, access: login.access_token, refresh: login.refresh_token }
  const hosts = { 'github.com': github.port, 'api.github.com': api.port, 'platform.claude.com': claude.port }
  proxy = stack.use(await startChild({ files, hosts }))
  rig = stack.use(
    await makeRig({
      IRON_PROXY_URL: `http://127.0.0.1:${proxy.ports.proxy}`,
      IRON_PROXY_METRICS_URL: `http://127.0.0.1:${proxy.ports.metrics}`,
      IRON_PROXY_ADMIN_URL: `http://127.0.0.1:${proxy.ports.admin}`,
      AGENT_REPOS: 'crew/homelab',
      SYSTEM_ROOTS: await (async () => {
        const file = join(files.folder, 'roots.crt')
        await writeFile(file, `${rootCertificates[0]}\n`)
        return file
      })(),
    }),
  )
})

afterAll(async () => {
  await stack.disposeAsync()
})

/** As the agent would type it, in the environment that setup left. */
async function agent(code: string, env: Readonly<Record<string, string>> = {}): Promise<Run> {
  const done = await run('bash', ['-c', `. "${scripts}/lib.sh"; load_env; set +e; ${code}`], {
    cwd: rig.workspace,
    env: { ...rig.env, ...env },
  })
  said.push(done)
  return done
}

const told = (): string | undefined => headerOf(api.requests.at(-1)?.rawHeaders ?? [], 'authorization')

describe.skipIf(missing.length > 0)(`an agent${missing.length > 0 ? ` (skipped: no ${missing.join(', ')})` : ''}`, () => {
  test('is set up on an empty home, through the proxy', async () => {
    const done = await rig.script('setup.sh')
    said.push(done)
    expect(done.stderr).toContain('[setup] complete')
    expect(done.code).toBe(0)
    expect(readdirSync(join(rig.workspace, 'homelab'))).toContain('.git')
  })

  test('pushes with a stub, and the host sees the real token', async () => {
    const done = await agent(
      'cd homelab && git commit -q --allow-empty -m work && git push -q origin HEAD:refs/heads/testbot/work && git rev-parse HEAD',
    )
    expect(done).toMatchObject({ code: 0, stderr: '' })
    expect(await github.revision('crew/homelab', 'testbot/work')).toBe(done.stdout.trim())
    const basic = Buffer.from(`x-access-token:${files.secrets['github']}`).toString('base64')
    expect(github.requests.at(-1)?.authorization).toBe(`Basic ${basic}`)
  })

  test('uses curl, and Node’s fetch', async () => {
    for (const code of [
      'curl -sS -H "Authorization: Bearer $GH_TOKEN" https://api.github.com/user',
      `node -e 'await fetch("https://api.github.com/user", {headers: {authorization: "Bearer " + process.env.GH_TOKEN}}).then((r) => r.text()).then(console.log)' --input-type=module`,
    ]) {
      expect((await agent(code)).code).toBe(0)
      expect(told()).toBe(`Bearer ${files.secrets['github']}`)
    }
  })

  test.skipIf(!have('gh'))('uses gh (skipped when it is not installed)', async () => {
    await rm(join(rig.folder, 'bin', 'gh'))
    expect(await agent('gh api user --jq .target')).toMatchObject({ code: 0, stdout: '/user\n' })
    expect(told()).toBe(`token ${files.secrets['github']}`)
  })

  test('refreshes its login at the proxy, writes what it got, crashes, and is started again on stubs', async () => {
    await rig.fake(
      'claude',
      `[ ! -e "$HOME/asked" ] || exit 0
      curl -sS https://platform.claude.com/v1/oauth/token -H 'Content-Type: application/json' \\
        -d '{"grant_type": "refresh_token", "refresh_token": "refresh-token-stub", "client_id": "client-of-the-tests"}' |
        tee "$HOME/asked" | jq '{claudeAiOauth: {accessToken: .access_token, subscriptionType: null}}' >"$HOME/.claude/.credentials.json"
      kill -KILL $$`,
    )
    const loop = spawn(join(scripts, 'agent-loop.sh'), {
      env: { ...rig.env, BACKOFF_FIRST: '1' },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let log = ''
    loop.stderr.on('data', (bytes: Buffer) => (log += bytes.toString()))
    await until('the second end', () => log.includes('claude-code ended by itself'))
    loop.kill('SIGTERM')
    await until('its end', () => loop.exitCode === 0)
    said.push({ code: 0, stdout: log, stderr: '', bytes: Buffer.alloc(0), ms: 0 })
    expect(log).toMatch(/ended by SIGKILL[^]*\.credentials\.json did not hold the stubs: replaced/)
    expect(await rig.json('asked')).toMatchObject({
      access_token: 'access-token-stub',
      refresh_token: 'refresh-token-stub',
      scope: 'user:inference',
    })
    expect(await rig.json('.claude/.credentials.json')).toMatchObject({ claudeAiOauth: { subscriptionType: 'max' } })
    expect(claude.requests).toEqual([])
    await rm(join(rig.home, '.agent/agent'))
  })

  test('has a run id for each message that wakes it, and its records carry the right one', async () => {
    const ids: string[] = []
    for (const path of ['/first', '/second']) {
      expect((await rig.script('run-hook.sh', ['prompt'], { input: '{}' })).stderr).toBe('')
      ids.push(((await rig.json('.claude/run.json')) as { run_id: string }).run_id)
      await agent(`curl -sS -H "Authorization: Bearer $GH_TOKEN" https://api.github.com${path}`)
    }
    await rig.script('run-hook.sh', ['stop'])
    await agent('curl -sS https://api.github.com/after')
    const runOf = (path: string) => files.auditRecords().find((record) => record.path === path)
    await until('the last record', () => runOf('/after') !== undefined)
    expect(ids[0]).not.toBe(ids[1])
    expect([runOf('/first')?.runId, runOf('/second')?.runId]).toEqual(ids)
    expect(runOf('/after')?.runId).toBeUndefined()
  })

  test('for one task has stubs of its own, which are worth nothing when it is over', async () => {
    const asks = 'curl -sS -o /dev/null -w "%{http_code}" -H "Authorization: Bearer $GH_TOKEN" https://api.github.com/run'
    await rig.fake('claude', `${asks}; echo " $GH_TOKEN $HTTPS_PROXY"`)
    const env = {
      PROMPT: 'look',
      RUN_LABEL: 'a look',
      AGENT_STATE: join(rig.folder, 'once'),
      CURL_CA_BUNDLE: join(rig.home, '.agent/ca-bundle.crt'),
    }
    const done = await rig.script('run-once.sh', [], { env })
    const [status, stub = '', door = ''] = done.stdout.trim().split(' ')
    expect(done.stderr).toMatch(/run \w+ is revoked/)
    expect([status, stub]).toEqual(['200', expect.stringMatching(/^proxy-token-github-/)])
    expect(told()).toBe(`Bearer ${files.secrets['github']}`)
    for (const variables of [`GH_TOKEN='${stub}'`, `GH_TOKEN='${stub}' https_proxy='${door}'`]) {
      expect((await agent(`export ${variables}; ${asks}`)).stdout).not.toBe('200')
    }
    expect(api.requests.filter(({ target }) => target === '/run')).toHaveLength(1)
  })

  test('holds nothing real: not in its home, not in what was said, not in the environment of any process', async () => {
    const below = (folder: string): string[] =>
      readdirSync(folder, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name))
    const environments = readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map((pid) => `/proc/${pid}/environ`)
    const sinks = [...below(rig.home), ...below(rig.workspace), ...environments].flatMap((name) => {
      try {
        return [{ name, bytes: readFileSync(name) }]
      } catch {
        // A process that has ended.
        return []
      }
    })
    expect(sinks.length).toBeGreaterThan(20)
    for (const { stdout, stderr } of said) sinks.push({ name: 'output', bytes: Buffer.from(stdout + stderr) })
    expect(findLeaks(real, sinks)).toEqual([])
    expect(sinks.some(({ bytes }) => bytes.includes('proxy-token-github'))).toBe(true)
  })
})

describe.skipIf(missing.length > 0)('the doctor', () => {
  const doctor = async (env: Readonly<Record<string, string>> = {}) =>
    agent(`"${scripts}/doctor.sh"`, { DIRECT_ADDRESS: '127.0.0.1:9', ...env })

  test('finds nothing wrong with an agent that is well', async () => {
    const done = await doctor()
    expect(done.stdout).not.toContain('FAULT')
    expect(done.stdout.match(/^ok /gm)?.length).toBeGreaterThan(10)
    expect(done.code).toBe(0)
  })

  interface Fault {
    readonly plant?: () => Promise<unknown>
    readonly env?: Readonly<Record<string, string>>
    readonly says: string | RegExp
    readonly heal?: () => Promise<unknown>
  }
  const home = (path: string): string => join(rig.home, path)
  const setup = () => rig.script('setup.sh')
  const faults: Readonly<Record<string, Fault>> = {
    'a stub file that is gone': { plant: () => rm(home('.claude/.credentials.json')), says: '.credentials.json is missing' },
    'a login in its place': {
      plant: () => writeFile(home('.claude/.credentials.json'), '{}'),
      says: '.credentials.json is not the stub file',
    },
    'a stub file that others read': { plant: () => chmod(home('.claude/.credentials.json'), 0o644), says: 'others can read' },
    'a real value in a file': {
      plant: () => writeFile(home('.netrc'), `password ghp_${randomBytes(18).toString('hex')}`),
      says: /real values: .*\.netrc holds what looks real: a GitHub token/,
      heal: () => rm(home('.netrc')),
    },
    'a real value in a variable': {
      env: { API_KEY: `ghp_${randomBytes(18).toString('hex')}` },
      says: 'the variable API_KEY holds what looks real',
    },
    'no trust': {
      plant: () => rm(home('.agent/env.d/10-trust.sh')),
      says: 'no client was told of the proxy’s CA'.replace('’', "'"),
    },
    'another CA than the proxy’s': {
      plant: async () => writeFile(home('.agent/ca-bundle.crt'), testAuthority().certPem),
      says: /CA: the proxy signs with a CA that is not in the bundle[^]*curl does not trust who answers[^]*Node cannot fetch/,
    },
    'git without its stub': { plant: () => rm(home('.git-credentials')), says: '.git-credentials is missing' },
    'git that trusts anybody': {
      plant: () => appendFile(home('.gitconfig'), '[http]\n\tsslVerify = false\n'),
      says: 'http.sslVerify is off',
      heal: () => run('git', ['config', '--global', '--unset', 'http.sslVerify'], { env: rig.env }),
    },
    'settings that are not JSON': {
      plant: () => writeFile(home('.claude/settings.json'), '{'),
      says: 'settings.json is not JSON',
    },
    'a hook that is not there': {
      plant: () =>
        writeFile(home('.claude/settings.json'), '{"hooks":{"Stop":[{"hooks":[{"command":"\\"$AGENT_SCRIPTS\\"/gone.sh"}]}]}}'),
      says: /hooks: the hook .*gone\.sh cannot be run/,
    },
    'another agent in its place': {
      plant: () => appendFile(home('.agent/env.d/40-agent.sh'), 'export AGENT_NAME=otherbot\n'),
      says: 'the proxy takes this agent for testbot',
    },
    'a repository that is not there': { env: { AGENT_REPOS: 'crew/other' }, says: 'crew/other is not checked out' },
    'a program that is not installed': {
      env: { HARNESS: 'custom', AGENT_COMMAND: 'no-such-agent' },
      says: 'no-such-agent is not installed',
    },
    'a proxy that is gone': { env: { IRON_PROXY_METRICS_URL: 'http://127.0.0.1:9' }, says: 'the proxy does not show its CA' },
    'a host that it should not reach': {
      env: { DENIED_URL: 'https://api.github.com/' },
      says: 'https://api.github.com/ was not refused by the proxy',
    },
    'names that lead elsewhere': {
      env: { IRON_PROXY_ADDRESS: '10.43.0.53', PROBE_URL: 'http://localhost/' },
      says: /DNS: names lead to 127\.0\.0\.1/,
    },
    'a heart that stopped': {
      plant: () => writeFile(home('.agent/agent'), 'state=running\n'),
      says: 'heartbeat: no heartbeat yet',
      heal: () => rm(home('.agent/agent')),
    },
  }

  test.each(Object.entries(faults))('names %s', async (_name, { plant, env, says, heal }) => {
    await plant?.()
    const done = await doctor(env)
    expect(done.stdout).toMatch(says instanceof RegExp ? says : new RegExp(`FAULT.*${RegExp.escape(says)}`))
    expect(done.code).toBe(1)
    await heal?.()
    if (plant) await setup()
  })

  test('names a way around the proxy', async () => {
    const server = createServer((socket) => socket.destroy())
    const done = await doctor({ DIRECT_ADDRESS: `127.0.0.1:${await listen(server)}` })
    server.close()
    expect(done.stdout).toMatch(/FAULT {2}no way around: .* can be reached without the proxy/)
  })
})
