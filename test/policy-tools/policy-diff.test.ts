import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { diffPolicies, diffText } from '#policy-tools/policy-diff.ts'
import { decide } from '#policy/decide.ts'
import { agentOf, askOf, loadText, snapshotOf } from '../kit/policy.ts'

async function diff(before: string, after: string): Promise<string[]> {
  return diffText(diffPolicies(await snapshotOf(before), await snapshotOf(after))).split('\n')
}

const base = `
credentials: {key: {kind: bearer, stub: stub-of-the-key, secret: {env: KEY}, hosts: [x.test]}}
rules:
  - {id: no, effect: deny, hosts: [x.test], methods: [DELETE], paths: [/repos/*]}
  - {id: x, hosts: [x.test], credentials: [key]}
  - {id: api, agents: [a], hosts: ["*.api.test"], methods: [GET], paths: [/v1/**]}
  - {id: git, hosts: [git.test], git: {fetch: ["*/*"], push: [o/n]}}
  - {id: llm, hosts: [api.anthropic.com], meter: anthropic}
`

describe('two policies', () => {
  it('are the same where only names, order of files and comments differ', async () => {
    const [last] = (await diff(base, base.replace('id: api', 'id: renamed').replace('rules:', 'rules: # all of them'))).slice(-1)
    expect(last).toMatch(/requests compared: 0 differences$/)
  })

  it.each<[string, string, string, string]>([
    [
      'a deny rule that went',
      '  - {id: no, effect: deny, hosts: [x.test], methods: [DELETE], paths: [/repos/*]}\n',
      '',
      'a, b: deny by rule no (rule_denied) → allow by rule x with credentials key',
    ],
    ['a method more', 'methods: [GET]', 'methods: [GET, PUT]', 'a: deny by no rule (request_denied) → allow by rule api'],
    ['a wider path', '/v1/**', '/**', 'a: deny by no rule (request_denied) → allow by rule api'],
    ['a narrower path', '/v1/**', '/v1/*', 'a: allow by rule api → deny by no rule (request_denied)'],
    ['a final slash', '/v1/**', '/v1/', 'a: allow by rule api → deny by no rule (request_denied)'],
    ['an agent more', 'agents: [a], ', '', 'b: deny by no rule (host_denied) → allow by rule api'],
    [
      'a zone in place of a host',
      'hosts: [git.test]',
      'hosts: [git.test, "*.git.test"]',
      'a, b: deny by no rule (host_denied) → allow by rule git',
    ],
    ['a push anywhere', 'push: [o/n]', 'push: ["*/*"]', 'a, b: deny by no rule (request_denied) → allow by rule git'],
    ['a fetch of less', 'fetch: ["*/*"]', 'fetch: [o/*]', 'a, b: allow by rule git → deny by no rule (request_denied)'],
    ['a port more', 'git: {fetch', 'ports: [443, 9999], git: {fetch', 'a, b: deny by no rule (port_denied) → allow by rule git'],
    ['plain HTTP', 'id: api,', 'id: api, plain: true,', 'a: deny by no rule (plain_denied) → allow by rule api'],
    ['no credential', ', credentials: [key]', '', 'a, b: allow by rule x with credentials key → allow by rule x'],
    [
      'new secrets',
      'credentials: [key]}\n',
      'credentials: [key], mints: allow}\n',
      'allow by rule x with credentials key; new secrets',
    ],
    [
      'foreign credentials',
      'credentials: [key]}\n',
      'credentials: [key], foreign: allow}\n',
      'allow by rule x with credentials key; foreign credentials',
    ],
    ['no meter', ', meter: anthropic', '', 'a, b: allow by rule llm with meter anthropic → allow by rule llm'],
    [
      'a splice',
      'meter: anthropic',
      'inspect: false',
      'a, b: allow by rule llm with meter anthropic → allow by rule llm with spliced',
    ],
  ])('are told apart by %s', async (_what, from, to, expected) => {
    expect(base).toContain(from)
    const lines = await diff(base, base.replace(from, to))
    expect(
      lines.some((line) => line.includes(expected)),
      lines.join('\n'),
    ).toBe(true)
    expect(lines.at(-1)).not.toContain(' 0 differences')
  })

  it('are told apart by report mode and by their agents', async () => {
    const agents = (text: string) => `agents: {${text}}\nrules: [{id: r, hosts: [x.test], paths: [/a]}]`
    const lines = await diff(
      agents('a: {from: [{cidr: 10.0.0.1}]}, b: {from: [{cidr: 10.0.0.2}]}'),
      agents('a: {from: [{cidr: 10.0.0.1}], mode: report}, c: {from: [{cidr: 10.0.0.2}]}'),
    )
    expect(lines.slice(0, 2)).toEqual(['agent c is new', 'agent b is gone'])
    expect(lines.join('\n')).toContain('a: deny by no rule (request_denied) → would_deny by no rule (request_denied)')
  })

  const ruleText = fc.record({
    effect: fc.constantFrom('allow', 'deny'),
    agents: fc.constantFrom('', 'agents: [a], '),
    host: fc.constantFrom('x.test', '"*.x.test"', 'a.x.test'),
    methods: fc.constantFrom('', 'methods: [GET], ', 'methods: [GET, POST], '),
    paths: fc.constantFrom('', 'paths: [/v1/**], ', 'paths: [/v1/*], ', 'paths: [/v1/x, /w], ', 'paths: [/**/x], '),
    ports: fc.constantFrom('', 'ports: [443, 8443], '),
  })
  const policyText = fc
    .array(ruleText, { minLength: 1, maxLength: 3 })
    .map((rules) =>
      rules
        .map(
          (rule, i) =>
            `  - {id: r${i}, effect: ${rule.effect}, ${rule.agents}${rule.methods}${rule.paths}${rule.ports}hosts: [${rule.host}]}`,
        )
        .join('\n'),
    )

  it('that any request tells apart have a difference with a witness', async () => {
    await fc.assert(
      fc.asyncProperty(policyText, policyText, async (one, other) => {
        const [{ snapshot: before }, { snapshot: after }] = await Promise.all([
          loadText(`rules:\n${one}`),
          loadText(`rules:\n${other}`),
        ])
        // A rule behind one that covers it is an error.
        if (!before || !after) return
        const { differences } = diffPolicies(before, after)
        const apart = ['a', 'b'].some((agent) =>
          ['x.test', 'a.x.test', 'b.a.x.test'].some((host) =>
            ['GET', 'POST', 'PUT'].some((method) =>
              ['', ':8443'].some((port) =>
                ['/', '/v1', '/v1/x', '/v1/y', '/v1/x/y', '/v1/y/x', '/w', '/x', '/q/x'].some((path) => {
                  const ask = askOf(`${method} https://${host}${port}${path}`)
                  const kinds = [before, after].map((each) => decide(each.policy, agentOf(each, agent), ask))
                  return kinds[0]?.kind !== kinds[1]?.kind
                }),
              ),
            ),
          ),
        )
        if (apart) expect(differences.length).toBeGreaterThan(0)
      }),
      { numRuns: 100 },
    )
  })
})
