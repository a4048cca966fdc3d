import { cp, mkdir, mkdtempDisposable, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { dispatched } from '../kit/dispatched.ts'

const policy = `version: 1
agents: {a: {from: [{cidr: 127.0.0.1}]}}
rules:
  - {id: x, hosts: [x.test]}
  - {id: y, hosts: [y.test]}
`
const passing = 'version: 1\ncases: [{url: https://x.test/, expect: {verdict: allow, rule: x}}, {name: z.test}]\n'

async function folderOf(files: Readonly<Record<string, string>>) {
  const made = await mkdtempDisposable(join(tmpdir(), 'iron-proxy-test-'))
  for (const [name, text] of Object.entries(files)) {
    await mkdir(join(made.path, name, '..'), { recursive: true })
    await writeFile(join(made.path, name), text)
  }
  return made
}

describe('iron-proxy test', () => {
  it('passes the examples, and fails when a rule of one is gone', async () => {
    expect(await dispatched(['test', 'policies'])).toMatchObject({ code: 0, stderr: '' })
    await using made = await folderOf({})
    await cp('policies/examples', made.path, { recursive: true })
    const crew = join(made.path, 'crew.yaml')
    await writeFile(crew, (await readFile(crew, 'utf8')).replace(/ {2}- id: no-repo-deletion[^]*?\n\n/, ''))
    const { code, stdout } = await dispatched(['test', made.path])
    expect(code).toBe(1)
    expect(stdout).toContain('verdict: expected deny, got allow by rule github-api')
    expect(await dispatched(['test', '--against', crew, 'policies/examples/crew.test.yaml'])).toMatchObject({ code: 1 })
  })

  it('tests a directory as the proxy reads it: no test is taken for a policy', async () => {
    await using made = await folderOf({ 'a.yaml': policy, 'a.test.yaml': passing })
    const { code, stdout } = await dispatched(['test', '--policies', made.path])
    expect(stdout).toContain('rule y is decided by no test\n2 cases: 2 passed, 0 failed; 1 of 2 rules decided by a test')
    expect(code).toBe(0)
    expect(await dispatched(['test', '--strict', made.path])).toMatchObject({ code: 1 })
    expect(await dispatched(['check', made.path])).toMatchObject({ code: 0, stdout: expect.stringContaining('1 file') as string })
  })

  it('runs only the cases that are asked for, and then says nothing of rules', async () => {
    await using made = await folderOf({ 'a.yaml': policy, 'a.test.yaml': passing })
    const { code, stdout } = await dispatched(['test', '--strict', '--run', 'z.test', made.path])
    expect(stdout).toBe('1 case: 1 passed, 0 failed\n')
    expect(code).toBe(0)
  })

  it('prints TAP, JUnit and JSON, and writes to a file', async () => {
    await using made = await folderOf({ 'a.yaml': policy, 'a.test.yaml': passing })
    expect((await dispatched(['test', '--tap', made.path])).stdout).toMatch(/^TAP version 13\n1\.\.2\n/)
    expect(JSON.parse((await dispatched(['test', '--json', made.path])).stdout)).toMatchObject({ ok: true, cases: 2 })
    const report = join(made.path, 'reports/junit.xml')
    expect(await dispatched(['test', '--junit', '--out', report, made.path])).toMatchObject({ code: 0, stdout: '' })
    expect(await readFile(report, 'utf8')).toContain('<testsuites name="iron-proxy test" tests="2" failures="0">')
    expect(await dispatched(['test', '--tap', '--json', made.path])).toMatchObject({ code: 64 })
  })

  it.each([
    [{ 'a.yaml': policy }, 66, 'there is no *.test.yaml'],
    [{ 'a.yaml': policy, 'a.test.yaml': 'version: 1\ncases: [{}]' }, 78, 'a.test.yaml:2:9 cases[0]: write one of url and name'],
    [{ 'a.yaml': 'version: 2', 'a.test.yaml': passing }, 78, 'a.yaml:1:10 version: 2 is not 1'],
    [{ 'a.test.yaml': `policy: gone.yaml\n${passing}` }, 78, 'gone.yaml: the policies cannot be read: it is not there'],
  ])('of what cannot be used, %j, exits with %i', async (files, expected, text) => {
    await using made = await folderOf(files)
    const { code, stderr } = await dispatched(['test', made.path])
    expect(stderr).toContain(text)
    expect(code).toBe(expected)
  })

  it('passes what explain --save writes, again and again', async () => {
    await using made = await folderOf({ 'policies/a.yaml': policy })
    const policies = join(made.path, 'policies')
    const file = join(made.path, 'tests/a.test.yaml')
    const save = (url: string, to = file) => dispatched(['explain', '--policies', policies, '--save', to, url])
    expect(await save('https://x.test/')).toMatchObject({ code: 0 })
    expect(await save('https://y.test/')).toMatchObject({ code: 0 })
    expect(await save('https://z.test/')).toMatchObject({ code: 1, stderr: '' })
    expect(await dispatched(['test', '--strict', file])).toMatchObject({
      code: 0,
      stdout: '3 cases: 3 passed, 0 failed; 2 of 2 rules decided by a test\n',
    })
    expect(await save('https://x.test/', join(made.path, 'a.yaml'))).toMatchObject({ code: 64 })
    await writeFile(file, 'version: 1\ncases: []\n')
    expect(await save('https://x.test/')).toMatchObject({ code: 78 })
  })

  it('says what is not there', async () => {
    expect(await dispatched(['test', 'policies/none'])).toMatchObject({
      code: 66,
      stderr: expect.stringContaining('policies/none: cannot be read: it is not there') as string,
    })
  })
})
