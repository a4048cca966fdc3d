import { describe, expect, it } from 'vitest'
import { formatIssue } from '#config/issue.ts'
import { readTests } from '#policy-tools/test-file.ts'

function read(text: string) {
  return readTests('a.test.yaml', Buffer.from(`version: 1\n${text}`))
}

function lines(text: string): string[] {
  return read(text).cases.map(({ agent, method, target, expected, title, position }) => {
    const asked = 'url' in target ? `${method} ${target.url}` : target.name
    return `${position.line} ${agent ?? '-'} ${asked} ${expected.verdict}${title === undefined ? '' : ` "${title}"`}`
  })
}

describe('a test file', () => {
  it('makes one case of each agent, method and URL', () => {
    const text = 'cases:\n  - {agent: [a, b], method: [GET, PUT], url: [https://x.test/, https://y.test/], expect: allow}'
    expect(lines(text)).toEqual(
      ['a', 'b'].flatMap((agent) =>
        ['GET', 'PUT'].flatMap((method) => ['x', 'y'].map((host) => `3 ${agent} ${method} https://${host}.test/ allow`)),
      ),
    )
  })

  it('expects a list of hosts to be denied, unless it says otherwise', () => {
    expect(lines('cases: [{name: [x.test, y.test]}, {name: z.test, expect: allow}]')).toEqual([
      '2 - x.test deny',
      '2 - y.test deny',
      '2 - z.test allow',
    ])
  })

  it('gives each row of a table what stands beside the table, unless the row says it anew', () => {
    const text = `cases:
  - case: all
    agent: a
    url: https://x.test/
    expect: allow
    table:
      - {}
      - {case: other, agent: b, method: PUT}
      - {name: y.test, expect: deny}
`
    expect(lines(text)).toEqual([
      '8 a GET https://x.test/ allow "all"',
      '9 b PUT https://x.test/ allow "all: other"',
      '10 a y.test deny "all"',
    ])
  })

  it.each([
    ['cases: []', 'a.test.yaml:2:1 cases: a file without cases tests nothing'],
    ['cases: [{}]', 'cases[0]: write one of url and name'],
    ['cases: [{url: https://x.test/, name: x.test}]', 'cases[0]: write one of url and name'],
    ['cases: [{name: x.test, method: GET}]', 'a name is asked for without a method and without headers'],
    ['cases: [{url: https://x.test/, expext: allow}]', '"expext" is not known here (did you mean "expect"?)'],
    ['cases: [{url: https://x.test/, expect: {verdict: deny, code: host_deneid}}]', '(did you mean "host_denied"?)'],
    ['cases: [{url: https://x.test/, table: []}]', 'an empty table tests nothing'],
    ['cases: [{url: []}]', 'an empty list tests nothing'],
    ['cases: [{url: https://x.test/, headers: {authorization: {stub: x}}}]', '"stub" is not known here'],
    ['cases: [', 'a.test.yaml:'],
    ['cases: [{url: a, url: b}]', 'this key stands here twice'],
  ])('%s is refused', (text, expected) => {
    const { cases, issues } = read(text)
    expect(cases).toEqual([])
    expect(issues.map(formatIssue).join('\n')).toContain(expected)
  })

  it('takes no real value, and never shows one', () => {
    const real = `ghp_${'b'.repeat(36)}`
    const { cases, issues } = read(`cases: [{url: https://x.test/, headers: {authorization: Bearer ${real}}}]`)
    expect(cases).toEqual([])
    const said = issues.map(formatIssue).join('\n')
    expect(said).toContain('this looks like a GitHub token')
    expect(said).not.toContain(real)
  })
})
