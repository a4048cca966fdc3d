/** The examples that users read are promises: they load unchanged, and each comment in them holds. */
import { copyFile, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parse } from 'yaml'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { AuditRecord } from '#contracts/audit-record.ts'
import { settingsSchema } from '#config/settings-schema.ts'
import { askUdp, question, read } from '../dns/questions.ts'
import { testAuthority } from '../kit/ca.ts'
import { makeCanary } from '../kit/canary.ts'
import { freePorts, startChild, type Child } from '../kit/child.ts'
import { curl, run, type Run } from '../kit/clients.ts'
import { throughDoor, type Door } from '../kit/doors.ts'
import { startResolver, type Resolver } from '../kit/resolver.ts'
import { headerOf, startUpstream, type SeenRequest, type Upstream } from '../kit/upstream.ts'
import { within } from '../kit/within.ts'
import { makeWorkspace, type Workspace } from '../kit/workspace.ts'

const top = join(import.meta.dirname, '..', '..')
const bin = join(top, 'src', 'bin.js')
const configFile = join(top, 'test', 'fixtures', 'config.example.yaml')
const policyFile = join(top, 'policies', 'examples', 'crew.yaml')
const policy = await readFile(policyFile, 'utf8')

const secretNames = ['devbot-proxy-password', 'github-token', 'github-app.pem', 'claude-oauth.json', 'anthropic-api-key']
const openaiKey = makeCanary()
const claudeToken = makeCanary()
const devbot = '127.0.1.5'
const infrabot = '127.0.2.5'
const newbot = '127.0.3.5'
const stranger = '127.0.9.9'

const hosts = [
  'api.github.com',
  'github.com',
  'uploads.github.com',
  'api.openai.com',
  'api.anthropic.com',
  'codeload.github.com',
  'status.example.com',
  'pinned.example.com',
  'unlisted.example.com',
] as const

const stack = new AsyncDisposableStack()
let files: Workspace
let upstream: Upstream
let plain: Upstream
let resolver: Resolver
let child: Child
let dns: number

beforeAll(async () => {
  upstream = stack.use(await startUpstream({ certificate: testAuthority().leaf(...hosts) }))
  plain = stack.use(await startUpstream({ certificate: testAuthority().leaf('status.example.com'), plain: true }))
  resolver = stack.use(await startResolver({ 'web.agents.svc.cluster.local': ['10.43.1.2'] }))
  // The one thing that cannot be asked on loopback is the cluster's own resolver.
  files = stack.use(await makeWorkspace(policy.replace('10.43.0.10', `127.0.0.1:${resolver.port}`), secretNames))
  const seed = { access_token: claudeToken, refresh_token: makeCanary(), expires_at: Math.floor(Date.now() / 1000) + 86_400 }
  await writeFile(join(files.policies, 'secrets', 'claude-oauth.json'), JSON.stringify(seed))
  dns = (await freePorts(1))[0] ?? 0
  const ports = Object.fromEntries(hosts.map((host) => [host, upstream.port]))
  child = stack.use(
    await startChild({
      files,
      hosts: { ...ports, 'status.example.com': plain.port },
      settings: { listen: { dns } },
      env: { OPENAI_API_KEY: openaiKey },
    }),
  )
  expect(child.started, child.stderr).toBe(true)
})

afterAll(async () => {
  await stack.disposeAsync()
})

interface Told {
  readonly done: Run
  readonly status: number
  readonly code: string | undefined
  readonly seen: readonly SeenRequest[]
}

/** What an agent at this address is told, and what the hosts saw of it. */
async function ask(from: string, url: string, args: readonly string[] = [], door: Door = 'transparent'): Promise<Told> {
  const { curl: settings, env } = throughDoor(door, child.ports, files.caFile)
  const before = [upstream.requests.length, plain.requests.length]
  const done = await curl([...settings(url), '--interface', from, ...args, '-w', '\\n%{http_code}', url], { env })
  const end = done.stdout.lastIndexOf('\n')
  const code = /"code":"(\w+)"/.exec(done.stdout)?.[1]
  const seen = [...upstream.requests.slice(before[0]), ...plain.requests.slice(before[1])]
  return { done, status: Number(done.stdout.slice(end + 1)), code, seen }
}

function seenHeader({ seen }: Told, name: string): string | undefined {
  return headerOf(seen[0]?.rawHeaders ?? [], name)
}

