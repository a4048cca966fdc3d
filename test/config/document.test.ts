import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { largestFile, readYaml } from '#config/document.ts'

function problem(text: string | Buffer): string | undefined {
  const { data, issues } = readYaml('x.yaml', Buffer.from(text as string))
  return data === undefined ? issues[0]?.message : undefined
}

describe('a YAML file', () => {
  // Threat 138.
  it.each([
    [
      'an alias bomb',
      `a: &a [x,x,x,x,x,x,x,x,x]\n${['b', 'c', 'd', 'e', 'f', 'g', 'h'].map((name, index) => `${name}: &${name} [${`*${'abcdefgh'[index]},`.repeat(9)}]`).join('\n')}`,
      /^the file cannot be read: Excessive alias count/,
    ],
    ['deep flow lists', '['.repeat(5000), /^the file nests deeper/],
    ['deep flow maps', '{a: '.repeat(5000), /^the file nests deeper/],
    ['deep lists on one line', '- '.repeat(5000), /^the file nests deeper/],
    [
      'deep maps over lines',
      Array.from({ length: 400 }, (_, index) => `${' '.repeat(index)}a:`).join('\n'),
      /^the file nests deeper/,
    ],
    ['explicit keys without end', '? '.repeat(5000), /^the file nests deeper/],
    ['a merge key', 'a: &a {b: 1}\nc: {<<: *a}', /^merge keys are not read/],
    ['a list as key', '? [a]\n: b', /^a key must be plain text/],
    ['__proto__', '__proto__: {a: 1}', /^this key is not allowed/],
    ['an alias within itself', 'a: &a [*a]', /^this alias stands within what it refers to$/],
    ['very many aliases', `a: &a 1\nb: [${'*a,'.repeat(101)}]`, /^the file has more than 100 aliases$/],
    ['an alias to nothing', 'a: *b', /Unresolved alias/],
    ['two documents', 'a: 1\n---\nb: 2', /^the file holds more than one document; write one$/],
    ['a list that is not closed', 'a: [1, 2', /./],
    ['a NUL', 'a: "\0"', /NUL/],
    ['bytes that are not UTF-8', Buffer.from([0x61, 0x3a, 0x20, 0xff]), /^the file is not UTF-8$/],
    ['too much', Buffer.alloc(largestFile + 1, 'a'), /^the file has 1048577 bytes; at most 1048576 are read$/],
  ])('with %s is refused', (_, text, message) => {
    expect(problem(text)).toMatch(message)
  })

  it.each([
    ['where no text may stand', (secret: string) => `a: [1]\n  ${secret}\n`],
    ['behind a list', (secret: string) => `- a\n${secret}\nb: 1\n${secret}: 2\n`],
    ['as a tag', (secret: string) => `a: !${secret} b\nc: [\n`],
    ['as an alias', (secret: string) => `a: *${secret}\n`],
    ['behind the head of a block', (secret: string) => `a: | ${secret}\n  b\n`],
    ['in a broken string', (secret: string) => `a: "\\${secret}\n`],
  ])('that is broken is not quoted, for what stands %s may be a secret', (_, spoil) => {
    const secret = `x${randomBytes(12).toString('hex')}`
    const { issues } = readYaml('x.yaml', Buffer.from(spoil(secret)))
    expect(issues).not.toEqual([])
    expect(JSON.stringify(issues)).not.toContain(secret)
  })

  it('that is no YAML is refused with one line, not with one for each of its words', () => {
    expect(readYaml('x.yaml', Buffer.from('# a\n- b\nc: d\nEe, f: g\n`h` i: [j\n')).issues).toHaveLength(1)
  })

  it.each([
    ['a: 1\na: 2', 'this key stands here twice'],
    ['a: !custom 1', 'Unresolved tag'],
    ['a: !!omap []', 'Unresolved tag'],
    ['a: !!binary aGk=', 'Unresolved tag'],
    ['a: 0777', '0777 has a leading zero; write 777'],
  ])('%j is reported, and the rest is read', (text, message) => {
    const { data, issues } = readYaml('x.yaml', Buffer.from(text))
    expect(issues.map((each) => each.message)).toEqual([message])
    expect(data).toHaveProperty('a')
  })

  it('reads YAML 1.2: words are words', () => {
    expect(readYaml('x.yaml', Buffer.from('a: no\nb: off\nc: 2001-01-01\nd: 0o17\ne: 1:30\nf: ~')).data).toEqual({
      a: 'no',
      b: 'off',
      c: '2001-01-01',
      d: 15,
      e: '1:30',
      f: null,
    })
  })

  it('takes a wide file for what it is, brackets in text and comments too', () => {
    const text = `# ${'['.repeat(100)}\na: "${'['.repeat(100)}"\nb: ${'('.repeat(100)}\nc: [${'[1],'.repeat(1000)}]\n${Array.from({ length: 100 }, (_, index) => `k${index}: {a: 1}`).join('\n')}`
    expect(readYaml('x.yaml', Buffer.from(text)).issues).toEqual([])
  })

  it('knows where everything stands', () => {
    const { locate } = readYaml(
      'x.yaml',
      Buffer.from('rules:\n  - id: one\n    hosts:\n      - "*.com"\n  - {id: two, hosts: [x]}\nlast: &l {k: v}\nalias: *l\n'),
    )
    const place = (path: PropertyKey[], key?: string) => {
      const { line, column } = locate(path, key)
      return `${line}:${column}`
    }
    expect(place(['rules', 0])).toBe('2:5')
    expect(place(['rules', 0, 'id'])).toBe('2:9')
    expect(place(['rules', 0, 'hosts'])).toBe('3:5')
    expect(place(['rules', 0, 'hosts', 0])).toBe('4:9')
    expect(place(['rules', 1, 'hosts', 0])).toBe('5:23')
    expect(place(['rules', 1], 'hosts')).toBe('5:15')
    expect(place(['rules', 1, 'missing', 'deep'])).toBe('5:5')
    expect(place(['alias', 'k'])).toBe('6:14')
  })
})
