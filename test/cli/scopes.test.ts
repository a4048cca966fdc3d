import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parse, parseAllDocuments, stringify } from 'yaml'
import { claudeOf } from '#cli/scopes/claude.ts'
import { policyOf } from '#cli/scopes/policy.ts'
import { rbacOf } from '#cli/scopes/rbac.ts'
import { readCapabilities } from '#cli/scopes/capabilities.ts'
import { formatIssue } from '#config/issue.ts'
import { decide } from '#policy/decide.ts'
import { dispatched } from '../kit/dispatched.ts'
import { agentOf, askOf, loadText, snapshotOf } from '../kit/policy.ts'
import { scenario } from '../kit/scenario.ts'
import { startUpstream } from '../kit/upstream.ts'

const top = new URL('../..', import.meta.url).pathname
const examples = ['devbot', 'infrabot', 'pmbot'].map((name) => join(top, `deploy/agent/agents/example-${name}/capabilities.yaml`))

let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'iron-proxy-scopes-'))
})

afterAll(() => rm(folder, { recursive: true }))

async function read(text: string) {
  const file = join(folder, 'capabilities.yaml')
  await writeFile(file, `version: 1\nagent: bot\n${text}`)
  const { capabilities, issues } = readCapabilities(file, await readFile(file))
  return { capabilities, problems: issues.map((issue) => formatIssue(issue).replace(file, 'f')) }
}

/** The three layers, each asked in its own words. */
async function layersOf(text: string) {
  const { capabilities, problems } = await read(text)
  if (!capabilities) throw new Error(problems.join('\n'))
  const { rules } = policyOf(capabilities)
  const credentials = Object.fromEntries(
    capabilities.secrets.map((id) => [
      id,
      {
        kind: 'bearer',
        stub: `proxy-token-${id}`,
        secret: { env: 'X' },
        hosts: ['github.com', 'api.github.com', 'matrix.test', 'api.test'],
      },
    ]),
  )
  const snapshot = await snapshotOf(
    stringify({ agents: { bot: { from: [{ cidr: '10.0.0.1' }] }, other: { from: [{ cidr: '10.0.0.2' }] } }, credentials, rules }),
  )
  const { deny } = claudeOf(capabilities).permissions
  const roles = rbacOf(capabilities).filter(({ kind }) => kind === 'Role') as unknown as {
    rules: { resources: string[]; verbs: string[] }[]
  }[]
  return {
    snapshot,
    proxy: (ask: string, agent = 'bot') => decide(snapshot.policy, agentOf(snapshot, agent), askOf(ask)).kind,
    credentials: (ask: string) => {
      const verdict = decide(snapshot.policy, agentOf(snapshot, 'bot'), askOf(ask))
      return verdict.kind === 'allow' ? verdict.rule?.credentials : undefined
    },
    /** Whether Claude is told not to: by a tool's name, or by how a command begins. */
    claude: (tool: string, command = '') =>
      deny.some((rule) => rule === tool || (tool === 'Bash' && command.startsWith(/^Bash\((.*):\*\)$/.exec(rule)?.[1] ?? '\0')))
        ? 'deny'
        : 'allow',
    rbac: (verb: string, resource: string) =>
      roles.some((role) => role.rules.some(({ verbs, resources }) => verbs.includes(verb) && resources.includes(resource)))
        ? 'allow'
        : 'deny',
  }
}

const push = 'POST https://github.com/o/one.git/git-receive-pack'
const clone = 'POST https://github.com/o/one.git/git-upload-pack'