async function recorded(holds: (record: AuditRecord) => boolean): Promise<AuditRecord | undefined> {
  await within(() => files.auditRecords().some(holds), 2000)
  return files.auditRecords().findLast(holds)
}

const bearer = (value: string) => ['-H', `authorization: Bearer ${value}`]
const basic = (value: string) => ['--user', `agent:${value}`]

describe('the files as they are', () => {
  test('pass `check` once their secrets are in place, and say what is not active yet', async () => {
    await using place = await makeWorkspace(policy, secretNames)
    await copyFile(configFile, join(place.folder, 'config.yaml'))
    await copyFile(policyFile, join(place.policies, 'policy.yaml'))
    const command = [bin, 'check', '--config', 'config.yaml']
    const sound = await run(process.execPath, command, { cwd: place.folder, env: { OPENAI_API_KEY: openaiKey } })
    expect(sound).toMatchObject({ code: 0, stderr: '' })
    expect(sound.stdout).not.toMatch(/\berrors?; /)
    expect(sound.stdout).not.toMatch(/(?:meter|budget).*not active yet/)
    const unset = await run(process.execPath, command, { cwd: place.folder })
    expect(unset.code).not.toBe(0)
    expect(unset.stdout).toMatch(/policy\.yaml:\d+:\d+ .*OPENAI_API_KEY/)
  })

  test('the settings are the defaults; a flag goes before the environment, and that before the file', async () => {
    const written: unknown = parse(await readFile(configFile, 'utf8'))
    const [said, defaults] = [settingsSchema.parse(written), settingsSchema.parse({})]
    // The file opens the admin door on a port; by default it is a socket that only its owner can reach.
    expect(defaults.listen.admin).toEqual({ socket: '.iron-proxy/admin.sock' })
    expect(said).toEqual({ ...defaults, listen: { ...defaults.listen, admin: { address: '127.0.0.1', port: 9465 } } })
    const env = { IRON_PROXY_LISTEN_DNS: '5301', IRON_PROXY_LISTEN_HTTP: '5302' }
    const command = [bin, 'check', '--print', '--config', configFile, '--listen-http', '5303', join(top, 'policies')]
    const { stdout } = await run(process.execPath, command, { env })
    expect(stdout).toMatch(/^listen\.dns +"5301" +\(env\)$/m)
    expect(stdout).toMatch(/^listen\.http +"5303" +\(flag\)$/m)
    expect(stdout).toMatch(/^listen\.https +"127\.0\.0\.1:10443" +\(file\)$/m)
  })
})

describe('who may speak', () => {
  test.each([
    [devbot, 'devbot'],
    [infrabot, 'infrabot'],
  ])('%s is %s', async (from, agent) => {
    expect(await ask(from, 'https://api.github.com/user')).toMatchObject({ status: 200 })
    expect(await recorded((record) => record.peer === from && record.type === 'request')).toMatchObject({
      agent,
      rule: 'github-api',
    })
  })

  test('an address of no agent is refused', async () => {
    expect(await ask(stranger, 'https://api.github.com/user')).toMatchObject({ status: 403, code: 'agent_unknown', seen: [] })
  })

  test('devbot may come from elsewhere with its proxy password, at the explicit proxy only', async () => {
    const withPassword = (password: string) => ['--proxy-user', `devbot:${password}`]
    const right = withPassword(files.secrets['devbot-proxy-password'] ?? '')
    expect(await ask(stranger, 'https://api.github.com/user', right, 'connect')).toMatchObject({ status: 200 })
    expect((await ask(stranger, 'https://api.github.com/user', withPassword('wrong'), 'connect')).seen).toEqual([])
    expect((await ask(stranger, 'https://api.github.com/user', right)).seen).toEqual([])
  })

  test('in report mode what would be refused passes without any credential, and is recorded so', async () => {
    const unlisted = await ask(newbot, 'https://unlisted.example.com/anything')
    expect(unlisted.status).toBe(200)
    const host = 'unlisted.example.com'
    expect(await recorded((record) => record.host === host && record.type === 'request')).toMatchObject({
      verdict: 'would_deny',
      code: 'host_denied',
      agent: 'newbot',
      swaps: [],
    })
    const notGranted = await ask(newbot, 'https://api.github.com/user', bearer('proxy-token-github'))
    expect(notGranted.status).toBe(200)
    expect(seenHeader(notGranted, 'authorization')).not.toContain(files.secrets['github-token'])
    expect(
      await recorded((record) => record.agent === 'newbot' && record.host === 'api.github.com' && record.type === 'request'),
    ).toMatchObject({
      verdict: 'would_deny',
      code: 'stub_wrong_agent',
      swaps: [],
    })
    expect((await ask(devbot, 'https://unlisted.example.com/anything')).code).toBe('host_denied')
  })
})

