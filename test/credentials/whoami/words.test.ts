import { describe, expect, it } from 'vitest'
import { nameIn, scopeWords, told } from '#credentials/whoami/words.ts'

describe('a name that someone else chose', () => {
  it.each([
    ['octocat', 'octocat'],
    [' Zoë Müller ', 'Zoë Müller'],
    ['\u001B[31mred\r\n{"forged":1}', '[31mred{"forged":1}'],
    ['a\u202Egpj\u2028b\u200Bc', 'agpjbc'],
    ['\u0000\u009F', undefined],
    ['', undefined],
    [7, undefined],
    [undefined, undefined],
    ['x'.repeat(1_000_000), 'x'.repeat(100)],
  ])('is %j and shown as %j', (value, shown) => {
    expect(nameIn(value)).toBe(shown)
  })

  it('is left out of a list when it is none', () => {
    expect(told('Acme', undefined, '', { toString: () => 'x' })).toEqual(['Acme'])
  })
})

it('scopes are words, and not too many', () => {
  expect(scopeWords(['repo', 'two words', '', '\u001B[2J', 'ü', 'x'.repeat(101)])).toEqual(['repo'])
  expect(scopeWords(Array.from({ length: 1000 }, (_, index) => `s${index}`)).length).toBe(100)
})
