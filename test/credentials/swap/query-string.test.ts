import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodePercent, encodePercent, readParams } from '#credentials/swap/query-string.ts'

const pairs = (query: string) => readParams(query).map(({ name, value }) => [name, value])

describe('readParams', () => {
  it.each([
    ['', []],
    ['?', []],
    ['?&&', []],
    ['?a', [['a', '']]],
    ['?a=', [['a', '']]],
    ['?=b', [['', 'b']]],
    ['?a=b=c', [['a', 'b=c']]],
    ['a=b', [['a', 'b']]],
    [
      '?a=1&b&c=3',
      [
        ['a', '1'],
        ['b', ''],
        ['c', '3'],
      ],
    ],
    [
      '?a&b=1',
      [
        ['a', ''],
        ['b', '1'],
      ],
    ],
    ['?a+b=c%20d+e', [['a b', 'c d e']]],
    ['?a=?b', [['a', '?b']]],
  ])('reads %j', (query, expected) => {
    expect(pairs(query)).toEqual(expected)
  })

  it('says where each value stands', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('a', '=', '&', '%41', '+', '?') }), (query) => {
        for (const { value, start, end } of readParams(query)) {
          expect(query.slice(start, end)).not.toContain('&')
          expect(decodePercent(query.slice(start, end).replaceAll('+', ' '))).toBe(value)
          expect(end === query.length || query[end] === '&').toBe(true)
        }
      }),
    )
  })
})

describe('decodePercent', () => {
  it('undoes what encodePercent does', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        expect(encodePercent(text)).toMatch(/^(?:[A-Za-z0-9._~-]|%[0-9A-F]{2})*$/)
        expect(decodePercent(encodePercent(text))).toBe(text)
      }),
    )
  })

  it('decodes what can be decoded when a part of it cannot', () => {
    expect(decodePercent('100% %41%zz%ff')).toBe('100% A%zz%ff')
  })
})
