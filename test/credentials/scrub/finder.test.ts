import { inspect } from 'node:util'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Finder } from '#credentials/scrub/finder.ts'

const patterns = (...texts: string[]) => texts.map((text) => ({ bytes: Buffer.from(text) }))
const finds = (finder: Finder<{ bytes: Buffer }>, text: string, from = 0) => {
  const match = finder.find(Buffer.from(text), from)
  return match && [match.start, match.pattern.bytes.toString()]
}
const holds = (finder: Finder<{ bytes: Buffer }>, text: string, from = 0) => finder.heldFrom(Buffer.from(text), from)

describe('Finder', () => {
  const finder = new Finder(patterns('abcd', 'abcdef', 'cdxx', 'zzzzzzzz'))

  it.each([
    ['abcd', [0, 'abcd']],
    ['--abcd--', [2, 'abcd']],
    ['--abcdef', [2, 'abcdef']],
    ['abcdxx', [0, 'abcd']],
    ['abccdxx', [3, 'cdxx']],
    ['zzzzzzzzz', [0, 'zzzzzzzz']],
    ['abc', undefined],
    ['', undefined],
  ])('in %j finds what begins first, and of that the longest', (text, expected) => {
    expect(finds(finder, text)).toEqual(expected)
  })

  it('begins where it is told', () => {
    expect(finds(finder, 'abcd abcd', 1)).toEqual([5, 'abcd'])
  })

  it.each([
    ['', 0],
    ['xyw', 3],
    ['xya', 2],
    ['xyabc', 2],
    ['xyabcd', 2], // abcdef may come
    ['xyabcdef', 8],
    ['xyabce', 6],
    ['xyzzzzzzz', 2],
  ])('says from where %j may go on to be a pattern', (text, expected) => {
    expect(holds(finder, text)).toBe(expected)
  })

  it('counts a leading byte as part of its pattern', () => {
    const lead = new Uint8Array(256)
    lead['+'.charCodeAt(0)] = 1
    const led = new Finder([{ bytes: Buffer.from('abcd'), lead }])
    expect([holds(led, 'x+'), holds(led, 'x+ab'), holds(led, 'x-ab'), holds(led, '+ab', 1)]).toEqual([1, 1, 2, 1])
  })

  it('finds nothing without patterns', () => {
    expect([finds(new Finder([]), 'abcd'), holds(new Finder([]), 'abcd')]).toEqual([undefined, 4])
  })

  it('agrees with a search one pattern at a time', () => {
    const word = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 2, maxLength: 5 })
    fc.assert(
      fc.property(
        fc.array(word, { minLength: 1, maxLength: 6 }),
        fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 40 }),
        (words, text) => {
          const of = new Finder(patterns(...new Set(words)))
          const starts = words.map((each) => text.indexOf(each)).filter((at) => at >= 0)
          expect(finds(of, text)?.[0]).toBe(starts.length > 0 ? Math.min(...starts) : undefined)
          const open = text
            .split('')
            .findIndex((_, i) => words.some((each) => each.length > text.length - i && each.startsWith(text.slice(i))))
          expect(holds(of, text)).toBe(open < 0 ? text.length : open)
        },
      ),
    )
  })

  it('does not print what it looks for', () => {
    const secret = new Finder(patterns('something-real'))
    expect(inspect(secret, { showHidden: true, depth: 9 }) + JSON.stringify(secret)).not.toContain('real')
  })
})