describe('the layers of capabilities agree', () => {
  it.each([
    ['tools: [Bash]', 'deny', 'deny'],
    ['tools: [Bash]\nrepositories: {fetch: [o/one]}', 'allow', 'deny'],
    ['tools: [Bash]\nrepositories: {fetch: [o/one], push: [o/one]}', 'allow', 'allow'],
  ])('on repositories: %j', async (text, fetching, pushing) => {
    const { proxy, claude } = await layersOf(text)
    expect([proxy(clone), claude('Bash', 'git clone https://github.com/o/one')]).toEqual([fetching, fetching])
    expect([proxy(push), claude('Bash', 'git push origin topic')]).toEqual([pushing, pushing])
    expect([proxy(clone, 'other'), proxy(push, 'other')]).toEqual(['deny', 'deny'])
  })

  it.each([
    ['tools: [Bash]', 'deny', 'deny'],
    ['tools: [Bash]\nkubernetes: {namespaces: [apps], read: [deployments]}', 'allow', 'deny'],
    ['tools: [Bash]\nkubernetes: {namespaces: [apps], change: [deployments]}', 'allow', 'allow'],
  ])('on the cluster: %j', async (text, reading, changing) => {
    const { rbac, claude } = await layersOf(text)
    expect([rbac('get', 'deployments'), claude('Bash', 'kubectl get deployments')]).toEqual([reading, reading])
    expect([rbac('patch', 'deployments'), claude('Bash', 'kubectl patch deployment x')]).toEqual([changing, changing])
    for (const verb of ['delete', 'exec'])
      expect([rbac(verb, 'deployments'), claude('Bash', `kubectl ${verb} deployment x`)]).toEqual(['deny', 'deny'])
    for (const verb of ['get', 'list'])
      expect([rbac(verb, 'secrets'), claude('Bash', 'kubectl get secrets')]).toEqual(['deny', 'deny'])
    expect(rbac('create', 'pods/exec')).toBe('deny')
  })

  it.each([
    ['tools: [Read]', 'deny'],
    ['tools: [Read, WebFetch]\nhosts: [docs.test]', 'allow'],
  ])('on the web: %j', async (text, expected) => {
    const { proxy, claude } = await layersOf(text)
    expect([proxy('GET https://docs.test/x'), claude('WebFetch')]).toEqual([expected, expected])
    expect(proxy('GET https://elsewhere.test/')).toBe('deny')
  })

  it.each([
    ['tools: [Read]', 'deny'],
    ['tools: [Read]\nmatrix: {host: matrix.test, rooms: ["!one:matrix.test"]}', 'allow'],
  ])('on rooms: %j', async (text, expected) => {
    const { proxy, claude } = await layersOf(text)
    const client = 'https://matrix.test/_matrix/client/v3'
    for (const room of ['!one:matrix.test', '%21one%3Amatrix.test'])
      expect([proxy(`PUT ${client}/rooms/${room}/send/m.room.message/1`), claude('mcp__matrix')]).toEqual([expected, expected])
    expect(proxy(`PUT ${client}/rooms/%21two%3Amatrix.test/send/m.room.message/1`)).toBe('deny')
    expect(proxy(`POST ${client}/join/%21two%3Amatrix.test`)).toBe('deny')
    expect(proxy(`GET ${client}/sync?timeout=30000`)).toBe(expected)
    expect(proxy(`POST ${client}/createRoom`)).toBe('deny')
  })

  it('on the shell, without which nothing is said about what is typed in it', async () => {
    const { claude } = await layersOf('tools: [Read]')
    expect([claude('Bash'), claude('Read'), claude('Write')]).toEqual(['deny', 'allow', 'deny'])
    expect(claude('Bash', 'kubectl get pods')).toBe('deny')
  })

  it('on secrets, which are used where they are named and nowhere else', async () => {
    const { credentials, proxy } = await layersOf(
      'secrets: [github, api]\nhosts: [plain.test, {host: api.test, secrets: [api]}]\n' +
        'repositories: {api: api.github.com, secret: github, fetch: ["o/*"], push: [o/one]}',
    )
    expect(credentials('GET https://api.test/')).toEqual(['api'])
    expect(credentials('GET https://plain.test/')).toEqual([])
    expect(credentials(clone)).toEqual(['github'])
    expect(credentials('GET https://api.github.com/repos/o/two/issues')).toEqual(['github'])
    expect(credentials('POST https://api.github.com/repos/o/one/pulls')).toEqual(['github'])
    for (const ask of [
      'POST https://api.github.com/repos/o/two/pulls',
      'DELETE https://api.github.com/repos/o/one',
      'POST https://api.github.com/graphql',
    ])
      expect(proxy(ask)).toBe('deny')
  })
})

