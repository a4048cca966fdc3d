import { describe, expect, it } from 'vitest'
import { formatIssue } from '#config/issue.ts'
import { loadText } from '../kit/policy.ts'

async function found(text: string): Promise<string[]> {
  const { issues } = await loadText(text)
  return issues.map(formatIssue)
}

describe('names', () => {
  it('must exist and be used once', async () => {
    expect(
      await found(`rules:
  - {id: r, hosts: [x.test], agents: [nobody]}
  - {id: r, hosts: [y.test], credentials: [nothing]}`),
    ).toEqual([
      'policies/test.yaml:3:39 rules[0].agents: no agent is called "nobody"',
      'policies/test.yaml:4:10 rules[1].id: "r" is the id of another rule already (policies/test.yaml:3)',
      'policies/test.yaml:4:44 rules[1].credentials: no credential is called "nothing"',
    ])
  })
})

describe('rules that never decide', () => {
  const covered = 'comes first and matches all of it'

  it.each([
    ['{id: one, hosts: ["*.x.test"]}', '{id: two, hosts: [a.x.test], methods: [GET]}', 'warning'],
    ['{id: one, hosts: [x.test, y.test]}', '{id: two, hosts: [y.test]}', 'warning'],
    ['{id: one, hosts: [x.test], paths: [/v1/**]}', '{id: two, hosts: [x.test], paths: [/v1/models]}', 'warning'],
    ['{id: one, hosts: [x.test], paths: [/v1/*]}', '{id: two, hosts: [x.test], paths: [/v1/*]}', 'warning'],
    ['{id: one, hosts: [x.test], methods: [GET, POST]}', '{id: two, hosts: [x.test], methods: [GET]}', 'warning'],
    ['{id: one, hosts: [x.test]}', '{id: two, hosts: [x.test], git: {fetch: [o/n]}}', 'warning'],
    ['{id: one, effect: deny, hosts: [x.test]}', '{id: two, hosts: [x.test], plain: true}', 'warning'],
    ['{id: one, hosts: [x.test]}', '{id: two, effect: deny, hosts: [x.test], methods: [DELETE]}', 'error'],
  ])('%s before %s is an %s', async (one, two, severity) => {
    const { issues } = await loadText(`rules:\n  - ${one}\n  - ${two}\n`)
    expect(issues).toMatchObject([{ severity, path: 'rules[1]', message: expect.stringContaining(covered) as string }])
  })

  it.each([
    ['{id: one, hosts: [a.x.test]}', '{id: two, hosts: ["*.x.test"]}'],
    ['{id: one, hosts: ["*.x.test"]}', '{id: two, hosts: [x.test]}'],
    ['{id: one, hosts: [x.test], agents: [a]}', '{id: two, hosts: [x.test]}'],
    ['{id: one, hosts: [x.test], methods: [GET]}', '{id: two, hosts: [x.test]}'],
    ['{id: one, hosts: [x.test], paths: [/v1/*]}', '{id: two, hosts: [x.test], paths: [/v1/**]}'],
    ['{id: one, hosts: [x.test]}', '{id: two, hosts: [x.test], plain: true}'],
    ['{id: one, hosts: [x.test]}', '{id: two, hosts: [x.test], ports: [8443]}'],
    ['{id: one, hosts: [x.test], git: {fetch: ["*/*"]}}', '{id: two, hosts: [x.test]}'],
    ['{id: one, hosts: [x.test], git: {fetch: ["*/*"]}}', '{id: two, hosts: [x.test], git: {push: [o/n]}}'],
  ])('%s before %s is fine', async (one, two) => {
    expect(await found(`rules:\n  - ${one}\n  - ${two}\n`)).toEqual([])
  })
})

describe('what cannot be kept', () => {
  it('is a refusal that looks into requests which are spliced', async () => {
    expect(
      await found(
        'rules:\n  - {id: no, effect: deny, hosts: [x.test], paths: [/adm/**]}\n  - {id: pinned, hosts: [x.test], inspect: false}',
      ),
    ).toEqual([
      'policies/test.yaml:4:44 rules[1].inspect: rule "no" (policies/test.yaml:3) refuses some requests to this host, which cannot be seen in what is spliced; refuse the whole host, or inspect it',
    ])
  })
})

describe('agents', () => {
  it('are warned about addresses that two of them claim, each pair once', async () => {
    const messages = await found(`agents:
  a: {from: [{cidr: 10.0.0.0/8}, {cidr: 10.1.0.0/16}]}
  b: {from: [{cidr: 10.1.2.3}]}
  c: {from: [{cidr: "fd00::/8"}, {cidr: 11.0.0.0/8}]}
rules: [{id: r, hosts: [x.test]}]`)
    expect(messages).toEqual([
      'policies/test.yaml:4:7 agents.b.from: warning: 10.1.2.3 is also an address of agent "a"; what both claim is refused as ambiguous',
    ])
  })

  it.each([
    ['10.1.2.3', '10.1.2.3/32'],
    ['10.1.0.0/16', '10.1.0.0/16'],
    ['fd00::1', 'fd00:0::1/128'],
  ])('may not both be at %s: neither would ever be heard', async (one, other) => {
    const { issues } = await loadText(
      `agents: {a: {from: [{cidr: "${one}"}]}, b: {from: [{cidr: "${other}"}]}}\nrules: [{id: r, hosts: [x.test]}]`,
    )
    expect(issues).toMatchObject([
      { severity: 'error', message: expect.stringContaining('is also an address of agent') as string },
    ])
  })

  it('may not share a user name', async () => {
    const messages = await found(`agents:
  a: {from: [{proxyAuth: {username: same, password: {env: A}}}]}
  b: {from: [{proxyAuth: {username: same, password: {env: B}}}]}
rules: [{id: r, hosts: [x.test]}]`)
    expect(messages).toEqual(['policies/test.yaml:4:7 agents.b.from: the user name "same" is used by agent "a" already'])
  })
})

describe('ways around the proxy', () => {
  it.each([
    ['rules: [{id: r, hosts: [x.test], ports: [443, 853]}]', 'this opens DNS to another resolver, around the proxy’s own'],
    [
      'rules: [{id: r, hosts: [a.svc]}]\ndns: {forward: [{zones: [svc], to: [10.0.0.1]}]}',
      '"a.svc" lies in the forwarded zone "svc", so agents that use this DNS go around the proxy',
    ],
    [
      'rules: [{id: r, hosts: [x.test]}]\ndns: {records: [{name: x.test, type: A, value: 10.0.0.1}]}',
      '"x.test" has a record under dns.records, so agents that use this DNS go around the proxy',
    ],
  ])('%#: a warning', async (text, message) => {
    const { issues } = await loadText(text)
    expect(issues).toMatchObject([{ severity: 'warning', message }])
  })
})
