import { describe, expect, it } from 'vitest'
import { formatIssue } from '#config/issue.ts'
import { loadText } from '../kit/policy.ts'

async function found(credentials: readonly string[], rules: readonly string[]): Promise<string[]> {
  const text = `credentials:\n${credentials.map((each) => `  ${each}\n`).join('')}rules:\n${rules.map((each) => `  - ${each}\n`).join('')}`
  const { issues } = await loadText(text)
  return issues.map((issue) => formatIssue(issue).replace(/^\S+ /, ''))
}

const login =
  'login: {kind: oauth2, stubs: {access: stub-access, refresh: stub-refresh}, tokenEndpoint: "https://login.test/t", clientId: c, hosts: [x.test]}'
const one = 'one: {kind: bearer, stub: stub-number-1, secret: {env: ONE}, hosts: [x.test]}'

describe('credentials and rules', () => {
  it('fit', async () => {
    expect(await found([one], ['{id: r, hosts: ["*.test.example", x.test], credentials: [one]}'])).toEqual([])
  })

  it('fit at a token endpoint that is answered here', async () => {
    expect(
      await found(
        [login],
        ['{id: r, hosts: [x.test], credentials: [login]}', '{id: t, hosts: [login.test], credentials: [login]}'],
      ),
    ).toEqual([])
  })

  it('fit where no rule reaches a host at all', async () => {
    expect(await found([one.replace('[x.test]', '[x.test, y.test]')], ['{id: r, hosts: [x.test], credentials: [one]}'])).toEqual(
      [],
    )
  })

  // Threat 142 and its neighbours.
  it.each<[string, string[], string[], string[]]>([
    [
      'a credential that no rule names',
      [one],
      ['{id: r, hosts: [x.test]}'],
      ['credentials.one: warning: no rule swaps this credential in; name it under `credentials` of a rule for its hosts'],
    ],
    [
      'a credential whose hosts are not all reached',
      [one.replace('[x.test]', '[x.test, y.test]')],
      ['{id: r, hosts: [x.test], credentials: [one]}', '{id: s, hosts: [y.test]}'],
      ['credentials.one.hosts: warning: no rule that names this credential reaches "y.test", so it is never swapped in there'],
    ],
    [
      'a rule that names a credential of other hosts',
      [one],
      ['{id: r, hosts: [x.test], credentials: [one]}', '{id: s, hosts: [y.test], credentials: [one]}'],
      ['rules[1].credentials: warning: "one" is scoped to none of the hosts of this rule'],
    ],
    [
      'a rule for agents that may not use its credential',
      [one.replace('hosts', 'agents: [b], hosts')],
      ['{id: r, hosts: [x.test], credentials: [one], agents: [a]}', '{id: s, hosts: [x.test], credentials: [one]}'],
      ['rules[0].credentials: warning: "one" is granted to none of the agents of this rule'],
    ],
    [
      'plain HTTP',
      [one],
      ['{id: r, hosts: [x.test], credentials: [one], plain: true}'],
      ['rules[0].plain: warning: over plain HTTP no credential is swapped in, whatever this rule names'],
    ],
    [
      'an identity that cannot be asked',
      [one.replace('hosts', 'whoami: github, hosts').replace('x.test', '"*.x.test"')],
      ['{id: r, hosts: ["*.x.test"], credentials: [one]}'],
      [
        'credentials.one.whoami: warning: github cannot be asked: that takes an exact host, and a value that is sent as a bearer token',
      ],
    ],
    [
      'a host that is spliced',
      [one],
      [
        '{id: r, hosts: [x.test], credentials: [one]}',
        '{id: s, hosts: ["*.x.test", y.test, "x.test"], agents: [a], inspect: false}',
      ],
      ['credentials.one.hosts: "x.test" is spliced by rule "s" (inspect: false), so nothing can be swapped in there'],
    ],
    [
      'a token endpoint that is spliced',
      [login],
      ['{id: r, hosts: [x.test], credentials: [login]}', '{id: s, hosts: [login.test], inspect: false}'],
      ['credentials.login: "login.test/t" is spliced by rule "s" (inspect: false), so no agent can be answered in its place'],
    ],
    [
      'a service that echoes',
      [one.replace('x.test', 'httpbin.org')],
      ['{id: r, hosts: [httpbin.org], credentials: [one]}'],
      [
        'credentials.one.hosts: warning: "httpbin.org" answers with what it is sent; a credential scoped there can come back to the agent',
      ],
    ],
    [
      'one stub for two credentials',
      [one, one.replace('one', 'two').replace('x.test', '"*.x.test", x.test')],
      ['{id: r, hosts: [x.test, "*.x.test"], credentials: [one, two]}'],
      ['credentials.two: its stub is that of "one" too, for the same agents and hosts; give it a stub of its own'],
    ],
  ])('%s', async (_, credentials, rules, expected) => {
    expect(await found(credentials, rules)).toEqual(expected)
  })

  it('may share a stub where agents or hosts keep them apart', async () => {
    const two = one.replace('one', 'two')
    const rules = ['{id: r, hosts: [x.test], credentials: [one, two]}', '{id: s, hosts: [y.test], credentials: [two]}']
    expect(
      await found([one.replace('hosts', 'agents: [a], hosts'), two.replace('hosts', 'agents: [b], hosts')], rules.slice(0, 1)),
    ).toEqual([])
    expect(await found([one, two.replace('x.test', 'y.test')], [rules[0]?.replace(', two', '') ?? '', rules[1] ?? ''])).toEqual(
      [],
    )
  })
})
