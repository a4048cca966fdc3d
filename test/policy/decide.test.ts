import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compilePolicy } from '#policy/compile.ts'
import { decide, decideHost, explainDecision } from '#policy/decide.ts'
import { mismatch, question } from '#policy/match.ts'
import { ruleSchema } from '#policy/schema.ts'
import type { HostVerdict, Verdict } from '#policy/types.ts'
import { agentOf, askOf, hostOf, snapshotOf } from '../kit/policy.ts'

function words(verdict: Verdict | HostVerdict): string {
  if (verdict.kind === 'deny') return `deny ${verdict.code}${verdict.rule ? ` ${verdict.rule.id}` : ''}`
  const would = 'wouldDeny' in verdict && verdict.wouldDeny ? ` would ${verdict.wouldDeny.code}` : ''
  return `${verdict.kind}${verdict.rule ? ` ${verdict.rule.id}` : ''}${would}`
}

const example = `
agents:
  a: {from: [{cidr: 127.0.0.1}]}
  b: {from: [{cidr: 127.0.0.2}]}
  watched: {from: [{cidr: 127.0.0.3}], mode: report}
rules:
  - {id: no-delete, effect: deny, hosts: [api.test], methods: [DELETE], paths: [/repos/*/*], reason: ask first}
  - {id: api, hosts: [api.test, "*.api.test"]}
  - {id: inference, agents: [a], hosts: [llm.test], methods: [POST], paths: [/v1/**]}
  - {id: git, hosts: [git.test], git: {fetch: ["*/*"], push: [own/repo]}}
  - {id: status, hosts: [status.test], plain: true}
  - {id: pinned, hosts: [pinned.test], inspect: false}
  - {id: odd-port, hosts: [odd.test], ports: [8443]}
  - {id: closed, effect: deny, hosts: [closed.zone.test]}
  - {id: zone, hosts: ["*.zone.test"]}
  - {id: doh, hosts: [doh.test], paths: [/dns-query, /named, /x/**]}
`

describe('the decision', () => {
  it.each([
    ['a', 'GET https://api.test/x', 'allow api'],
    ['a', 'GET https://deep.er.api.test/x', 'allow api'],
    ['a', 'DELETE https://api.test/repos/o/n', 'deny rule_denied no-delete'],
    ['a', 'DELETE https://api.test/repos/o/n/keys', 'allow api'],
    ['a', 'DELETE https://api.test/repos/o/n/', 'deny rule_denied no-delete'],
    ['a', 'DELETE https://api.test/Repos/o/n', 'deny rule_denied no-delete'],
    ['a', 'DELETE https://api.test/%72epos/o/n', 'deny rule_denied no-delete'],
    ['a', 'GET https://api.test:8443/x', 'deny port_denied'],
    ['a', 'GET http://api.test/x', 'deny plain_denied'],
    ['a', 'POST https://llm.test/v1/messages', 'allow inference'],
    ['b', 'POST https://llm.test/v1/messages', 'deny host_denied'],
    ['a', 'GET https://llm.test/v1/messages', 'deny request_denied'],
    ['a', 'POST https://llm.test/v2/messages', 'deny request_denied'],
    ['a', 'GET https://git.test/o/n.git/info/refs?service=git-upload-pack', 'allow git'],
    ['a', 'POST https://git.test/o/n/git-receive-pack', 'deny request_denied'],
    ['a', 'POST https://git.test/Own/Repo.git/git-receive-pack', 'allow git'],
    ['a', 'GET https://git.test/o/n', 'deny request_denied'],
    ['a', 'GET http://status.test/', 'allow status'],
    ['a', 'GET https://status.test/', 'allow status'],
    ['a', 'GET http://status.test:8080/', 'deny port_denied'],
    ['a', 'GET https://odd.test:8443/', 'allow odd-port'],
    ['a', 'GET https://odd.test/', 'deny port_denied'],
    ['a', 'GET https://closed.zone.test/', 'deny rule_denied closed'],
    ['a', 'GET http://closed.zone.test:81/', 'deny rule_denied closed'],
    ['a', 'GET https://open.zone.test/', 'allow zone'],
    ['a', 'GET https://zone.test/', 'deny host_denied'],
    ['a', 'GET https://evil.test/', 'deny host_denied'],
    ['a', 'GET https://api.test/a/%2e%2e/b', 'deny bad_path'],
    ['a', 'GET https://api.test/o/a%2Fb', 'allow api'],
    ['watched', 'GET https://api.test/x', 'allow api'],
    ['watched', 'GET https://evil.test/', 'allow would host_denied'],
    ['watched', 'DELETE https://api.test/repos/o/n', 'allow would rule_denied'],
  ])('%s, %s: %s', async (agent, text, expected) => {
    const snapshot = await snapshotOf(example)
    expect(words(decide(snapshot.policy, agentOf(snapshot, agent), askOf(text)))).toBe(expected)
  })

  // Threat 51: a tunnel for DNS under an allowed host.
  it.each([
    ['POST https://api.test/dns-query', 'deny dns_over_https api'],
    ['POST https://api.test/dns-query/', 'deny dns_over_https api'],
    ['POST https://api.test/x%2Fdns-query', 'deny dns_over_https api'],
    ['POST https://api.test/a/DNS%2Dquery', 'deny dns_over_https api'],
    ['GET https://api.test/resolve?dns=AAAB', 'deny dns_over_https api'],
    ['GET https://api.test/resolve?a=1&%64ns=AAAB', 'deny dns_over_https api'],
    ['GET https://api.test/resolve?address=1&mydns=1', 'allow api'],
    ['GET https://doh.test/dns-query?dns=AAAB', 'allow doh'],
    ['GET https://doh.test/named?dns=AAAB', 'allow doh'],
    ['GET https://doh.test/x/dns-query', 'deny dns_over_https doh'],
    ['GET https://doh.test/x/named?dns=AAAB', 'deny dns_over_https doh'],
  ])('DNS over HTTPS, %s: %s', async (text, expected) => {
    const snapshot = await snapshotOf(example)
    expect(words(decide(snapshot.policy, agentOf(snapshot), askOf(text)))).toBe(expected)
  })

  it('gives the reason of the rule', async () => {
    const snapshot = await snapshotOf(example)
    expect(decide(snapshot.policy, agentOf(snapshot), askOf('DELETE https://api.test/repos/o/n'))).toMatchObject({
      reason: 'ask first',
    })
  })

  // Threat 137.
  it('refuses everything when there are no rules', async () => {
    const snapshot = await snapshotOf('rules: []')
    expect(words(decide(snapshot.policy, agentOf(snapshot), askOf('GET https://api.test/')))).toBe('deny host_denied')
    expect(words(decideHost(snapshot.policy, agentOf(snapshot), hostOf('api.test')))).toBe('deny host_denied')
  })
})

