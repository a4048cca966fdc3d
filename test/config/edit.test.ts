import { parse } from 'yaml'
import { describe, expect, it } from 'vitest'
import { changedLines, EditError, insertItems, setValue } from '#config/edit.ts'
import { filesBelow, textOf } from '../house/sources.ts'

const rule = [['id: new', 'hosts: [new.test]']]

describe('putting an item into a list', () => {
  it.each([
    [
      'a list of blocks',
      'rules:\n  - id: a   # why\n    hosts: [a.test]\n',
      'rules:\n  - id: a   # why\n    hosts: [a.test]\n  - id: new\n    hosts: [new.test]\n',
    ],
    [
      'items with lines between them',
      'rules:\n  - id: a\n\n  - id: b\n\n# after\nx: 1\n',
      'rules:\n  - id: a\n\n  - id: b\n\n  - id: new\n    hosts: [new.test]\n\n# after\nx: 1\n',
    ],
    [
      'items in flow form',
      'rules:\n- {id: a}   # why\n- {id: b}\n',
      'rules:\n- {id: a}   # why\n- {id: b}\n- id: new\n  hosts: [new.test]\n',
    ],
    [
      'an empty list',
      'version: 1\nrules: []   # none yet\n# end\n',
      'version: 1\nrules: # none yet\n  - id: new\n    hosts: [new.test]\n# end\n',
    ],
    ['no list', 'version: 1\n', 'version: 1\n\nrules:\n  - id: new\n    hosts: [new.test]\n'],
    ['a file without a last line end', 'rules:\n  - {id: a}', 'rules:\n  - {id: a}\n  - id: new\n    hosts: [new.test]\n'],
    ['an empty file', '', 'rules:\n  - id: new\n    hosts: [new.test]\n'],
    ['CRLF', 'rules:\r\n  - {id: a}\r\n', 'rules:\r\n  - {id: a}\r\n  - id: new\n    hosts: [new.test]\n'],
  ])('keeps every other byte of %s', (_name, before, after) => {
    expect(insertItems(before, 'rules', rule)).toBe(after)
  })

  it('before another one, above the comments that belong to it', () => {
    expect(insertItems('rules:\n  - {id: a}\n  # of b\n  - {id: b}\n', 'rules', rule, 1)).toBe(
      'rules:\n  - {id: a}\n  - id: new\n    hosts: [new.test]\n  # of b\n  - {id: b}\n',
    )
  })

  it.each([
    ['rules: [{id: a}]\n', 'a list on one line'],
    ['rules: {id: a}\n', 'is no list'],
    ['rules: [\n', 'cannot be read as YAML'],
  ])('is refused where a line cannot do it: %j', (text, message) => {
    expect(() => insertItems(text, 'rules', rule)).toThrow(EditError)
    expect(() => insertItems(text, 'rules', rule)).toThrow(message)
  })

  it.each(filesBelow('policies', '.yaml').filter((file) => !file.endsWith('.test.yaml')))('leaves all of %s as it is', (file) => {
    const before = textOf(file)
    const after = insertItems(before, 'rules', rule)
    const old = parse(before) as { rules: unknown[] }
    expect(parse(after)).toEqual({ ...old, rules: [...old.rules, { id: 'new', hosts: ['new.test'] }] })
    expect(changedLines(before, after).filter((line) => line.startsWith('-'))).toEqual(
      before.includes('\nrules: []') ? ['- rules: []'] : [],
    )
    const comments = (text: string) => text.match(/#.*/g) ?? []
    expect(comments(after)).toEqual(comments(before))
  })
})

describe('setting a value', () => {
  it.each([
    ['one that is there', 'a:\n  b: [1, 2]   # why\n', ['a', 'b'], '[3]', 'a:\n  b: [3]   # why\n'],
    ['one that is not', 'a:\n  b: 1   # why\n', ['a', 'c'], '2', 'a:\n  b: 1   # why\n  c: 2\n'],
    ['one of a map on one line', 'a: {b: 1}   # why\n', ['a', 'c'], '2', 'a: {b: 1, c: 2}   # why\n'],
    [
      'one of an item',
      'r:\n  - id: x\n    h: [a]\n  - id: y\n',
      ['r', 0, 'm'],
      'auto',
      'r:\n  - id: x\n    h: [a]\n    m: auto\n  - id: y\n',
    ],
    ['one of the document', 'a: 1\n', ['b'], '2', 'a: 1\nb: 2\n'],
  ] as const)('keeps the rest: %s', (_name, before, path, value, after) => {
    expect(setValue(before, path, value)).toBe(after)
  })

  it('is refused where nothing holds it', () => {
    expect(() => setValue('a: 1\n', ['b', 'c'], '2')).toThrow('there is no b to put c into')
  })
})