describe('what is swapped for what', () => {
  test.each([
    ['as Bearer', bearer('proxy-token-github'), (value: string) => `Bearer ${value}`],
    ['as token', ['-H', 'authorization: token proxy-token-github'], (value: string) => `token ${value}`],
    [
      'as a password',
      basic('proxy-token-github'),
      (value: string) => `Basic ${Buffer.from(`agent:${value}`).toString('base64')}`,
    ],
  ])('github’s stub %s', async (_, args, expected) => {
    for (const host of ['api.github.com', 'uploads.github.com']) {
      const told = await ask(infrabot, `https://${host}/user`, args)
      expect(told.status).toBe(200)
      expect(seenHeader(told, 'authorization')).toBe(expected(files.secrets['github-token'] ?? ''))
    }
  })

  test('a kind `header` only in the header it names', async () => {
    const openai = await ask(devbot, 'https://api.openai.com/v1/models', bearer('sk-stub-openai'))
    expect(seenHeader(openai, 'authorization')).toBe(`Bearer ${openaiKey}`)
    const anthropic = await ask(devbot, 'https://api.anthropic.com/v1/models', ['-H', 'x-api-key: sk-ant-stub'])
    expect(seenHeader(anthropic, 'x-api-key')).toBe(files.secrets['anthropic-api-key'])
    const misplaced = await ask(devbot, 'https://api.anthropic.com/v1/models', bearer('sk-ant-stub'))
    expect(misplaced).toMatchObject({ status: 403, code: 'stub_misplaced', seen: [] })
  })

  test.each([
    ['a stub on another host', 'https://api.openai.com/v1/models', () => bearer('proxy-token-github'), 'stub_wrong_host'],
    ['a part of a longer token', 'https://api.github.com/user', () => bearer('proxy-token-github-x'), 'foreign_credential'],
    ['a credential of somebody else', 'https://api.github.com/user', () => bearer('somebody-else'), 'foreign_credential'],
    ['the real value', 'https://api.github.com/user', () => bearer(files.secrets['github-token'] ?? ''), 'real_value_seen'],
    ['a stub on plain HTTP', 'http://status.example.com/', () => bearer('proxy-token-github'), 'stub_wrong_host'],
  ])('%s is refused and never leaves', async (_, url, args, code) => {
    expect(await ask(devbot, url, args())).toMatchObject({ status: 403, code, seen: [] })
  })

  test('claude’s grant is the proxy’s: the access stub is swapped, and an agent’s own refresh is answered here', async () => {
    const told = await ask(devbot, 'https://api.anthropic.com/v1/models', bearer('access-token-stub'))
    expect(told.status).toBe(200)
    expect(seenHeader(told, 'authorization')).toBe(`Bearer ${claudeToken}`)
    for (const host of ['platform.claude.com', 'console.anthropic.com']) {
      const call = (refresh: string) => [
        '-H',
        'content-type: application/json',
        '-d',
        JSON.stringify({ grant_type: 'refresh_token', refresh_token: refresh }),
      ]
      const stubs = await ask(devbot, `https://${host}/v1/oauth/token`, call('refresh-token-stub'))
      expect(stubs).toMatchObject({ status: 200, seen: [] })
      expect(stubs.done.stdout).toContain('"access_token":"access-token-stub"')
      expect(await ask(devbot, `https://${host}/v1/oauth/token`, call('another'))).toMatchObject({
        status: 403,
        code: 'token_call_refused',
        seen: [],
      })
    }
  })

  test('a GitHub App whose key is no key serves nobody, and its stub never leaves', async () => {
    const told = await ask(infrabot, 'https://api.github.com/user', bearer('proxy-token-github-homelab'))
    expect(told).toMatchObject({ status: 503, code: 'credential_unavailable', seen: [] })
  })
})