describe('the decision about a host', () => {
  it.each(['api.test', 'evil.test'])('says what git does in place of ssh to port 22 of %s', async (host) => {
    const snapshot = await snapshotOf('rules: [{id: api, hosts: [api.test]}]')
    const verdict = decideHost(snapshot.policy, agentOf(snapshot), hostOf(host), 22)
    const words = `use HTTPS: git config --global url."https://${host}/".insteadOf "git@${host}:"`
    expect(verdict).toMatchObject({ kind: 'deny', reason: expect.stringContaining(words) })
  })

  it.each([
    ['a', 'api.test', undefined, 'inspect api'],
    ['a', 'api.test', 443, 'inspect api'],
    ['a', 'api.test', 80, 'deny port_denied'],
    ['a', 'llm.test', undefined, 'inspect inference'],
    ['b', 'llm.test', undefined, 'deny host_denied'],
    ['a', 'pinned.test', 443, 'splice pinned'],
    ['a', 'pinned.test', undefined, 'splice pinned'],
    ['a', 'odd.test', undefined, 'inspect odd-port'],
    ['a', 'closed.zone.test', undefined, 'deny rule_denied closed'],
    ['a', 'closed.zone.test', 443, 'deny rule_denied closed'],
    ['a', 'open.zone.test', 443, 'inspect zone'],
    ['a', 'evil.test', 443, 'deny host_denied'],
    ['watched', 'evil.test', 443, 'inspect would host_denied'],
    ['watched', 'pinned.test', 443, 'splice pinned'],
  ])('%s, %s, port %s: %s', async (agent, host, port, expected) => {
    const snapshot = await snapshotOf(example)
    expect(words(decideHost(snapshot.policy, agentOf(snapshot, agent), hostOf(host), port))).toBe(expected)
  })

  it('leaves other ports open to later rules when a refusal names ports', async () => {
    const snapshot = await snapshotOf(
      'rules: [{id: no, effect: deny, hosts: [x.test], ports: [8443]}, {id: yes, hosts: [x.test], ports: [443, 8443]}]',
    )
    const agent = agentOf(snapshot)
    expect(words(decideHost(snapshot.policy, agent, hostOf('x.test')))).toBe('inspect yes')
    expect(words(decideHost(snapshot.policy, agent, hostOf('x.test'), 8443))).toBe('deny rule_denied no')
    expect(words(decideHost(snapshot.policy, agent, hostOf('x.test'), 443))).toBe('inspect yes')
  })

  it('does not splice past a refusal that has to see the request', async () => {
    const snapshot = await snapshotOf(
      'rules: [{id: no, effect: deny, hosts: [a.x.test], methods: [DELETE]}, {id: pinned, hosts: ["*.x.test"], inspect: false}]',
    )
    const agent = agentOf(snapshot)
    expect(words(decideHost(snapshot.policy, agent, hostOf('a.x.test'), 443))).toBe('inspect pinned')
    expect(words(decideHost(snapshot.policy, agent, hostOf('b.x.test'), 443))).toBe('splice pinned')
  })

  it('never refuses a host to which some request would be allowed, and never opens one that has no rule', async () => {
    const rule = fc.record({
      effect: fc.constantFrom('allow', 'deny'),
      agents: fc.constantFrom(undefined, ['a'], ['b']),
      hosts: fc.constantFrom(['x.test'], ['*.x.test'], ['a.x.test', 'x.test']),
      methods: fc.constantFrom(undefined, ['GET']),
      paths: fc.constantFrom(undefined, ['/p/**']),
      ports: fc.constantFrom(undefined, [443], [8443]),
    })
    const asks = [
      'GET https://x.test/p/1',
      'POST https://x.test/q',
      'GET https://a.x.test/p',
      'GET https://x.test:8443/p',
      'POST https://a.x.test:8443/',
    ]
    await fc.assert(
      fc.asyncProperty(fc.array(rule, { maxLength: 4 }), async (list) => {
        const written = list.map((each, index) => ({ ...each, id: `r${index}` }))
        const { policy, agents } = await compiled(written)
        for (const agent of agents) {
          for (const ask of asks.map(askOf)) {
            const request = decide(policy, agent, ask)
            if (request.kind === 'deny') continue
            expect(decideHost(policy, agent, ask.host).kind).not.toBe('deny')
            expect(decideHost(policy, agent, ask.host, ask.port).kind).not.toBe('deny')
            expect(request.rule?.effect).toBe('allow')
          }
        }
      }),
      { numRuns: 200 },
    )
  })
})

