import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compileFiles } from '#config/load.ts'
import type { LoadedPolicies } from '#config/load.ts'
import type { Seen } from '#policy-tools/audit-lines.ts'
import { draftInto, draftPolicy } from '#policy-tools/draft.ts'
import { askOf } from '#policy-tools/traffic.ts'
import type { Risk } from '#policy-tools/risks.ts'
import { decide } from '#policy/decide.ts'
import { agentOf, loadText } from '../kit/policy.ts'
import { trafficOf } from './traffic.ts'

const options = { merge: 8, wholeHosts: false }
const empty = await loadText('')
const credentials = await loadText(`credentials:
  key: {kind: bearer, stub: stub-of-the-key, secret: {env: KEY}, hosts: [x.test, github.com]}
  other: {kind: bearer, stub: stub-of-other, secret: {env: KEY}, hosts: [y.test], agents: [b]}
`)

async function learned(records: readonly Partial<Seen>[], existing: LoadedPolicies = empty, include: readonly Risk[] = []) {
  const { text, leftOut } = await draftPolicy(trafficOf(records, include), existing, options)
  const rules = text.slice(text.indexOf('rules:')).split('\n')
  return { text, rules: rules.filter((line) => line !== '' && line !== 'rules:'), leftOut: leftOut.split('\n').slice(1, -1) }
}