describe('what may be reached', () => {
  test('a repository is not deleted, and the agent reads why; what is in it may be', async () => {
    const told = await ask(devbot, 'https://api.github.com/repos/crew/homelab', ['-X', 'DELETE'])
    expect(told).toMatchObject({ status: 403, code: 'rule_denied', seen: [] })
    expect(told.done.stdout).toContain('agents do not delete repositories; ask in #infra')
    expect((await ask(devbot, 'https://api.github.com/repos/crew/homelab/issues/1', ['-X', 'DELETE'])).status).toBe(200)
  })

  test.each([
    ['openai is for devbot', infrabot, 'https://api.openai.com/v1/models', [], 'host_denied'],
    ['openai is /v1 only', devbot, 'https://api.openai.com/v2/models', [], 'request_denied'],
    ['a token endpoint takes POST only', devbot, 'https://platform.claude.com/v1/oauth/token', [], 'request_denied'],
    ['downloads are not uploads', devbot, 'https://codeload.github.com/a', ['-X', 'POST'], 'request_denied'],
    [
      'nothing is injected into downloads',
      devbot,
      'https://codeload.github.com/a',
      bearer('proxy-token-github'),
      'stub_wrong_host',
    ],
    ['only the status page is plain', devbot, 'http://api.github.com/', [], 'plain_denied'],
    ['other ports are not', devbot, 'https://api.github.com:8443/', [], 'port_denied', 'connect'],
  ] as const)('%s', async (_, from, url, args, code, door?: Door) => {
    expect((await ask(from, url, args, door)).seen).toEqual([])
    const { hostname } = new URL(url)
    expect(await recorded((record) => record.host === hostname && record.code === code)).toMatchObject({
      peer: from,
      verdict: 'deny',
    })
  })

  test.each([
    ['/any/repo.git/info/refs?service=git-upload-pack', 200],
    ['/any/repo.git/info/refs?service=git-receive-pack', 403],
    ['/sherodtaylor/homelab.git/info/refs?service=git-receive-pack', 200],
    ['/sherodtaylor/homelab/info/refs?service=git-receive-pack', 200],
    ['/login', 403],
  ])('git over HTTPS: github.com%s is %i', async (path, status) => {
    const told = await ask(devbot, `https://github.com${path}`, basic('proxy-token-github'))
    expect(told.status).toBe(status)
    expect(told.seen).toHaveLength(status === 200 ? 1 : 0)
  })

  test('a download is reached', async () => {
    expect(await ask(devbot, 'https://codeload.github.com/crew/homelab/tar.gz/main')).toMatchObject({ status: 200 })
  })

  test('the status page answers on plain HTTP', async () => {
    expect(await ask(devbot, 'http://status.example.com/')).toMatchObject({ status: 200 })
  })

  test('the pinned vendor shows its own certificate, and nobody reads what is said to it', async () => {
    const own = await ask(devbot, 'https://pinned.example.com/secret-path', ['--cacert', files.upstreamCaFile])
    expect(own).toMatchObject({ status: 200, seen: [{ target: '/secret-path' }] })
    expect((await ask(devbot, 'https://pinned.example.com/')).done.code).toBe(60)
    const record = await recorded(({ host, event }) => host === 'pinned.example.com' && event === 'close')
    expect(record).toMatchObject({ type: 'tunnel', rule: 'pinned-vendor', verdict: 'allow' })
    expect(files.audit()).not.toContain('secret-path')
  })
})

describe('names that go around the proxy', () => {
  const answers = async (name: string, type: 'A' | 'AAAA') => read(await askUdp(dns, devbot, question(name, type))).answers.join()

  test.each([
    ['a name that goes through the proxy', 'api.github.com', 'A', /^api\.github\.com A \d+ 127\.0\.0\.1$/],
    ['its IPv6 address', 'api.github.com', 'AAAA', /^$/],
    ['an unreachable name', 'unlisted.example.com', 'A', /^unlisted\.example\.com A \d+ 127\.0\.0\.1$/],
    ['a record', 'matrix.lab.example.com', 'A', /^matrix\.lab\.example\.com A \d+ 10\.43\.7\.7$/],
    ['a name of the cluster', 'web.agents.svc.cluster.local', 'A', /^web\.agents\.svc\.cluster\.local A \d+ 10\.43\.1\.2$/],
    ['an unknown name of the cluster', 'none.cluster.local', 'A', /^$/],
  ] as const)('%s', async (_, name, type, expected) => {
    expect(await answers(name, type)).toMatch(expected)
    const forwarded = resolver.packets.filter((packet) => packet.name.toLowerCase() === name)
    expect(forwarded.length > 0).toBe(name.endsWith('cluster.local'))
  })
})