describe('the explanation', () => {
  it('lists the rules that were compared and what each lacked', async () => {
    const snapshot = await snapshotOf(example)
    const { steps, verdict } = explainDecision(snapshot.policy, agentOf(snapshot), askOf('GET https://api.test/x'))
    expect(steps.map(({ rule, differs }) => [rule.id, differs])).toEqual([
      ['no-delete', 'method'],
      ['api', undefined],
    ])
    expect(words(verdict)).toBe('allow api')
  })
})

async function compiled(rules: readonly object[]) {
  const { ruleSchema, agentSchema } = await import('#policy/schema.ts')
  const { compilePolicy } = await import('#policy/compile.ts')
  const agents = new Map(['a', 'b'].map((id, index) => [id, agentSchema.parse({ from: [{ cidr: `127.0.0.${index + 1}` }] })]))
  const policy = compilePolicy({
    agents,
    rules: rules.map((rule) => ({ rule: ruleSchema.parse(rule), position: { file: 'test', line: 1, column: 1 } })),
    dns: { deny: undefined, forward: [], records: [] },
    foreign: new Map(),
  })
  return { policy, agents: [...policy.agents.values()] }
}

describe('the index of rules by host', () => {
  const host = fc.constantFrom('x.test', 'a.x.test', 'b.a.x.test', 'y.test', 'a.y.test')
  const pattern = fc.oneof(host, fc.constantFrom('*.x.test', '*.a.x.test', '*.y.test'))
  const sometimes = <Value>(...values: Value[]) => fc.option(fc.constantFrom(...values), { nil: undefined })
  const rule = fc.record({
    effect: fc.constantFrom('allow', 'deny'),
    agents: sometimes(['a'], ['b']),
    hosts: fc.array(pattern, { minLength: 1, maxLength: 3 }),
    methods: sometimes(['GET'], ['POST']),
    paths: sometimes(['/v1/**'], ['/v1/x', '/v2/*'], ['/**']),
  })
  const asks = fc.record({
    name: host,
    method: fc.constantFrom('GET', 'POST'),
    path: fc.constantFrom('/', '/v1/x', '/v2/y', '/V1/x', '/v1//x', '/v1/%2e%2e/x'),
  })

  it('changes no verdict: the first of all rules that matches decides', () => {
    const position = { file: '', line: 1, column: 1 }
    const dns = { deny: undefined, forward: [], records: [] }
    const agent = { id: 'a', mode: 'enforce', budgets: [], cidrs: [], proxyAuth: [], pods: [] } as const
    fc.assert(
      fc.property(fc.array(rule, { maxLength: 8 }), asks, (inputs, { name, method, path }) => {
        const rules = inputs.map((each, index) => ({ rule: ruleSchema.parse({ id: `r${index}`, ...each }), position }))
        const policy = compilePolicy({ agents: new Map(), rules, dns, foreign: new Map() })
        // Without an index every rule is a candidate for every host.
        const naive = { ...policy, rulesFor: () => policy.rules }
        const ask = askOf(`${method} https://${name}${path}`)
        const asked = question('a', ask)
        const first = 'refused' in asked ? undefined : policy.rules.find((each) => mismatch(each, asked) === undefined)
        const verdict = decide(policy, agent, ask)
        expect(words(verdict)).toBe(words(decide(naive, agent, ask)))
        if (verdict.kind === 'allow') expect(verdict.rule).toBe(first)
      }),
      { numRuns: 1_000 },
    )
  })
})
