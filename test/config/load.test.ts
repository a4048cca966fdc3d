import { mkdir, mkdtempDisposable, readdir, readFile, rename, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { formatIssue } from '#config/issue.ts'
import { loadPolicies } from '#config/load.ts'
import { loadText } from '../kit/policy.ts'

const agents = 'agents: {a: {from: [{cidr: 127.0.0.1}]}}\n'
const bad = 'test/fixtures/policies/bad'
// What each says is written at its end, after `#! `.
const broken = (await readdir(bad)).filter((name) => name.endsWith('.yaml'))

async function folder(files: Record<string, string>) {
  const made = await mkdtempDisposable(join(tmpdir(), 'policies-'))
  for (const [name, text] of Object.entries(files)) await writeFile(join(made.path, name), text)
  return made
}

async function messages(path: string): Promise<string[]> {
  const { issues } = await loadPolicies(path)
  return issues.map((issue) => formatIssue(issue).replaceAll(`${path}/`, ''))
}

describe('a broken policy', () => {
  it.each(broken)('%s says everything that is wrong, and loads nothing', async (name) => {
    const text = await readFile(join(bad, name), 'utf8')
    await using made = await folder({ [name]: text })
    const { snapshot } = await loadPolicies(made.path)
    const expected = text
      .split('\n')
      .filter((line) => line.startsWith('#! '))
      .map((line) => `${name}:${line.slice(3)}`)
    expect(expected).not.toEqual([])
    expect(await messages(made.path)).toEqual(expected)
    expect(snapshot).toBeUndefined()
  })

  // Threat 135.
  it.each([
    ['of no bytes', '', 'x.yaml:1:1 the file is empty; a policy starts with "version: 1"'],
    ['of comments', '# nothing\n', 'x.yaml:1:1 the file is empty; a policy starts with "version: 1"'],
    ['that is a list', '- a\n', 'x.yaml:1:1 write a map, not a list'],
    ['without version', 'rules: []\n', 'x.yaml:1:1 version: this is missing; write 1'],
  ])('%s is refused', async (_, text, message) => {
    await using made = await folder({ 'x.yaml': text })
    expect(await messages(made.path)).toContain(message)
    expect((await loadPolicies(made.path)).snapshot).toBeUndefined()
  })

  it('is one that cannot be read', async () => {
    await using made = await folder({})
    const missing = await loadPolicies(join(made.path, 'missing'))
    expect(missing.snapshot).toBeUndefined()
    expect(missing.issues.map(formatIssue)).toEqual([
      expect.stringMatching(/missing: the policies cannot be read: it is not there \(ENOENT\)/),
    ])
    await mkdir(join(made.path, 'folder.yaml'))
    expect((await loadPolicies(made.path)).snapshot).toBeUndefined()
  })
})

describe('a directory of policies', () => {
  it('is one policy: maps are joined, rules follow in the order of the file names', async () => {
    await using made = await folder({
      'b.yml': 'version: 1\nrules: [{id: second, hosts: [y.test]}]\ndns: {records: [{name: m.test, type: A, value: 10.0.0.1}]}\n',
      'a.yaml': `version: 1\n${agents}rules: [{id: first, hosts: [x.test]}]\ndns: {deny: refuse}\n`,
      '.hidden.yaml': 'broken: [',
      'notes.txt': 'broken: [',
      'c.yaml~': 'broken: [',
    })
    await mkdir(join(made.path, 'examples'))
    const { snapshot, issues, files } = await loadPolicies(made.path)
    expect(issues).toEqual([])
    expect(files).toEqual([join(made.path, 'a.yaml'), join(made.path, 'b.yml')])
    expect(snapshot?.policy.rules.map(({ id, index, position }) => [id, index, position.line])).toEqual([
      ['first', 0, 3],
      ['second', 1, 2],
    ])
    expect(snapshot?.policy.dns).toMatchObject({ deny: 'refuse', records: [{ name: 'm.test' }] })
  })

  it('may not say one thing twice', async () => {
    await using made = await folder({
      'a.yaml': `version: 1\n${agents}dns: {deny: refuse}\nrules: [{id: r, hosts: [x.test]}]\n`,
      'b.yaml': `version: 1\n${agents}dns: {deny: sinkhole}\nrules: [{id: r, hosts: [y.test]}]\n`,
    })
    expect(await messages(made.path)).toEqual([
      'b.yaml:2:10 agents: "a" stands in a.yaml:2 already; give one of them another name',
      'b.yaml:3:13 dns.deny: a.yaml says refuse; say it once',
      'b.yaml:4:14 rules[0].id: "r" is the id of another rule already (a.yaml:4)',
    ])
  })

  it('that is empty refuses everything, and says so', async () => {
    await using made = await folder({})
    const { snapshot, issues } = await loadPolicies(made.path)
    expect(snapshot?.policy.rules).toEqual([])
    expect(issues.map(({ severity, message }) => `${severity} ${message}`)).toEqual([
      'warning there is no agent, so every request is refused',
      'warning there is no rule, so every request is refused',
    ])
  })

  it('has a hash of names and bytes', async () => {
    const hashOf = async (files: Record<string, string>) => {
      await using made = await folder(files)
      return (await loadPolicies(made.path)).snapshot?.hash.length
    }
    expect(await hashOf({ 'a.yaml': 'version: 1\n' })).toBe(64)
    await using made = await folder({ 'a.yaml': 'version: 1\n' })
    const before = (await loadPolicies(made.path)).snapshot?.hash
    expect((await loadPolicies(made.path)).snapshot?.hash).toBe(before)
    await writeFile(join(made.path, 'a.yaml'), 'version: 1 \n')
    const edited = (await loadPolicies(made.path)).snapshot?.hash
    await rename(join(made.path, 'a.yaml'), join(made.path, 'b.yaml'))
    expect(new Set([before, edited, (await loadPolicies(made.path)).snapshot?.hash]).size).toBe(3)
  })

  it('mounted by Kubernetes is read through its ..data link', async () => {
    await using made = await folder({})
    await mkdir(join(made.path, '..2026_01'))
    await writeFile(join(made.path, '..2026_01', 'a.yaml'), `version: 1\n${agents}rules: [{id: r, hosts: [x.test]}]\n`)
    await symlink('..2026_01', join(made.path, '..data'))
    await symlink('..data/a.yaml', join(made.path, 'a.yaml'))
    const { snapshot, files } = await loadPolicies(made.path)
    expect(files).toEqual([join(made.path, 'a.yaml')])
    expect(snapshot?.policy.rules[0]?.position.file).toBe(join(made.path, 'a.yaml'))
  })
})

describe('secrets', () => {
  const text = `${agents.replace('127.0.0.1}', '127.0.0.1}, {proxyAuth: {username: a, password: {file: pw}}}')}
credentials:
  one: {kind: bearer, stub: stub-number-1, secret: {file: secrets/one}, hosts: [x.test]}
  two: {kind: bearer, stub: stub-number-2, secret: {file: /run/two, jsonKey: token}, hosts: [x.test]}
  three: {kind: bearer, stub: stub-number-3, secret: {env: THREE}, hosts: [x.test]}
rules: [{id: r, hosts: [x.test], credentials: [one, two, three]}]
`

  it('are named relative to the file that names them', async () => {
    await using made = await folder({ 'a.yaml': `version: 1\n${text}` })
    const { snapshot, secrets } = await loadPolicies(made.path)
    expect(secrets).toEqual([
      { file: join(made.path, 'pw') },
      { file: join(made.path, 'secrets/one') },
      { file: '/run/two', jsonKey: 'token' },
      { env: 'THREE' },
    ])
    expect(snapshot?.credentials.get('one')?.secret).toEqual({ file: join(made.path, 'secrets/one') })
    expect(snapshot?.policy.agents.get('a')?.proxyAuth[0]?.password).toEqual({ file: join(made.path, 'pw') })
  })

  it.each(['error', 'warning'] as const)('that are missing are a %s where that was asked for', async (missingSecret) => {
    await using made = await folder({ 'a.yaml': `version: 1\n${text}` })
    const { snapshot, issues } = await loadPolicies(made.path, {
      missingSecret,
      secretExists: (ref) => 'file' in ref && ref.file.endsWith('/pw'),
    })
    expect(
      issues.map(
        ({ severity, path, position, message }) => `${position.line} ${path}: ${severity} ${message.replace(made.path, '')}`,
      ),
    ).toEqual([
      `5 credentials.one.secret: ${missingSecret} the file /secrets/one is missing, empty or cannot be read`,
      `6 credentials.two.secret: ${missingSecret} the file /run/two is missing, empty or cannot be read`,
      `7 credentials.three.secret: ${missingSecret} the environment variable THREE is not set`,
    ])
    expect(snapshot === undefined).toBe(missingSecret === 'error')
  })
})

describe('the secrets of what is had by calls', () => {
  const text = `version: 1
${agents}credentials:
  login:
    kind: oauth2
    stubs: {access: stub-access, refresh: stub-refresh}
    tokenEndpoint: https://login.test/token
    clientId: c
    grant: {file: secrets/grant.json}
    clientSecret: {env: CLIENT}
    hosts: [x.test]
  app: {kind: github-app, stub: stub-of-app, appId: 1, installationId: 2, privateKey: {file: app.pem, jsonKey: key}, hosts: [x.test]}
rules: [{id: r, hosts: [x.test], credentials: [login, app]}, {id: t, hosts: [login.test], credentials: [login]}]
`

  it('are looked for where the policy names them, and handed on with absolute files', async () => {
    await using made = await folder({ 'a.yaml': text })
    const { snapshot, secrets, issues } = await loadPolicies(made.path, { secretExists: () => false })
    const grant = { file: join(made.path, 'secrets/grant.json') }
    const key = { file: join(made.path, 'app.pem'), jsonKey: 'key' }
    expect(secrets).toEqual([grant, { env: 'CLIENT' }, key])
    expect(snapshot?.credentials.get('login')?.lease).toMatchObject({ seed: grant, refs: { clientSecret: { env: 'CLIENT' } } })
    expect(snapshot?.credentials.get('app')?.lease?.refs).toEqual({ privateKey: key })
    expect(issues.map(({ path, position, message }) => `${position.line} ${path}: ${message.replace(made.path, '')}`)).toEqual([
      '9 credentials.login.grant: the file /secrets/grant.json is missing, empty or cannot be read',
      '10 credentials.login.clientSecret: the environment variable CLIENT is not set',
      '12 credentials.app.privateKey: the file /app.pem is missing, empty or cannot be read',
    ])
  })
})

describe('next to a mistake', () => {
  it('nothing is reported that may only follow from it', async () => {
    const { issues } = await loadText(`
credentials: {c: {kind: bearer, stub: stub-number-1, secret: {env: X}, hosts: [x.test]}}
rules: [{id: r, hosts: ["*"], credentials: [c]}]`)
    expect(issues.map(({ path }) => path)).toEqual(['rules[0].hosts'])
  })
})