describe('what is learned', () => {
  it('is a rule for each host and set of methods, with how often and by whom', async () => {
    const { rules, leftOut } = await learned([
      { path: '/items/1' },
      { path: '/items/2' },
      { path: '/items/2', agent: 'b', peer: '127.0.0.2' },
      { path: '/items/3', agent: 'b', peer: '127.0.0.2' },
      { method: 'POST', path: '/items' },
    ])
    expect(rules).toEqual([
      '  # a 2, b 2',
      '  - id: x-test-get',
      '    agents: [a, b]',
      '    hosts: [x.test]',
      '    methods: [GET]',
      '    paths:',
      '      - /items/*   # 4',
      '  # a 1',
      '  - id: x-test-post',
      '    agents: [a]',
      '    hosts: [x.test]',
      '    methods: [POST]',
      '    paths:',
      '      - /items   # 1',
    ])
    expect(leftOut).toEqual([])
  })

  it('never lets a path be written to that was only read', async () => {
    const { rules } = await learned([{ path: '/a' }, { path: '/b' }, { method: 'POST', path: '/b' }])
    expect(rules.join('\n')).toContain('methods: [GET]\n    paths:\n      - /a   # 1')
    expect(rules.join('\n')).toContain('methods: [GET, POST]\n    paths:\n      - /b   # 2')
  })

  it('has repositories with what was fetched and pushed', async () => {
    const host = 'github.com'
    const { rules } = await learned([
      { host, path: '/o/n.git/info/refs', git: 'fetch' },
      { host, path: '/o/n.git/git-upload-pack', method: 'POST' },
      { host, path: '/me/Fork/info/refs', git: 'push' },
      { host, path: '/me/fork/git-receive-pack', method: 'POST' },
      { host, path: '/old/audit/info/refs' },
    ])
    expect(rules).toContain('    git: {fetch: [o/n, old/audit], push: [me/fork]}')
  })

  it('has a credential only where a stub was seen', async () => {
    const swapped = { verdict: 'allow', code: undefined, swaps: [{ credential: 'key', place: 'header:authorization' }] } as const
    const { text } = await learned(
      [{ path: '/with', credential: 'key' }, { path: '/too', ...swapped }, { path: '/without' }],
      credentials,
    )
    expect(text).toMatch(/- \/without +# 1\n(?! +credentials)/)
    expect(text).toContain('      - /too    # 1\n      - /with   # 1\n    credentials: [key]')
  })

  it('gives a credential to every rule of a host whose patterns overlap: the first decides', async () => {
    const many = Array.from({ length: 12 }, (_, i) => ({ path: `/p/${String.fromCharCode(97 + i)}x/y` }))
    const { text } = await learned([...many, { path: '/p/zz/y', credential: 'key' }], credentials)
    expect(text.match(/credentials: \[key\]/g)?.length).toBe(text.match(/- id:/g)?.length)
  })

  it('says what the policy does not have: agents, with where they spoke from, and credentials', async () => {
    const { text } = await learned([{ agent: 'new', peer: '10.0.0.7', credential: 'gone' }])
    expect(text).toContain('agents:\n  new:\n    from: [{cidr: "10.0.0.7"}]\n')
    expect(text).toContain('# credentials: [gone]   the policy has no credential of this name')
    const { snapshot } = await compileFiles('.', [{ file: 'a.yaml', bytes: Buffer.from(text) }])
    expect(snapshot).toBeDefined()
  })

  it('knows ports, plain HTTP and connections that are not looked into', async () => {
    const { text } = await learned([
      { host: 'p.test', port: 8443 },
      { host: 'h.test', scheme: 'http', port: 80 },
      { host: 's.test', type: 'tunnel', event: 'open', verdict: 'allow', code: undefined, method: undefined, path: undefined },
    ])
    expect(text).toContain('hosts: [p.test]\n    ports: [8443]\n    methods')
    expect(text).toContain('hosts: [h.test]\n    ports: [80]\n    plain: true\n    methods')
    expect(text).toContain('hosts: [s.test]\n    inspect: false\n')
  })

  it.each<[string, Partial<Seen>, string]>([
    ['a deletion', { method: 'DELETE' }, 'it deletes'],
    ['an upload to storage', { method: 'PUT', host: 'b.s3.eu-central-1.amazonaws.com' }, 'it uploads to a place'],
    [
      'a new key',
      { method: 'POST', host: 'api.openai.com', path: '/v1/organization/admin_api_keys' },
      'it answers with an API key',
    ],
    ['names over HTTPS', { host: 'dns.google', path: '/resolve' }, 'it asks for names over HTTPS'],
    ['names over HTTPS anywhere', { path: '/x/dns-query' }, 'it asks for names over HTTPS'],
    ['names over HTTPS by its media type', { code: 'dns_over_https' }, 'dns_over_https: '],
    ['an address', { host: '10.0.0.1', verdict: 'deny', code: 'bad_host' }, 'it was refused: bad_host'],
    ['what was refused', { verdict: 'deny', code: 'host_denied' }, 'it was refused: host_denied'],
    ['what a rule refuses', { code: 'rule_denied', rule: 'no' }, 'rule no refuses it'],
    ['a credential of its own', { code: 'foreign_credential' }, 'foreign_credential: '],
    ['a stub that is not for its host', { host: 'z.test', credential: 'key' }, 'it carries the stub of key, which is not for it'],
    [
      'a stub that is not for its agent',
      { host: 'y.test', credential: 'other' },
      'it carries the stub of other, which is not for it',
    ],
    ['a path that cannot be judged', { path: '/a//b' }, 'the path has an empty segment'],
    ['a hidden path', { path: '(hidden)' }, 'it is no request that a rule can name'],
  ])('leaves out %s', async (_what, seen, why) => {
    const { text, leftOut } = await learned([seen], credentials)
    expect(text).toContain('rules: []')
    expect(leftOut).toHaveLength(1)
    expect(leftOut[0]).toContain(why)
  })

  it('has a deletion where it is asked for, and never a new key', async () => {
    const { text, leftOut } = await learned(
      [{ method: 'DELETE' }, { method: 'POST', host: 'api.openai.com', path: '/v1/organization/admin_api_keys' }],
      empty,
      ['delete'],
    )
    expect(text).toContain('methods: [DELETE]')
    expect(leftOut).toHaveLength(1)
  })

  it('goes into a policy as what it lacks, and keeps its comments', async () => {
    const text =
      'version: 1 # one\nagents: {a: {from: [{cidr: 127.0.0.1}]}}\nrules:\n  - {id: x-test-get, hosts: [x.test], paths: [/known]}  # two\n# three\n'
    const existing = await compileFiles('.', [{ file: 'a.yaml', bytes: Buffer.from(text) }])
    const traffic = trafficOf([{ path: '/known' }, { path: '/new' }])
    const draft = await draftInto(traffic, existing, '.', { file: 'a.yaml', text }, options)
    expect(draft?.text).toBe(
      text.replace(
        '# three\n',
        '\n  # a 1\n  - id: x-test-get-2\n    agents: [a]\n    hosts: [x.test]\n    methods: [GET]\n    paths:\n      - /new   # 1\n# three\n',
      ),
    )
  })

  it('leaves out what a rule of that policy refuses', async () => {
    const text = 'version: 1\nagents: {a: {from: [{cidr: 127.0.0.1}]}}\nrules:\n  - {id: no, effect: deny, hosts: [x.test]}\n'
    const existing = await compileFiles('.', [{ file: 'a.yaml', bytes: Buffer.from(text) }])
    const draft = await draftInto(trafficOf([{}]), existing, '.', { file: 'a.yaml', text }, options)
    expect(draft?.text).toBe(text)
    expect(draft?.leftOut).toContain('rule no refuses it')
  })

  const seen = fc.record({
    agent: fc.constantFrom('a', 'b'),
    method: fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'HEAD'),
    scheme: fc.constantFrom('https', 'http'),
    host: fc.constantFrom('x.test', 'y.test', 'github.com', 'b.s3.amazonaws.com'),
    path: fc
      .array(
        fc.constantFrom('a', 'b', '1', '22', 'a3f9c21', 'o', 'info', 'refs', 'git-upload-pack', '%2F', 'x;y', '', '..', '%41'),
        { maxLength: 4 },
      )
      .map((parts) => `/${parts.join('/')}`),
    credential: fc.option(fc.constantFrom('key', 'other'), { nil: undefined }),
  })

  it('allows all that was seen and is not left out, and nothing on a host that was not seen', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(seen, { minLength: 1, maxLength: 30 }), async (records) => {
        const placed = records.map((each) => ({ ...each, port: each.scheme === 'http' ? 80 : 443 })) as Partial<Seen>[]
        const traffic = trafficOf(placed)
        const { text, rules } = await draftPolicy(traffic, credentials, options)
        const { snapshot, issues } = await compileFiles('.', [
          ...credentials.sources,
          { file: 'z.yaml', bytes: Buffer.from(text) },
        ])
        expect(issues.filter(({ severity }) => severity === 'error')).toEqual([])
        if (!snapshot) throw new Error('no snapshot')
        const left = new Set(traffic.leftOut.map(({ agent, what }) => `${agent} ${what}`))
        for (const each of placed) {
          const ask = askOf(each as Seen)
          const name = `${each.agent} ${each.method} ${each.scheme}://${each.host}${each.path}`
          if (!ask || left.has(name)) continue
          expect(decide(snapshot.policy, agentOf(snapshot, each.agent ?? ''), ask).kind, name).toBe('allow')
        }
        const hosts = new Set(placed.map(({ host }) => host))
        expect(rules.filter(({ host }) => !hosts.has(host))).toEqual([])
        expect((await draftPolicy(trafficOf(placed.toReversed()), credentials, options)).text.replaceAll(/from: .*/g, '')).toBe(
          text.replaceAll(/from: .*/g, ''),
        )
      }),
      { numRuns: 60 },
    )
  })
})