describe('a capabilities file', () => {
  it.each([
    ['host: [a.test]', 'f:3:1 "host" is not known here (did you mean "hosts"?)'],
    [
      'secrets: [a]\nrepositories: {secret: b, fetch: [o/r]}',
      'f:4:24 repositories.secret: "b" is not among `secrets` of this agent',
    ],
    ['hosts: ["*.com"]', 'f:3:9 hosts: "*.com" would match every .com host; name the zone'],
    ['tools: [WebFetch]', 'f:3:1 tools: WebFetch is of no use without `hosts`'],
    [
      'matrix: {host: m.test, rooms: [room]}',
      'f:3:32 matrix.rooms: write a room as "!id:server", or its alias as "#name:server"',
    ],
  ])('%j is refused: %s', async (text, problem) => {
    const { capabilities, problems } = await read(text)
    expect(capabilities).toBeUndefined()
    expect(problems).toEqual([problem])
  })

  it.each(['secrets', '*', 'pods/exec'])('cannot give %s of the cluster', async (resource) => {
    expect((await read(`kubernetes: {namespaces: [a], read: ["${resource}"]}`)).problems[0]).toMatch(/^f:3:38 kubernetes.read: "/)
  })

  it.each(examples)('%s makes rules that load beside their agent and credentials', async (file) => {
    const { capabilities, issues } = readCapabilities(file, await readFile(file))
    expect(issues).toEqual([])
    if (!capabilities) throw new Error('unread')
    const hosts = ['api.anthropic.com', 'platform.claude.com', 'api.github.com', 'github.com', 'matrix.example.com']
    const loaded = await loadText(
      stringify({
        agents: { [capabilities.agent]: { from: [{ cidr: '10.0.0.1' }] } },
        credentials: Object.fromEntries(
          capabilities.secrets.map((id) => [id, { kind: 'bearer', stub: `proxy-token-${id}`, secret: { env: 'X' }, hosts }]),
        ),
        rules: policyOf(capabilities).rules,
      }),
    )
    expect(loaded.issues.map(formatIssue).filter((text) => !text.includes('warning'))).toEqual([])
    expect(file).toContain(capabilities.agent)
  })
})

describe('iron-proxy scopes', () => {
  const run = (...argv: string[]) => dispatched(['scopes', ...argv])

  it('prints one layer, or writes all three', async () => {
    const [devbot = '', infrabot = ''] = examples
    const printed = await run(devbot)
    expect([printed.code, (parse(printed.stdout) as { rules: object[] }).rules.length]).toEqual([0, 10])
    expect(printed.stdout).not.toMatch(/[&*]a1/)
    expect(JSON.parse((await run('--as', 'claude', devbot)).stdout)).toMatchObject({
      permissions: { deny: expect.any(Array) as unknown },
    })
    const out = join(folder, 'out')
    expect((await run('--out', out, devbot, infrabot)).code).toBe(0)
    const rbac = parseAllDocuments(await readFile(join(out, 'example-infrabot.rbac.yaml'), 'utf8'))
    expect(rbac.map((each) => (each.toJS() as { kind: string }).kind)).toEqual(['Role', 'RoleBinding'])
    expect(await readFile(join(out, 'example-devbot.yaml'), 'utf8')).toBe(printed.stdout)
    expect(await readFile(join(out, 'example-devbot.rbac.yaml'), 'utf8')).toBe('')
  })

  it.each([
    ['nothing', [], 64, 'name a capabilities.yaml'],
    ['another layer', ['--as', 'seccomp', 'x'], 64, '--as takes policy, claude or rbac'],
    ['a file that is not there', ['missing.yaml'], 66, 'ENOENT'],
  ])('with %s fails', async (_name, argv, code, words) => {
    const done = await run(...argv)
    expect(done.code).toBe(code)
    expect(done.stderr).toContain(words)
  })

  it('names the place of a mistake', async () => {
    const file = join(folder, 'bad.yaml')
    await writeFile(file, 'version: 1\nagent: bot\ntool: [Bash]\n')
    const done = await run(file)
    expect([done.code, done.stdout]).toEqual([78, ''])
    expect(done.stderr).toContain('bad.yaml:3:1 "tool" is not known here')
  })
})

describe('each check of a boundary', () => {
  it('leaves a record, whether it was kept to or not', async () => {
    const { capabilities } = await read(
      'secrets: [github]\nhosts: [docs.test]\nrepositories: {host: git.test, secret: github, fetch: ["o/*"], push: [o/one]}\n' +
        'matrix: {host: matrix.test, rooms: ["!one:matrix.test"]}',
    )
    if (!capabilities) throw new Error('unread')
    await using s = await scenario({
      policy: stringify({
        version: 1,
        agents: { bot: { from: [{ cidr: '127.0.0.0/8' }] } },
        credentials: {
          github: { kind: 'bearer', stub: 'proxy-token-github', secret: { file: 'secrets/github' }, hosts: ['git.test'] },
        },
        rules: policyOf(capabilities).rules,
      }),
      secrets: ['github'],
      upstreams: {
        all: {
          hosts: ['docs.test', 'git.test', 'matrix.test'],
          start: ({ certificate }) => startUpstream({ certificate, protocol: 'h1' }),
        },
      },
    })
    const room = 'https://matrix.test/_matrix/client/v3/rooms'
    const asks = [
      ['https://docs.test/', 'allow', undefined],
      ['https://other.test/', 'deny', 'host_denied'],
      ['https://git.test/o/one/info/refs?service=git-receive-pack', 'allow', undefined],
      ['https://git.test/o/two/info/refs?service=git-receive-pack', 'deny', 'request_denied'],
      ['https://git.test/x/two/info/refs?service=git-upload-pack', 'deny', 'request_denied'],
      [`${room}/%21one%3Amatrix.test/messages`, 'allow', undefined],
      [`${room}/%21two%3Amatrix.test/messages`, 'deny', 'request_denied'],
      ['https://docs.test/stub', 'deny', 'stub_wrong_host'],
    ] as const
    for (const [url, verdict, code] of asks) {
      await s.curl('transparent', url, url.endsWith('/stub') ? ['-H', 'authorization: Bearer proxy-token-github'] : [])
      const { hostname, pathname } = new URL(url)
      expect(await s.audited({ host: hostname, path: pathname, verdict, code })).toMatchObject({ agent: 'bot' })
    }
    const requests = s.audit.filter(({ type }) => type === 'request')
    expect(requests).toHaveLength(asks.length)
  })
})
