/** What `iron-proxy test` prints: for people, and as TAP 13, JUnit XML and JSON for what runs it. */
import type { Rule } from '#policy/types.ts'
import type { CaseResult, SuiteResult } from './run-tests.ts'

/** Rules of one policy that no case decides. */
export interface Coverage {
  /** The policy as it was named. */
  readonly policy: string
  readonly rules: number
  readonly untested: readonly Rule[]
}

export interface TestReport {
  readonly suites: readonly SuiteResult[]
  readonly coverage: readonly Coverage[]
}

export const reportForms = ['text', 'tap', 'junit', 'json'] as const
export type ReportForm = (typeof reportForms)[number]

export function printReport(report: TestReport, form: ReportForm): string {
  switch (form) {
    case 'text':
      return textReport(report)
    case 'tap':
      return tapReport(report)
    case 'junit':
      return junitReport(report)
    case 'json':
      return jsonReport(report)
    default:
      return form satisfies never
  }
}

/** How many cases there are, and how many of them fail. */
export function countOf({ suites }: TestReport): { readonly cases: number; readonly failed: number } {
  const results = suites.flatMap((suite) => suite.results)
  return { cases: results.length, failed: results.filter(({ faults }) => faults.length > 0).length }
}

function textReport(report: TestReport): string {
  const { cases, failed } = countOf(report)
  const failures = report.suites
    .flatMap(({ results }) => results)
    .filter(({ faults }) => faults.length > 0)
    .flatMap((result) => [`${placeOf(result)} ${nameOf(result)}`, ...result.faults.map((fault) => `    ${fault}`)])
  const gaps = report.coverage.flatMap(({ untested }) =>
    untested.map(({ id, position: { file, line, column } }) => `${file}:${line}:${column} rule ${id} is decided by no test`),
  )
  const rules = report.coverage.reduce((sum, each) => sum + each.rules, 0)
  const decided = report.coverage.length === 0 ? '' : `; ${rules - gaps.length} of ${counted(rules, 'rule')} decided by a test`
  const sum = `${counted(cases, 'case')}: ${cases - failed} passed, ${failed} failed${decided}`
  return [...failures, ...gaps, sum].join('\n')
}

/** The Test Anything Protocol, version 13. */
function tapReport(report: TestReport): string {
  const results = report.suites.flatMap((suite) => suite.results)
  const lines = results.flatMap((result, index) => {
    const passed = result.faults.length === 0
    // A "#" would begin a directive.
    const line = `${passed ? 'ok' : 'not ok'} ${index + 1} - ${nameOf(result).replaceAll('#', '\\#')}`
    if (passed) return [line]
    return [
      line,
      '  ---',
      `  at: ${JSON.stringify(placeOf(result))}`,
      '  faults:',
      ...result.faults.map((fault) => `    - ${JSON.stringify(fault)}`),
      '  ...',
    ]
  })
  const gaps = report.coverage.flatMap(({ policy, untested }) =>
    untested.map(({ id }) => `# ${policy}: rule ${id} is decided by no test`),
  )
  return ['TAP version 13', `1..${results.length}`, ...lines, ...gaps].join('\n')
}

/** JUnit XML as CI systems read it: one test suite a file. */
function junitReport(report: TestReport): string {
  const { cases, failed } = countOf(report)
  const suites = report.suites.flatMap(({ file, results }) => [
    `  <testsuite name="${xml(file)}" tests="${results.length}" failures="${results.filter(({ faults }) => faults.length > 0).length}">`,
    ...results.map((result) => {
      const head = `    <testcase name="${xml(nameOf(result))}" classname="${xml(file)}" file="${xml(file)}" line="${result.test.position.line}"`
      const [first] = result.faults
      return first === undefined
        ? `${head}/>`
        : `${head}><failure message="${xml(first)}">${xml([placeOf(result), ...result.faults].join('\n'))}</failure></testcase>`
    }),
    '  </testsuite>',
  ])
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites name="iron-proxy test" tests="${cases}" failures="${failed}">`,
    ...suites,
    '</testsuites>',
  ].join('\n')
}

function jsonReport(report: TestReport): string {
  const { cases, failed } = countOf(report)
  const results = report.suites.flatMap(({ results: all }) =>
    all.map(({ test, agent, faults, judgment }) => ({
      ok: faults.length === 0,
      case: test.title,
      position: test.position,
      agent,
      ...('url' in test.target ? { method: test.method, url: test.target.url } : { name: test.target.name }),
      faults,
      verdict: judgment?.verdict,
      code: judgment?.code,
      rule: judgment?.rule?.id,
      credentials: judgment?.credentials,
      meter: judgment?.meter,
    })),
  )
  const coverage = report.coverage.map(({ policy, rules, untested }) => ({
    policy,
    rules,
    untested: untested.map(({ id, position }) => ({ rule: id, position })),
  }))
  return JSON.stringify({ ok: failed === 0, cases, failed, results, coverage }, null, 2)
}

function placeOf({ test: { position } }: CaseResult): string {
  return `${position.file}:${position.line}:${position.column}`
}

function nameOf({ test: { title }, asked }: CaseResult): string {
  return title === undefined ? asked : `${title} (${asked})`
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}

/** Text of an attribute or element; control characters have no spelling in XML 1.0. */
function xml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll('\n', '&#10;')
    .replaceAll(/[^\n\x20-\x7e\u{a0}-\u{d7ff}\u{e000}-\u{fffd}]/gu, '?')
}
