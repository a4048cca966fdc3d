import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { matchesHost } from '#base/host.ts'
import { admit } from '#journey/admit.ts'
import { compilePolicy } from '#policy/compile.ts'
import { decide, decideHost } from '#policy/decide.ts'
import { agentSchema, ruleSchema } from '#policy/schema.ts'
import { agentOf, askOf, hostOf, loadText, snapshotOf } from '../kit/policy.ts'

describe('the compiled policy', () => {
  it.each([
    ['{id: r, hosts: [x.test]}', [443]],
    ['{id: r, hosts: [x.test], plain: true}', [443, 80]],
    ['{id: r, hosts: [x.test], plain: true, ports: [8080]}', [8080]],
    ['{id: r, effect: deny, hosts: [x.test]}', undefined],
    ['{id: r, effect: deny, hosts: [x.test], ports: [25]}', [25]],
  ])('%s covers the ports %j', async (rule, expected) => {
    const { policy } = await snapshotOf(`rules: [${rule}]`)
    expect(policy.rules[0]?.ports && [...policy.rules[0].ports]).toEqual(expected)
  })

  it.each([
    ['', 'refuse'],
    ['foreign: allow', 'allow'],
    ['foreign: refuse, credentials: [lax]', 'refuse'],
    ['credentials: [lax]', 'allow'],
    ['credentials: [lax, strict]', 'refuse'],
  ])('a rule with "%s" does %s foreign credentials', async (fields, expected) => {
    const { policy } = await snapshotOf(`
credentials:
  lax: {kind: bearer, stub: stub-lax-1, secret: {env: LAX}, hosts: [x.test], foreign: allow}
  strict: {kind: bearer, stub: stub-strict-1, secret: {env: STRICT}, hosts: [x.test]}
rules: [{id: r, hosts: [x.test]${fields && `, ${fields}`}}]`)
    expect(policy.rules[0]?.foreign).toBe(expected)
  })

  it('cannot be changed', async () => {
    const snapshot = await snapshotOf('rules: [{id: r, hosts: [x.test]}]')
    for (const each of [snapshot, snapshot.policy, snapshot.policy.rules, snapshot.policy.rules[0], agentOf(snapshot)]) {
      expect(Object.isFrozen(each)).toBe(true)
    }
  })

  it('answers a host with its own rules only, however many there are', () => {
    const position = { file: 'test', line: 1, column: 1 }
    const rules = Array.from({ length: 10_000 }, (_, index) =>
      ruleSchema.parse({ id: `r${index}`, hosts: [`h${index}.test`, `*.z${index % 5000}.test`] }),
    )
    const policy = compilePolicy({
      agents: new Map([['a', agentSchema.parse({ from: [{ cidr: '127.0.0.1' }] })]]),
      rules: rules.map((rule) => ({ rule, position })),
      dns: { deny: undefined, forward: [], records: [] },
      foreign: new Map(),
    })
    const ids = (name: string) => policy.rulesFor(hostOf(name)).map(({ id }) => id)
    expect(ids('h9999.test')).toEqual(['r9999'])
    expect(ids('deep.er.z7.test')).toEqual(['r7', 'r5007'])
    expect(ids('z7.test')).toEqual([])
    expect(ids('other.test')).toEqual([])
    const agent = policy.agents.get('a')
    if (!agent) throw new Error('no agent')
    expect(decide(policy, agent, askOf('GET https://h5000.test/'))).toMatchObject({ kind: 'allow', rule: { id: 'r5000' } })
    expect(policy.rulesFor(hostOf('h1.test'))).toBe(policy.rulesFor(hostOf('h1.test')))
  })

  it('loads ten thousand rules from a file', async () => {
    const lines = Array.from({ length: 10_000 }, (_, index) => `  - {id: r${index}, hosts: [h${index}.test], paths: [/p/**]}`)
    const { snapshot, issues } = await loadText(`rules:\n${lines.join('\n')}\n`)
    expect(issues).toEqual([])
    expect(snapshot?.policy.rules).toHaveLength(10_000)
  })

  it('answers as looking at every rule would', () => {
    const name = fc.constantFrom('x.test', 'a.x.test', 'b.a.x.test', 'y.test', 'a.y.test')
    const pattern = fc.oneof(name, fc.constantFrom('*.x.test', '*.a.x.test', '*.y.test'))
    fc.assert(
      fc.property(fc.array(fc.array(pattern, { minLength: 1, maxLength: 3 }), { maxLength: 8 }), name, (lists, asked) => {
        const rules = lists.map((hosts, index) => ({
          rule: ruleSchema.parse({ id: `r${index}`, hosts }),
          position: { file: '', line: 1, column: 1 },
        }))
        const policy = compilePolicy({
          agents: new Map(),
          rules,
          dns: { deny: undefined, forward: [], records: [] },
          foreign: new Map(),
        })
        const host = hostOf(asked)
        expect(policy.rulesFor(host)).toEqual(policy.rules.filter((rule) => rule.hosts.some((each) => matchesHost(each, host))))
      }),
    )
  })
})

