import { describe, expect, it } from 'vitest'
import { runTests, untested } from '#policy-tools/run-tests.ts'
import { readTests } from '#policy-tools/test-file.ts'
import { snapshotOf } from '../kit/policy.ts'

const policy = `
credentials:
  key: {kind: header, header: x-api-key, format: "Key {}", stub: stub-of-the-key, secret: {env: KEY}, hosts: [x.test]}
  user: {kind: basic, username: me, stub: stub-of-basic, secret: {env: USER}, hosts: [x.test]}
  token: {kind: bearer, stub: stub-of-bearer, secret: {env: TOKEN}, hosts: [x.test]}
  param: {kind: query, param: key, stub: stub-of-the-param, secret: {env: PARAM}, hosts: [x.test]}
rules:
  - {id: no, effect: deny, hosts: [x.test], methods: [DELETE], reason: never}
  - {id: x, hosts: [x.test], credentials: [key, user, token, param]}
  - {id: llm, hosts: [api.anthropic.com], meter: anthropic}
`

async function faultsOf(row: string): Promise<readonly string[]> {
  const snapshot = await snapshotOf(policy)
  const tests = readTests('a.test.yaml', Buffer.from(`version: 1\ncases: [{${row}}]`))
  expect(tests.issues).toEqual([])
  return runTests(snapshot, tests).results.flatMap(({ faults }) => faults)
}

const x = 'agent: a, url: https://x.test/'

describe('the tests of a policy', () => {
  it.each([
    `${x}, expect: allow`,
    `${x}, expect: {verdict: allow, rule: x, credentials: [user, key, token, param], meter: null}`,
    'agent: a, method: DELETE, url: https://x.test/, expect: {verdict: deny, code: rule_denied, rule: no}',
    'agent: a, url: https://y.test/, expect: {verdict: deny, rule: null, credentials: []}',
    `${x}, headers: {X-Api-Key: {credential: key}}, expect: {verdict: allow, credentials: [key]}`,
    `${x}, headers: {authorization: {credential: user}}, expect: {verdict: allow, credentials: [user]}`,
    `${x}, headers: {authorization: {credential: token}}, expect: {verdict: allow, credentials: [token]}`,
    'agent: a, method: POST, url: https://api.anthropic.com/v1/messages, expect: {verdict: allow, meter: anthropic}',
    'agent: a, name: x.test, expect: inspect',
  ])('pass: %s', async (row) => {
    expect(await faultsOf(row)).toEqual([])
  })

  it.each([
    [
      'agent: a, method: DELETE, url: https://x.test/, expect: allow',
      'verdict: expected allow, got deny by rule no: rule_denied, never',
    ],
    [x, 'verdict: expected deny, got allow by rule x'],
    [`${x}, expect: {verdict: allow, rule: no}`, 'rule: expected no, got x'],
    [`${x}, expect: {verdict: allow, rule: null}`, 'rule: expected none, got x'],
    ['agent: a, url: https://y.test/, expect: {verdict: deny, code: port_denied}', 'code: expected port_denied, got host_denied'],
    [
      `${x}, headers: {x-api-key: {credential: key}}, expect: {verdict: allow, credentials: []}`,
      'credentials: expected none, got key',
    ],
    [`${x}, expect: {verdict: allow, meter: openai}`, 'meter: expected openai, got none'],
    ['agent: a, name: x.test, expect: splice', 'verdict: expected splice, got allow (inspect) by rule x'],
    ['url: https://x.test/', 'name an agent; there is a, b'],
    ['agent: c, url: https://x.test/', 'no agent is called "c"; there is a, b'],
    ['agent: a, url: x.test', '"x.test" is not an http or https URL'],
    ['agent: a, name: "*.test"', '"*.test" is not a plain host name'],
    [`${x}, headers: {x-api-key: {credential: token}}`, 'token does not travel in the header x-api-key'],
    [`${x}, headers: {x-api-key: {credential: gone}}`, 'the policy has no credential "gone"'],
  ])('fail: %s', async (row, expected) => {
    const [fault, ...others] = await faultsOf(row)
    expect(fault).toContain(expected)
    expect(others).toEqual([])
  })

  it('leave a rule untested that decides no case', async () => {
    const snapshot = await snapshotOf(policy)
    const text = 'version: 1\ncases: [{agent: a, url: https://x.test/}, {agent: a, name: api.anthropic.com}]'
    const tests = readTests('a', Buffer.from(text))
    expect(untested(snapshot, [runTests(snapshot, tests)]).map(({ id }) => id)).toEqual(['no'])
  })

  it('ask 10,000 cases in less than two seconds of CPU, the reading of their file included', async () => {
    const rows = Array.from(
      { length: 10_000 },
      (_, i) => `  - {agent: a, url: https://x.test/${i}, expect: {verdict: allow, rule: x}}`,
    )
    const bytes = Buffer.from(`version: 1\ncases:\n${rows.join('\n')}\n`)
    const snapshot = await snapshotOf(policy)
    const started = process.cpuUsage()
    const { results } = runTests(snapshot, readTests('a.test.yaml', bytes))
    const { user, system } = process.cpuUsage(started)
    expect(results.filter(({ faults }) => faults.length === 0)).toHaveLength(10_000)
    expect((user + system) / 1e6).toBeLessThan(2)
  })
})
