import { describe, expect, it } from 'vitest'
import { formatIssue, pathText, valueAt } from '#config/issue.ts'

describe('an issue', () => {
  it('is one line with file, line, column and path', () => {
    const position = { file: 'policies/crew.yaml', line: 31, column: 9 }
    const message = '"*.com" would match every .com host; name the zone'
    expect(formatIssue({ severity: 'error', position, path: 'rules[2].hosts', message })).toBe(
      'policies/crew.yaml:31:9 rules[2].hosts: "*.com" would match every .com host; name the zone',
    )
    expect(formatIssue({ severity: 'warning', position: { ...position, line: 0 }, path: '', message: 'odd' })).toBe(
      'policies/crew.yaml: warning: odd',
    )
  })

  it.each([
    [[], ''],
    [['rules', 2, 'hosts'], 'rules[2].hosts'],
    [['agents', 'a', 'from', 0, 'cidr'], 'agents.a.from[0].cidr'],
  ])('writes the path %j as %j', (path, text) => {
    expect(pathText(path)).toBe(text)
  })

  it('finds what stands at a path, or nothing', () => {
    expect(valueAt({ a: [{ b: 1 }] }, ['a', 0, 'b'])).toBe(1)
    expect(valueAt({ a: null }, ['a', 0, 'b'])).toBeUndefined()
  })
})
