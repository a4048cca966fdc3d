import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { findInJson, parsePointer } from '#credentials/swap/json-place.ts'

const latin1 = (text: string): string => Buffer.from(text).toString('latin1')

describe('a JSON pointer', () => {
  it.each([
    ['/token', ['token']],
    ['/a/0/b', ['a', '0', 'b']],
    ['/a~1b/c~0d/', ['a/b', 'c~d', '']],
  ])('%s is %j', (text, keys) => {
    expect(parsePointer(text)).toEqual(keys)
  })

  it.each(['', 'token', '/a~2', '/a~'])('%j is none', (text) => {
    expect(parsePointer(text)).toBeUndefined()
  })
})

describe('the place of a value', () => {
  it.each([
    ['{"token":"x"}', ['token'], '"x"'],
    [' {\n "a" : [ 1, {"b" : "x\\"}" } ] , "c":2}', ['a', '1', 'b'], '"x\\"}"'],
    ['{"to\\u006ben":true}', ['token'], 'true'],
    ['{"é":{"ü":"ö"}}', ['é', 'ü'], '"ö"'],
    ['[["a"],"b"]', ['0', '0'], '"a"'],
    ['{"a":{"b":{}}}', ['a'], '{"b":{}}'],
  ])('in %s at %j is %s', (text, keys, value) => {
    const bytes = latin1(text)
    const found = findInJson(bytes, keys)
    if (found.kind !== 'found') throw new Error(found.kind)
    expect(bytes.slice(found.start, found.end)).toBe(latin1(value))
    expect(found.value).toEqual(JSON.parse(value))
  })

  it.each([
    ['{"b":1}', ['a']],
    ['{"a":1}', ['a', 'b']],
    ['[1]', ['1']],
    ['[1]', ['01']],
    ['[]', ['0']],
    ['{"a":', ['a']],
    ['{"a" "x"}', ['a']],
    ['{"a":1 "b":2}', ['b']],
    ['', ['a']],
    ['null', ['a']],
    ['{"a":"x', ['a']],
  ])('in %j at %j is nowhere', (text, keys) => {
    expect(findInJson(text, keys)).toEqual({ kind: 'absent' })
  })

  it('that a key leads to twice is ambiguous', () => {
    expect(findInJson('{"a":"x","a":1}', ['a'])).toEqual({ kind: 'ambiguous' })
    expect(findInJson('{"a":{"b":1},"\\u0061":{}}', ['a', 'b'])).toEqual({ kind: 'ambiguous' })
  })

  it('is what JSON.parse finds, in any document', () => {
    fc.assert(
      fc.property(fc.json(), fc.json(), (before, value) => {
        const text = latin1(`{"x":${before},"deep":[${before},{"value":${value}}],"y":${before}}`)
        const found = findInJson(text, ['deep', '1', 'value'])
        expect(found).toMatchObject({ kind: 'found', value: JSON.parse(value) })
      }),
    )
  })

  it('of any text never throws', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        findInJson(text, ['a', '0'])
      }),
    )
  })
})
