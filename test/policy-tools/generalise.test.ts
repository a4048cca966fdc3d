import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { generalise, isName } from '#policy-tools/generalise.ts'
import { matchesPath } from '#policy/match.ts'

const generalised = (paths: readonly string[], most = 3) =>
  generalise(
    paths.map((path) => ({ segments: path.slice(1).split('/'), count: 1 })),
    most,
  ).map(({ segments, count }) => `/${segments.join('/')} ${count}`)

describe('a segment', () => {
  it.each([
    '1',
    '123456',
    '550e8400-e29b-41d4-a716-446655440000',
    '550E8400-E29B-41D4-A716-446655440000',
    'a3f9c21',
    'da39a3ee5e6b4b0d3255bfef95601890afd80709',
    '01ARZ3NDEKTSV4RRFFQ69G5FAV',
    'msg_01AbCdEfGhIjKlMnOp12',
    'AKfycbx1a2b3c4d5e6f7g8h9',
    '2026-11-02',
    '2026-11-02T08:00:00Z',
    '42.json',
    'da39a3ee5e6b4b0d3255bfef95601890afd80709.patch',
  ])('%s names one thing among many', (segment) => {
    expect(isName(segment)).toBe(true)
  })

  it.each([
    'v1',
    'v1beta',
    'users',
    'facade',
    'defaced',
    'repos',
    'oauth2',
    'README.md',
    'gpt-5',
    '',
    'left-pad',
    'chat',
    'internal:generateContent',
  ])('%j does not', (segment) => {
    expect(isName(segment)).toBe(false)
  })
})

describe('paths that were seen', () => {
  it('become patterns where they name one thing among many', () => {
    expect(generalised(['/users/1', '/users/2', '/users/me', '/v1/x'])).toEqual(['/users/* 2', '/users/me 1', '/v1/x 1'])
  })

  it('become one pattern where many differ in one segment alone', () => {
    expect(generalised(['/p/a/x', '/p/b/x', '/p/c/x', '/p/c/y'])).toEqual(['/p/a/x 1', '/p/b/x 1', '/p/c/x 1', '/p/c/y 1'])
    expect(generalised(['/p/a/x', '/p/b/x', '/p/c/x', '/p/d/x', '/p/c/y'])).toEqual(['/p/*/x 4', '/p/c/y 1'])
  })

  it('never are a whole host: a lone name stays as it is', () => {
    expect(generalised(['/123'])).toEqual(['/123 1'])
    expect(generalised(['/123/456/'])).toEqual(['/123/456/ 1'])
  })

  it('keep a segment that some server reads as two', () => {
    expect(generalised(['/f/1%2F2', '/f/1;v=2'])).toEqual(['/f/1%2F2 1', '/f/1;v=2 1'])
  })

  it('are all covered, whatever they are, in any order', () => {
    const segment = fc.oneof(
      fc.constantFrom('a', 'b', 'c', 'd', 'v1', '7', '12', 'a3f9c21', '2026-11-02'),
      fc.stringMatching(/^[a-z]{1,3}$/),
    )
    const path = fc.array(segment, { minLength: 1, maxLength: 4 })
    fc.assert(
      fc.property(fc.array(path, { minLength: 1, maxLength: 40 }), fc.integer({ min: 1, max: 5 }), (paths, most) => {
        const seen = paths.map((segments) => ({ segments, count: 1 }))
        const patterns = generalise(seen, most)
        for (const segments of paths) expect(patterns.some((pattern) => matchesPath(pattern.segments, segments))).toBe(true)
        expect(patterns.reduce((sum, { count }) => sum + count, 0)).toBe(paths.length)
        expect(generalise(seen.toReversed(), most)).toEqual(patterns)
      }),
    )
  })
})
