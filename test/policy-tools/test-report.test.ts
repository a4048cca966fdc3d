import { describe, expect, it } from 'vitest'
import { runTests, untested } from '#policy-tools/run-tests.ts'
import { readTests } from '#policy-tools/test-file.ts'
import { printReport } from '#policy-tools/test-report.ts'
import type { TestReport } from '#policy-tools/test-report.ts'
import { snapshotOf } from '../kit/policy.ts'

async function report(): Promise<TestReport> {
  const snapshot = await snapshotOf('rules: [{id: x, hosts: [x.test]}, {id: y, hosts: [y.test]}]')
  const text = [
    'version: 1',
    'cases:',
    '  - {agent: a, url: "https://x.test/?a&b", expect: allow}',
    '  - {case: "no <x> #1", agent: a, name: x.test}',
  ].join('\n')
  const suites = [runTests(snapshot, readTests('a.test.yaml', Buffer.from(text)))]
  return { suites, coverage: [{ policy: 'policies', rules: 2, untested: untested(snapshot, suites) }] }
}

describe('the report', () => {
  it('names the place of a failure, what differs, and the rules that no test decides', async () => {
    expect(printReport(await report(), 'text').split('\n')).toEqual([
      'a.test.yaml:4:5 no <x> #1 (a x.test)',
      '    verdict: expected deny, got allow (inspect) by rule x',
      expect.stringMatching(/^policies\/test\.yaml:2:\d+ rule y is decided by no test$/),
      '2 cases: 1 passed, 1 failed; 1 of 2 rules decided by a test',
    ])
  })

  it('is TAP 13', async () => {
    expect(printReport(await report(), 'tap').split('\n')).toEqual([
      'TAP version 13',
      '1..2',
      'ok 1 - a GET https://x.test/?a&b',
      'not ok 2 - no <x> \\#1 (a x.test)',
      '  ---',
      '  at: "a.test.yaml:4:5"',
      '  faults:',
      '    - "verdict: expected deny, got allow (inspect) by rule x"',
      '  ...',
      '# policies: rule y is decided by no test',
    ])
  })

  it('is JUnit XML with every text escaped', async () => {
    const text = printReport(await report(), 'junit')
    expect(text).toContain('<testsuite name="a.test.yaml" tests="2" failures="1">')
    expect(text).toContain('<testcase name="a GET https://x.test/?a&amp;b" classname="a.test.yaml" file="a.test.yaml" line="3"/>')
    expect(text).toContain('<testcase name="no &lt;x&gt; #1 (a x.test)"')
    expect(text).toContain('<failure message="verdict: expected deny, got allow (inspect) by rule x">')
  })

  it('is JSON for scripts', async () => {
    expect(JSON.parse(printReport(await report(), 'json'))).toMatchObject({
      ok: false,
      cases: 2,
      failed: 1,
      results: [
        { ok: true, agent: 'a', method: 'GET', url: 'https://x.test/?a&b', verdict: 'allow', rule: 'x', faults: [] },
        { ok: false, case: 'no <x> #1', name: 'x.test', position: { file: 'a.test.yaml', line: 4 } },
      ],
      coverage: [{ policy: 'policies', rules: 2, untested: [{ rule: 'y' }] }],
    })
  })
})
