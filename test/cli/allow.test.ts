import { mkdir, mkdtempDisposable, readFile, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { dispatched } from '../kit/dispatched.ts'

const policy = `# Who may what.
version: 1

agents:
  coder: {from: [{cidr: 10.0.0.1}]}     # the coder
  other: {from: [{cidr: 10.0.0.2}]}

rules:
  - {id: no-deletion, effect: deny, hosts: [api.test], methods: [DELETE]}   # never

  # The API.
  - id: api
    agents: [coder]
    hosts: [api.test, "*.zone.test"]
`

async function stage(text = policy) {
  const made = await mkdtempDisposable(join(tmpdir(), 'allow-'))
  const file = join(made.path, 'crew.yaml')
  await writeFile(file, text, { mode: 0o640 })
  return {
    made,
    file,
    text: () => readFile(file, 'utf8'),
    run: (...words: string[]) => dispatched([...words, '--policies', made.path]),
    [Symbol.asyncDispose]: () => made[Symbol.asyncDispose](),
  }
}

describe('allow', () => {
  it('puts one rule at the end, shows it, and keeps every other byte and the mode', async () => {
    await using on = await stage()
    const done = await on.run('allow', 'new.test', '-a', 'coder')
    const added = '\n  - id: new-test\n    agents: [coder]\n    hosts: [new.test]\n'
    expect(await on.text()).toBe(policy + added)
    expect(done.stdout).toContain('+   - id: new-test\n+     agents: [coder]\n+     hosts: [new.test]')
    expect(done.stdout).not.toMatch(/^- /m)
    expect([done.code, (await stat(on.file)).mode & 0o777]).toEqual([0, 0o640])
    const asked = await dispatched(['explain', '-a', 'coder', 'https://new.test/x', '--policies', on.made.path])
    expect(asked.code).toBe(0)
  })

  it('takes several hosts, patterns and limits, and writes nothing with --dry-run', async () => {
    await using on = await stage()
    const done = await on.run(
      'allow',
      'a.test',
      '*.b.test',
      '-a',
      'other',
      '--methods',
      'GET,HEAD',
      '--paths',
      '/v1/**',
      '--plain',
      '-n',
    )
    expect(done.stdout).toContain(
      '+   - id: all-b-test\n+     agents: [other]\n+     hosts: ["*.b.test"]\n+     methods: [GET, HEAD]\n+     paths: ["/v1/**"]\n+     plain: true',
    )
    expect(done.stderr).toContain('nothing is written')
    expect([done.code, await on.text()]).toEqual([0, policy])
  })

  it.each([
    ['api.test', 'rule api says so'],
    ['deep.zone.test', 'rule api says so'],
  ])('changes nothing where %s is allowed', async (host, why) => {
    await using on = await stage()
    const done = await on.run('allow', host, '-a', 'coder')
    expect([done.code, done.stdout]).toEqual([0, `${host}: nothing to change for coder, ${why}\n`])
    expect(await on.text()).toBe(policy)
  })

  it('is refused where another rule decides before', async () => {
    await using on = await stage(policy.replace('rules:\n', 'rules:\n  - {id: shut, effect: deny, hosts: ["*.shut.test"]}\n'))
    const done = await on.run('allow', 'a.shut.test', '-a', 'coder')
    expect([done.code, done.stderr]).toEqual([1, expect.stringContaining('rule shut decides before a new one could')])
  })

  it.each<[string, string[], number, string]>([
    ['no host', ['allow'], 64, 'name the hosts to allow'],
    ['a host that is none', ['allow', 'https://a.test', '-a', 'coder'], 64, 'https://a.test'],
    ['an agent that is none', ['allow', 'a.test', '-a', 'codr'], 78, 'no agent is called "codr"; there is coder, other'],
    ['no agent where there are two', ['allow', 'a.test'], 78, 'give an agent with -a; there is coder, other'],
    ['a method that cannot be', ['allow', 'a.test', '-a', 'coder', '--methods', 'get'], 1, 'the policy would not load'],
  ])('ends with words and no change: %s', async (_name, words, code, text) => {
    await using on = await stage()
    const done = await on.run(...words)
    expect([done.stderr, done.code]).toEqual([expect.stringContaining(text), code])
    expect(await on.text()).toBe(policy)
  })

  it('finds the policy of the user’s sandboxes', async () => {
    await using home = await mkdtempDisposable(join(tmpdir(), 'allow-home-'))
    const policies = join(home.path, '.iron-proxy', 'policies')
    await mkdir(policies, { recursive: true })
    await writeFile(
      join(policies, 'sandbox.yaml'),
      'version: 1\nagents:\n  sandbox: {from: [{cidr: 127.64.0.1/32}]}\nrules: []\n',
    )
    const done = await dispatched(['allow', 'a.test', '--agent', 'sandbox'], { env: { HOME: home.path } })
    expect([done.code, done.stderr]).toEqual([0, ''])
    expect(await readFile(join(policies, 'sandbox.yaml'), 'utf8')).toContain(
      'rules:\n  - id: a-test\n    agents: [sandbox]\n    hosts: [a.test]\n',
    )
  })
})

describe('deny', () => {
  it('puts the refusal before the rule that allows, above its comment', async () => {
    await using on = await stage()
    const done = await on.run('deny', 'api.test', '-a', 'coder', '--reason', 'it is down')
    expect(await on.text()).toContain(
      '  - id: no-api-test\n    effect: deny\n    agents: [coder]\n    hosts: [api.test]\n    reason: "it is down"\n\n  - {id: no-deletion',
    )
    expect(done.code).toBe(0)
    expect((await dispatched(['explain', '-a', 'coder', 'https://api.test/x', '--policies', on.made.path])).code).toBe(1)
  })

  it('changes nothing where no rule allows', async () => {
    await using on = await stage()
    const done = await on.run('deny', 'new.test', '-a', 'coder')
    expect([done.code, done.stdout]).toEqual([0, 'new.test: nothing to change for coder, no rule allows it\n'])
  })
})