// Threat 75: wherever a credential could be put in, a rule judges, and the credential is scoped to that host and agent.
describe('a credential is only granted', () => {
  it('on a host that it is scoped to and a rule allows, to an agent it is for, over TLS', async () => {
    const host = fc.constantFrom('x.test', 'a.x.test', 'y.test')
    const pattern = fc.oneof(host, fc.constant('*.x.test'))
    const patterns = fc.array(pattern, { minLength: 1, maxLength: 2 })
    const agents = fc.constantFrom(undefined, ['a'], ['b'])
    const rule = fc.record({
      effect: fc.constantFrom('allow', 'deny'),
      hosts: patterns,
      agents,
      plain: fc.boolean(),
      methods: fc.constantFrom(undefined, ['GET']),
      credentials: fc.subarray(['one', 'two']),
    })
    const credential = fc.record({ hosts: patterns, agents })
    await fc.assert(
      fc.asyncProperty(fc.array(rule, { maxLength: 4 }), credential, credential, host, async (rules, one, two, asked) => {
        const secret = { env: 'NONE' }
        const document = {
          rules: rules.map((each, index) => ({
            id: `r${index}`,
            ...each,
            ...(each.effect === 'deny' && { credentials: [], plain: false }),
          })),
          credentials: {
            one: { kind: 'bearer', stub: 'stub-number-1', secret, ...one },
            two: { kind: 'bearer', stub: 'stub-number-2', secret, ...two },
          },
        }
        const text = Object.entries(document)
          .map(([key, value]) => `${key}: ${JSON.stringify(value)}`)
          .join('\n')
        const { snapshot } = await loadText(text)
        // Some of these policies are mistakes (a refusal that never decides); then nothing is granted at all.
        if (!snapshot) return
        for (const agent of snapshot.policy.agents.values()) {
          for (const scheme of ['https', 'http'] as const) {
            const ask = { ...askOf(`GET ${scheme}://${asked}/`) }
            const verdict = decide(snapshot.policy, agent, ask)
            if (verdict.kind === 'deny') continue
            for (const each of admit(verdict, { agent, snapshot }, { ...ask, headers: [] }).credentials) {
              expect(scheme).toBe('https')
              expect(verdict.rule).toMatchObject({ effect: 'allow', inspect: true })
              expect(verdict.rule?.hosts.some((every) => matchesHost(every, ask.host))).toBe(true)
              expect(each.hosts.some((every) => matchesHost(every, ask.host))).toBe(true)
              expect(each.agents?.has(agent.id) ?? true).toBe(true)
              expect(decideHost(snapshot.policy, agent, ask.host, ask.port).kind).toBe('inspect')
            }
          }
        }
      }),
      { numRuns: 300 },
    )
  })
})
