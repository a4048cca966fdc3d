/** `iron-proxy doctor` beside a real proxy: well, and then with one fault planted at a time. */
import { randomBytes } from 'node:crypto'
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { PassThrough } from 'node:stream'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createAuthority } from '#ca/authority.ts'
import type { Terminal } from '#cli/command.ts'
import type { Finding } from '#cli/doctor/finding.ts'
import { trustVariables } from '#cli/env.ts'
import { dispatch } from '#cli/index.ts'
import { freePorts } from '../kit/child.ts'
import { have } from '../kit/clients.ts'
import { closer, listen } from '../kit/listen.ts'
import { scenario, type Scenario } from '../kit/scenario.ts'

const policy = `
version: 1
agents: {coder: {from: [{cidr: 127.0.0.1/32}]}}
credentials:
  github: {kind: bearer, stub: proxy-token-github, secret: {file: secrets/github}, hosts: [github.com]}
rules: [{id: github, hosts: [github.com], credentials: [github]}]
`
const loginless = `
  claude:
    kind: oauth2
    stubs: {access: access-token-stub, refresh: refresh-token-stub}
    tokenEndpoint: https://platform.claude.com/v1/oauth/token
    clientId: client
    hosts: [api.anthropic.com]
rules: [{id: claude, hosts: [api.anthropic.com], credentials: [claude]}, `

let scene: Scenario<object>
const cleanUp = new AsyncDisposableStack()
/** Hash of the policy under which all is well. */
let well: string | undefined
let closed: number
let open: number
let folder: string
let options: Record<string, string>
let env: Record<string, string>

beforeAll(async () => {
  scene = cleanUp.use(await scenario({ policy, secrets: ['github'], upstreams: {} }))
  well = scene.app.snapshotHash()
  closed = (await freePorts(1))[0] ?? 1
  const server = createServer()
  open = await listen(server)
  cleanUp.defer(closer(server))
})
afterAll(() => cleanUp.disposeAsync())

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'doctor-'))
  options = {
    'resolv-conf': await file('resolv.conf', 'search agents.svc.cluster.local\nnameserver 127.0.0.1\noptions ndots:2\n'),
    'dns-port': String(scene.ports.dns),
    'https-port': String(scene.ports.https),
    direct: `127.0.0.1:${closed}`,
    resolvers: `127.0.0.1:${closed}`,
    'service-account': join(folder, 'no-token'),
  }
  // Without a PATH no client is found, and each run takes a moment less.
  env = { HOME: folder, PATH: folder, ...trustVariables(scene.files.caFile, scene.files.caFile) }
})
afterEach(async () => {
  await rm(folder, { recursive: true })
  if (scene.app.snapshotHash() !== well) await scene.editPolicy(policy)
})

async function file(name: string, text: string): Promise<string> {
  const path = join(folder, name)
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, text)
  return path
}

async function examine(): Promise<{ readonly code: number; readonly findings: readonly Finding[]; readonly text: string }> {
  const stdout = new PassThrough()
  const terminal = {
    stdout,
    stderr: new PassThrough().resume(),
    colour: false,
    env,
    node: process.version,
    uid: 0,
  } as unknown as Terminal
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, value])
  const code = await dispatch(['doctor', '--json', ...args], terminal)
  const text = String(stdout.read())
  return { code, text, findings: JSON.parse(text) as Finding[] }
}

test('finds nothing where all is well', async () => {
  const { code, findings } = await examine()
  expect(findings.filter(({ result }) => result === 'fail')).toEqual([])
  expect(findings.map(({ check, result }) => `${check} ${result}`)).toEqual([
    'resolver pass',
    'dns pass',
    'egress pass',
    'foreign-dns pass',
    'identity pass',
    'credentials pass',
    'trust pass',
    'trust-curl skip',
    'trust-git skip',
    'trust-node skip',
    'trust-python3 skip',
    'secret-files pass',
    'service-account pass',
    'secrets pass',
  ])
  expect(findings.find(({ check }) => check === 'identity')?.detail).toBe('we are coder, at 127.0.0.1')
  expect(code).toBe(0)
})

const key = (): string => `ghp_${randomBytes(20).toString('hex').slice(0, 36)}`

