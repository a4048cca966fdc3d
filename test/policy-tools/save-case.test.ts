import { describe, expect, it } from 'vitest'
import { judge } from '#policy-tools/judge.ts'
import { runTests } from '#policy-tools/run-tests.ts'
import { withCase } from '#policy-tools/save-case.ts'
import { readTests } from '#policy-tools/test-file.ts'
import { agentOf, snapshotOf } from '../kit/policy.ts'

const policy = `
credentials: {key: {kind: bearer, stub: stub-of-the-key, secret: {env: KEY}, hosts: [x.test]}}
rules: [{id: no, effect: deny, hosts: [x.test], methods: [DELETE]}, {id: x, hosts: [x.test], credentials: [key]}]
`

async function saved(text: string | undefined, method = 'GET', directory?: string): Promise<string | undefined> {
  const snapshot = await snapshotOf(policy)
  const judgment = judge(snapshot, agentOf(snapshot), { method, url: 'https://x.test/', headers: [] })
  if ('problem' in judgment) throw new Error(judgment.problem)
  return withCase(text, 'a', { method, url: 'https://x.test/' }, judgment, directory)
}

describe('a saved case', () => {
  it('makes a test file that passes', async () => {
    const text = await saved(undefined, 'DELETE', '../policies')
    expect(text).toBe(`version: 1
policy: "../policies"

cases:
  - agent: a
    method: DELETE
    url: https://x.test/
    expect: {verdict: deny, code: rule_denied, rule: no}
`)
    const { results } = runTests(await snapshotOf(policy), readTests('a.test.yaml', Buffer.from(text ?? '')))
    expect(results.map(({ faults }) => faults)).toEqual([[]])
  })

  const item = (indent: string) =>
    ['- agent: a', '  url: https://x.test/', '  expect: {verdict: allow, rule: x, credentials: [key]}', '']
      .map((line) => (line === '' ? '' : indent + line))
      .join('\n')

  it.each([
    ['with a comment behind it', 'cases:\n  - name: z.test   # not this\n', '  '],
    ['without an indent', '# first\ncases:\n- name: z.test\n', ''],
    ['without a last line end', 'cases:\n    - name: z.test', '    '],
  ])('stands behind the last case, %s, and changes nothing else', async (_what, text, indent) => {
    expect(await saved(text)).toBe(`${text.trimEnd()}\n${item(indent)}`)
  })

  it('stands before what follows the cases', async () => {
    expect(await saved('cases:\n  - name: z.test\n\n# the end\nversion: 1\n')).toBe(
      `cases:\n  - name: z.test\n${item('  ')}\n# the end\nversion: 1\n`,
    )
  })

  it.each(['version: 1\n', 'cases: [{name: z.test}]\n', '- a\n', ''])('has no place in %j', async (text) => {
    expect(await saved(text)).toBeUndefined()
  })
})
