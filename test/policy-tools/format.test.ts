import { readFile } from 'node:fs/promises'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parse, stringify } from 'yaml'
import { formatPolicy } from '#policy-tools/format.ts'
import { filesBelow } from '../house/sources.ts'

function formatted(text: string): string {
  const done = formatPolicy(text)
  return 'text' in done ? done.text : done.problem
}

describe('the format', () => {
  it.each(filesBelow('policies', '.yaml'))('of %s is kept', async (file) => {
    const text = await readFile(file, 'utf8')
    expect(formatted(text)).toBe(text)
  })

  it.each([
    ['sections', 'version: 1\nrules: []\nagents: {}\n', 'version: 1\nagents: {}\nrules: []\n'],
    ['keys of a line', 'rules:\n  - {hosts: [x.test],  id: x} # why\n', 'rules:\n  - {id: x,  hosts: [x.test]} # why\n'],
    [
      'keys of lines, with what is above and behind them',
      'rules:\n  # first\n  - hosts: [x.test]   # where\n    # who\n    id: x\n    # all\n    effect: deny\n',
      'rules:\n  # first\n  # who\n  - id: x\n    # all\n    effect: deny\n    hosts: [x.test]   # where\n',
    ],
    [
      'lists of lines',
      'rules:\n- hosts:\n  - x.test\n  - y.test\n  id: x\n',
      'rules:\n- id: x\n  hosts:\n  - x.test\n  - y.test\n',
    ],
    ['a kind', 'credentials:\n  k:\n    stub: s\n    kind: bearer\n', 'credentials:\n  k:\n    kind: bearer\n    stub: s\n'],
    [
      'rows of tests',
      'cases:\n  - table:\n      - {url: u, case: c}\n    case: d\n',
      'cases:\n  - case: d\n    table:\n      - {case: c, url: u}\n',
    ],
    ['no last line end', 'rules:\n  - hosts: [x.test]\n    id: x', 'rules:\n  - id: x\n    hosts: [x.test]\n'],
    ['white space', 'version: 1  \r\n\r\n\r\n\r\nrules: []\t\n\n\n', 'version: 1\n\nrules: []\n'],
  ])('puts %s in order', (_what, text, expected) => {
    expect(formatted(text)).toBe(expected)
  })

  it('keeps what stands in a text of several lines', () => {
    const text = 'rules:\n  - id: x\n    reason: |\n      one  \n\n\n      two\n'
    expect(formatted(text)).toBe(text)
    expect(parse(formatted('rules:\n  - reason: |\n      one  \n\n\n      two\n    id: x\n'))).toEqual(parse(text))
  })

  it('keeps a line as it is where a comment stands within it', () => {
    const text = 'rules:\n  - {hosts: [x.test], # where\n    id: x}\n'
    expect(formatted(text)).toBe(text)
  })

  it('says what is no YAML', () => {
    expect(formatted('rules: [')).toMatch(/Flow sequence/)
    expect(formatted('a: 1\na: 2\n')).toMatch(/unique/)
  })

  const keys = ['id', 'effect', 'agents', 'hosts', 'methods', 'paths', 'meter', 'reason']
  it('says the same of what it has put in order, and is done after one time', () => {
    const rule = fc.tuple(fc.shuffledSubarray(keys, { minLength: 1 }), fc.boolean())
    fc.assert(
      fc.property(fc.array(rule, { minLength: 1, maxLength: 5 }), fc.boolean(), (rules, indented) => {
        const entries = rules.map(([names]) =>
          Object.fromEntries(names.map((name) => [name, name === 'hosts' ? ['x', 'y'] : `v ${name}`])),
        )
        const text = stringify({ rules: entries, version: 1 }, { indentSeq: indented })
          .split('\n')
          .map((line, at) => (at % 3 === 1 && line !== '' ? `${line}  # ${at}` : line))
          .join('\n')
        const done = formatted(text)
        expect(parse(done)).toEqual(parse(text))
        expect(formatted(done)).toBe(done)
        expect(done.match(/# \d+/g)?.toSorted()).toEqual(text.match(/# \d+/g)?.toSorted())
      }),
    )
  })
})