describe('a planted fault is named, alone, with what to do:', () => {
  test.each<[string, () => unknown, string, RegExp]>([
    [
      'a second nameserver',
      async () => (options['resolv-conf'] = await file('resolv.conf', 'nameserver 127.0.0.1\nnameserver 192.0.2.53\n')),
      'resolver',
      /asked of 192\.0\.2\.53 too/,
    ],
    [
      'another resolver at that address',
      () => (options['dns-port'] = String(scene.resolver.port)),
      'dns',
      /it is another resolver/,
    ],
    ['a proxy whose DNS is silent', () => (options['dns-port'] = String(closed)), 'dns', /does not answer/],
    [
      'a way out over TCP',
      () => (options['direct'] = `127.0.0.1:${closed},127.0.0.1:${open}`),
      'egress',
      /reached without the proxy/,
    ],
    [
      'a foreign resolver that answers',
      () => (options['resolvers'] = `127.0.0.1:${scene.resolver.port}`),
      'foreign-dns',
      /answers us/,
    ],
    ['a proxy that takes no TLS', () => (options['https-port'] = String(closed)), 'identity', /cannot be asked who we are/],
    [
      'a login that has ended',
      () => scene.editPolicy(policy.replace('rules: [', loginless)),
      'credentials',
      /claude has (ended|no value)/,
    ],
    [
      'a credential whose file is missing',
      () => scene.editPolicy(policy.replace('secrets/github', 'secrets/missing')),
      'credentials',
      /github has no value/,
    ],
    ['a client that is not told whom to trust', () => delete env['GIT_SSL_CAINFO'], 'trust', /not set: GIT_SSL_CAINFO/],
    [
      'a bundle of another CA',
      async () =>
        (env['REQUESTS_CA_BUNDLE'] = await file(
          'old.crt',
          createAuthority({ commonName: 'Old', days: 1, now: Date.now() }).certPem,
        )),
      'trust',
      /REQUESTS_CA_BUNDLE: .* does not have the proxy’s CA/,
    ],
    [
      'a bundle that is not mounted',
      () => (env['NODE_EXTRA_CA_CERTS'] = join(folder, 'gone.crt')),
      'trust',
      /NODE_EXTRA_CA_CERTS: .* cannot be read/,
    ],
    ['a live key in a variable', () => (env['GH_TOKEN'] = key()), 'secrets', /GH_TOKEN holds a GitHub token/],
    [
      'a live key in a file',
      () => file('.git-credentials', `https://x:${key()}@github.com\n`),
      'secret-files',
      /~\/\.git-credentials holds a GitHub token/,
    ],
    [
      'a ServiceAccount token',
      async () => (options['service-account'] = await file('token', 'x')),
      'service-account',
      /is mounted/,
    ],
  ])('%s', async (_, plant, check, words) => {
    await plant()
    const { code, findings, text } = await examine()
    const failed = findings.filter(({ result }) => result === 'fail')
    const expected = check === 'identity' ? [check, 'trust'] : [check]
    expect([...new Set(failed.map((each) => each.check))]).toEqual(expected)
    expect(failed[0]?.detail).toMatch(words)
    expect(failed.every(({ remedy }) => remedy !== undefined && remedy !== '')).toBe(true)
    expect(code).toBe(1)
    expect(text).not.toMatch(/ghp_[0-9a-f]/)
  })

  test.each([
    ['an address of no agent', 'coder: {from: [{cidr: 192.0.2.1/32}]}', /agent_unknown/],
    [
      'an address of two agents',
      'coder: {from: [{cidr: 127.0.0.1/32}]}, other: {from: [{cidr: 127.0.0.0/8}]}',
      /agent_ambiguous/,
    ],
  ])('%s', async (_, agents, words) => {
    await scene.editPolicy(policy.replace('coder: {from: [{cidr: 127.0.0.1/32}]}', agents))
    const { code, findings } = await examine()
    const failed = findings.filter(({ result }) => result === 'fail')
    // DNS is refused to strangers too, and says so.
    expect(failed.map(({ check }) => check)).toEqual(['dns', 'identity'])
    expect(failed[0]?.detail).toMatch(/refuses to answer, since it knows no single agent/)
    expect(failed.find(({ check }) => check === 'identity')?.detail).toMatch(words)
    expect(code).toBe(1)
  })
})

test('an agent whose unknown names do not exist is well', async () => {
  await scene.editPolicy(`${policy}dns: {deny: refuse}\n`)
  const { code, findings } = await examine()
  expect(findings.filter(({ result }) => result === 'fail')).toEqual([])
  expect(code).toBe(0)
})

test.skipIf(!have('curl') || !have('git') || !have('python3'))(
  'each client that is here is run, and one with settings of its own is found out (needs curl, git and Python)',
  async () => {
    env['PATH'] = process.env['PATH'] ?? ''
    // A version manager's shim finds its interpreter through HOME.
    const python = join(folder, 'bin', 'python3')
    await file('bin/python3', `#!/bin/sh\nHOME=${process.env['HOME'] ?? ''} exec "${which('python3')}" "$@"\n`)
    await chmod(python, 0o755)
    env['PATH'] = `${join(folder, 'bin')}:${env['PATH']}`
    const results = (findings: readonly Finding[]) =>
      findings.filter(({ check }) => check.startsWith('trust-')).map(({ check, result }) => `${check} ${result}`)
    expect(results((await examine()).findings)).toEqual([
      'trust-curl pass',
      'trust-git pass',
      'trust-node pass',
      'trust-python3 pass',
    ])
    const old = await file('old.crt', createAuthority({ commonName: 'Old', days: 1, now: Date.now() }).certPem)
    await file('.curlrc', `cacert = ${old}\n`)
    env['SSL_CERT_FILE'] = old
    expect(results((await examine()).findings)).toEqual([
      'trust-curl fail',
      'trust-git pass',
      'trust-node pass',
      'trust-python3 fail',
    ])
  },
)

function which(program: string): string {
  return (
    (process.env['PATH'] ?? '')
      .split(':')
      .map((each) => join(each, program))
      .find((path) => existsSync(path)) ?? program
  )
}
