import { describe, expect, it } from 'vitest'
import { judge, judgeName } from '#policy-tools/judge.ts'
import type { Judgment } from '#policy-tools/judge.ts'
import { agentOf, snapshotOf } from '../kit/policy.ts'

const text = `
agents:
  a: {from: [{cidr: 127.0.0.1}]}
  b: {from: [{cidr: 127.0.0.2}], mode: report}
credentials:
  key: {kind: header, header: x-api-key, stub: stub-of-the-key, secret: {env: KEY}, hosts: [x.test]}
  param: {kind: query, param: key, stub: stub-of-the-param, secret: {env: PARAM}, hosts: [x.test]}
  login:
    kind: oauth2
    stubs: {access: stub-of-access, refresh: stub-of-refresh}
    grant: {file: grant.json}
    tokenEndpoint: https://login.test/token
    clientId: c
    hosts: [x.test]
rules:
  - {id: no, effect: deny, hosts: [x.test], methods: [DELETE]}
  - {id: x, hosts: [x.test], credentials: [key, param, login]}
  - {id: login, hosts: [login.test], credentials: [login]}
  - {id: stray, hosts: [other.test]}
  - {id: llm, hosts: [api.anthropic.com], meter: anthropic}
  - {id: spliced, hosts: [pinned.test], inspect: false}
  - {id: doh, hosts: [doh.test]}
`

function words(judged: Judgment | { readonly problem: string }): string {
  if ('problem' in judged) return judged.problem
  const { verdict, door, code, rule, credentials, meter } = judged
  return [verdict, door, code, rule?.id, credentials.join('+'), meter].filter(Boolean).join(' ')
}

describe('the judgment of a request', () => {
  it.each([
    ['a', 'GET https://x.test/', [], 'allow x key+param+login'],
    ['a', 'GET https://x.test/', ['x-api-key', 'stub-of-the-key'], 'allow x key'],
    ['a', 'GET https://x.test/?key=stub-of-the-param', [], 'allow x param'],
    ['a', 'GET https://x.test/', ['authorization', 'Bearer stub-of-access'], 'allow x login'],
    ['a', 'GET https://x.test/', ['authorization', 'Bearer my-own'], 'deny foreign_credential x'],
    ['a', 'GET https://x.test/', ['x-api-key', 'Bearer stub-of-the-key'], 'deny stub_misplaced x'],
    ['a', 'GET https://x.test/stub-of-the-key/', [], 'deny stub_misplaced x'],
    ['a', 'GET https://other.test/', ['x-api-key', 'stub-of-the-key'], 'deny stub_wrong_host stray'],
    ['a', 'DELETE https://x.test/', [], 'deny rule_denied no'],
    ['a', 'GET http://x.test/', [], 'deny plain_denied'],
    ['a', 'GET https://x.test:8443/', [], 'deny port_denied'],
    ['a', 'GET https://nowhere.test/', [], 'deny host_denied'],
    ['a', 'POST https://login.test/token', [], 'allow login'],
    ['a', 'GET https://login.test/token', [], 'deny token_call_refused login'],
    ['a', 'POST https://api.anthropic.com/v1/messages', [], 'allow llm anthropic'],
    ['a', 'GET https://api.anthropic.com/v1/models', [], 'allow llm'],
    ['a', 'POST https://api.anthropic.com/v1/messages/batches', [], 'deny unmetered llm'],
    ['a', 'GET http://iron-proxy.internal/v1/self', [], 'allow'],
    ['b', 'GET https://x.test/', ['authorization', 'Bearer my-own'], 'would_deny host_denied'],
    ['b', 'GET https://nowhere.test/', [], 'would_deny host_denied'],
    // What no request may be is refused before the policy is asked, in report mode too.
    ['b', 'GET https://x.test/a/../b', [], 'deny bad_path'],
    ['a', 'TRACE https://x.test/', [], 'deny method_not_allowed'],
    ['a', 'GET https://me@x.test/', [], 'deny bad_host'],
    ['a', 'GET https://10.0.0.1/', [], 'deny bad_host'],
    ['a', 'GET https://x.test/', ['x', 'a\nb'], 'deny bad_header'],
    ['a', 'GET https://doh.test/', ['accept', 'application/dns-message'], 'deny dns_over_https doh'],
    ['a', 'GET ftp://x.test/', [], '"ftp://x.test/" is not an http or https URL'],
  ])('%s %s with %j: %s', async (id, asked, headers, expected) => {
    const snapshot = await snapshotOf(id === 'b' ? text.replace('{id: x, ', '{id: x, agents: [a], ') : text)
    const [method = '', url = ''] = asked.split(' ')
    expect(words(judge(snapshot, agentOf(snapshot, id), { method, url, headers }))).toBe(expected)
  })

  it.each([
    ['GET https://x.test/', ['authorization', 'Bearer my-own'], 'would_deny foreign_credential x'],
    ['POST https://api.anthropic.com/v1/messages/batches', [], 'would_deny unmetered llm'],
  ])('in report mode %s with %j: %s', async (asked, headers, expected) => {
    const snapshot = await snapshotOf(text)
    const [method = '', url = ''] = asked.split(' ')
    expect(words(judge(snapshot, agentOf(snapshot, 'b'), { method, url, headers }))).toBe(expected)
  })

  it.each([
    ['a', 'x.test', 'allow inspect x'],
    ['a', 'pinned.test', 'allow splice spliced'],
    ['a', 'nowhere.test', 'deny host_denied'],
    ['b', 'nowhere.test', 'would_deny host_denied'],
    ['a', '10.0.0.1', '"10.0.0.1" is not a plain host name'],
  ])('%s, the name %s: %s', async (id, name, expected) => {
    const snapshot = await snapshotOf(text)
    expect(words(judgeName(snapshot, agentOf(snapshot, id), name))).toBe(expected)
  })

  it('is agent_ambiguous where another agent has every address of this one', async () => {
    const snapshot = await snapshotOf(
      'agents: {a: {from: [{cidr: 10.0.0.1}]}, b: {from: [{cidr: 10.0.0.0/8}]}}\nrules: [{id: r, hosts: [x.test]}]',
    )
    const ask = { method: 'GET', url: 'https://x.test/', headers: [] }
    expect(words(judge(snapshot, agentOf(snapshot, 'a'), ask))).toBe('deny agent_ambiguous')
    expect(words(judgeName(snapshot, agentOf(snapshot, 'a'), 'x.test'))).toBe('deny agent_ambiguous')
    expect(words(judge(snapshot, agentOf(snapshot, 'b'), ask))).toBe('allow r')
  })
})
