import { describe, expect, it } from 'vitest'
import { explain, explanationText, lineReader } from '#config/explain.ts'
import { loadPolicies } from '#config/load.ts'
import type { Snapshot } from '#contracts/snapshot.ts'
import { snapshotOf } from '../kit/policy.ts'

const text = `
credentials:
  one: {kind: bearer, stub: stub-number-1, secret: {env: ONE}, hosts: [x.test]}
  two: {kind: header, header: x-api-key, stub: stub-number-2, secret: {env: TWO}, hosts: [x.test], agents: [b]}
  three: {kind: query, param: key, stub: stub-number-3, secret: {env: THREE}, hosts: [y.test]}
rules:
  - {id: no, effect: deny, hosts: [x.test], methods: [DELETE], reason: never}
  - {id: x, hosts: [x.test, y.test], credentials: [one, two, three], plain: true}
`

function told(snapshot: Snapshot, agent: string, method: string, url: string): string {
  const explanation = explain(snapshot, agent, method, url, ({ line }) => `line ${line}`)
  return 'problem' in explanation ? explanation.problem : explanationText(explanation)
}

describe('the explanation of a request', () => {
  it('lists the rules, the deciding line and where each credential would go', async () => {
    expect(told(await snapshotOf(text), 'a', 'GET', 'https://x.test/p?q=1')).toBe(
      [
        'a: GET https://x.test/p?q=1',
        '  host     inspect',
        '  rule     no (deny): method differs',
        '  rule     x (allow): matches',
        '  verdict  allow by rule x',
        '  at       policies/test.yaml:9:5  line 9',
        '  swap     one: header:authorization',
        '  swap     two: not granted to a',
        '  swap     three: not scoped to x.test',
      ].join('\n'),
    )
  })

  it.each([
    ['a', 'DELETE', 'https://x.test/', 'deny by rule no: rule_denied, never'],
    ['a', 'GET', 'https://z.test/', 'deny by no rule: host_denied, no rule lets a reach z.test'],
    ['a', 'GET', 'https://x.test:8443/', 'deny by no rule: port_denied, no rule lets a reach port 8443 of x.test'],
    ['a', 'GET', 'https://x.test/a/../b', 'deny by no rule: bad_path, the path has a dot segment'],
    ['a', 'GET', 'https://x.test/a#b', 'deny by no rule: bad_path, the path has a "?" or "#"'],
    ['a', 'GET', 'http://x.test/', 'one: nothing is swapped over plain HTTP'],
    ['nobody', 'GET', 'https://x.test/', 'no agent is called "nobody"; there is a, b'],
    ['a', 'GET', 'x.test', '"x.test" is not an http or https URL with a plain host name'],
    ['a', 'GET', 'https://me@x.test/', '"https://me@x.test/" is not an http or https URL with a plain host name'],
    ['a', 'GET', 'https://10.0.0.1/', '"https://10.0.0.1/" is not an http or https URL with a plain host name'],
  ])('%s, %s %s: %s', async (agent, method, url, expected) => {
    expect(told(await snapshotOf(text), agent, method, url)).toContain(expected)
  })

  it('says agent_ambiguous, as the proxy does, where another agent has all its addresses', async () => {
    const agents = 'agents: {a: {from: [{cidr: 10.0.0.1}]}, b: {from: [{cidr: 10.0.0.0/8}]}}\nrules: [{id: r, hosts: [x.test]}]'
    const snapshot = await snapshotOf(agents)
    expect(told(snapshot, 'a', 'GET', 'https://x.test/')).toContain('verdict  deny by no rule: agent_ambiguous')
    expect(told(snapshot, 'b', 'GET', 'https://x.test/')).toContain('verdict  allow')
  })

  it('names the patterns that the path is none of', async () => {
    const snapshot = await snapshotOf('rules: [{id: r, hosts: [x.test], paths: [/v1/**, /health]}]')
    expect(told(snapshot, 'a', 'GET', 'https://x.test/v2')).toContain('rule     r (allow): path differs from /v1/**, /health')
  })

  it('says in report mode what would be refused', async () => {
    const snapshot = await snapshotOf('agents: {a: {from: [{cidr: 127.0.0.1}], mode: report}}\nrules: []')
    expect(told(snapshot, 'a', 'GET', 'https://x.test/')).toContain('verdict  would_deny by no rule: host_denied')
  })

  const priced = `
agents: {a: {from: [{cidr: 127.0.0.1}], budget: [day, team]}, b: {from: [{cidr: 127.0.0.2}], mode: report}}
budgets:
  day: {window: day, timezone: Europe/Berlin, tokens: 5000, atLimit: cut}
  team: {per: crew, window: month, usd: 2.5}
rules:
  - {id: search, hosts: [api.anthropic.com], paths: [/v1/sessions], meter: auto, price: {usd: 0.01}}
  - {id: llm, hosts: [api.anthropic.com, x.test], meter: auto}
  - {id: plain, hosts: [y.test]}
`
  const both = [
    '  budget   day (a): at most 5000 tokens; each day in Europe/Berlin; at its limit: cut',
    '  budget   team (*): at most $2.50; each month in UTC; at its limit: refuse',
  ]

  it.each([
    ['POST', 'https://api.anthropic.com/v1/messages', ['  meter    anthropic: metered', ...both]],
    ['POST', 'https://api.anthropic.com/v1/sessions', ['  meter    anthropic: priced', ...both]],
    ['GET', 'https://api.anthropic.com/v1/models', ['  meter    anthropic: free']],
    ['GET', 'https://y.test/', []],
  ])('shows what %s %s is charged to', async (method, url, expected) => {
    const lines = told(await snapshotOf(priced), 'a', method, url).split('\n')
    expect(lines.filter((line) => /^ {2}(?:meter|budget) /.test(line))).toEqual(expected)
  })

  it('says what is refused since nothing tells its cost, and is let through in report mode', async () => {
    const snapshot = await snapshotOf(priced)
    const batch = 'https://api.anthropic.com/v1/messages/batches'
    expect(told(snapshot, 'a', 'POST', batch)).toContain('verdict  deny by rule llm: unmetered, ')
    expect(told(snapshot, 'b', 'POST', batch)).toContain('verdict  would_deny by rule llm: unmetered, ')
    expect(told(snapshot, 'a', 'POST', 'https://x.test/')).toContain('unmetered, meter: auto knows no provider for x.test')
  })

  it('reads the deciding line from the file', async () => {
    const { snapshot, files } = await loadPolicies('policies/examples')
    expect(snapshot).toBeUndefined()
    const lineOf = await lineReader(files)
    expect(lineOf({ file: 'policies/examples/crew.yaml', line: 88, column: 1 })).toBe('- id: anthropic')
    expect(lineOf({ file: 'policies/examples/gone.yaml', line: 1, column: 1 })).toBeUndefined()
  })
})
