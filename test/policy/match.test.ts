import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { matchesPath, mismatch, parsePathPattern, question } from '#policy/match.ts'
import { judgePath } from '#policy/path.ts'
import { askOf, snapshotOf } from '../kit/policy.ts'

function matches(pattern: string, path: string): boolean {
  const parsed = parsePathPattern(pattern)
  const judged = judgePath(path)
  if ('refused' in parsed) throw new Error(parsed.refused)
  if ('refused' in judged) throw new Error(judged.refused)
  return matchesPath(parsed, judged.segments)
}

describe('path patterns', () => {
  it.each([
    ['/', '/', true],
    ['/', '/a', false],
    ['/v1/messages', '/v1/messages', true],
    ['/v1/messages', '/v1/messages/', false],
    ['/v1/messages', '/v1/Messages', false],
    ['/v1/messages', '/v1/m%65ssages', true],
    ['/repos/*/*', '/repos/o/n', true],
    ['/repos/*/*', '/repos/o', false],
    ['/repos/*/*', '/repos/o/', false],
    ['/repos/*/*', '/repos/o/n/keys', false],
    ['/repos/*/*', '/repos/o%2Fn/x', true],
    ['/repos/*/*', '/repos/o%2Fn', false],
    ['/v1/**', '/v1', true],
    ['/v1/**', '/v1/', true],
    ['/v1/**', '/v1/a/b', true],
    ['/v1/**', '/v10', false],
    ['/**', '/', true],
    ['/**/keys', '/a/b/keys', true],
    ['/**/keys', '/keys', true],
    ['/**/keys', '/keys/a', false],
    ['/a/**/b/*/c', '/a/b/x/b/y/c', true],
    ['/a/**/b/*/c', '/a/b/x/y/c', false],
    ['/o/a%2fb', '/o/a%2Fb', true],
    ['/o/a%2Fb', '/o/a/b', false],
    ['/x%2A', '/x*', true],
    ['/%2A', '/anything', false],
    ['/users/@me', '/users/%40me', true],
  ])('%s on %s: %s', (pattern, path, expected) => {
    expect(matches(pattern, path)).toBe(expected)
  })

  it.each([
    ['v1/x', '"v1/x" does not start with "/"; write "/v1/x"'],
    ['/v1/mod*', '"/v1/mod*" uses "*" inside a segment; it stands for one whole segment, "**" for any number'],
    ['/v1/***', '"/v1/***" uses "*" inside a segment; it stands for one whole segment, "**" for any number'],
    ['/v1?x=1', '"/v1?x=1" has a query or fragment; rules see the path only'],
    ['/v1#x', '"/v1#x" has a query or fragment; rules see the path only'],
    ['/a//b', '"/a//b" has an empty segment ("//")'],
    ['/a/../b', '"/a/../b" can match nothing: the path has a dot segment'],
    ['/a b', '"/a b" can match nothing: the path has a space, a control character or a byte outside ASCII'],
    [`/${'a/'.repeat(64)}`, `"/${'a/'.repeat(64)}" has more than 64 segments`],
  ])('%j is refused', (pattern, refused) => {
    expect(parsePathPattern(pattern)).toEqual({ refused })
  })

  // Threat 52: compared with the obvious recursive reading on small inputs, and bounded in steps on large ones.
  it('answers as the plain definition of the wildcards does', () => {
    const plain = (pattern: readonly string[], path: readonly string[]): boolean => {
      const [first, ...rest] = pattern
      if (first === undefined) return path.length === 0
      if (first === '**') return path.some((_, at) => plain(rest, path.slice(at))) || plain(rest, [])
      return path.length > 0 && (first === '*' ? path[0] !== '' : first === path[0]) && plain(rest, path.slice(1))
    }
    const segment = fc.constantFrom('a', 'b')
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('*', '**', 'a', 'b'), { maxLength: 6 }),
        fc.array(segment, { maxLength: 7 }),
        (pattern, path) => {
          expect(matchesPath(pattern, path)).toBe(plain(pattern, path))
        },
      ),
      { numRuns: 2000 },
    )
  })

  it('looks at no more than pattern times path segments, whatever the pattern', () => {
    let looks = 0
    const path = new Proxy(
      Array.from({ length: 8000 }, () => 'a'),
      {
        get: (target, key, receiver) => {
          if (key !== 'length') looks++
          return Reflect.get(target, key, receiver) as unknown
        },
      },
    )
    const pattern = Array.from({ length: 32 }, () => ['**', 'a'])
      .flat()
      .concat('b')
    expect(matchesPath(pattern, path)).toBe(false)
    expect(looks).toBeLessThan(pattern.length * path.length)
  })
})

describe('the first condition that is not met', () => {
  const rule =
    '{id: r, agents: [a], hosts: [good.test, "*.zone.test"], ports: [443, 8443], methods: [GET, HEAD], paths: [/v1/**]}'

  it.each([
    ['a', 'GET https://good.test/v1/x', undefined],
    ['a', 'HEAD https://x.zone.test:8443/v1/x', undefined],
    ['b', 'GET https://good.test/v1/x', 'agents'],
    ['a', 'GET https://other.test/v1/x', 'host'],
    ['a', 'GET https://zone.test/v1/x', 'host'],
    ['a', 'GET http://good.test/v1/x', 'scheme'],
    ['a', 'GET https://good.test:9443/v1/x', 'port'],
    ['a', 'POST https://good.test/v1/x', 'method'],
    ['a', 'get https://good.test/v1/x', 'method'],
    ['a', 'GET https://good.test/v2/x', 'path'],
    // Threat 48: rules see the path only.
    ['a', 'GET https://good.test/v2/x?/v1/x', 'path'],
  ])('%s, %s: %s', async (agent, text, expected) => {
    const { policy } = await snapshotOf(`rules: [${rule}]`)
    const [first] = policy.rules
    const asked = question(agent, askOf(text))
    if (!first || 'refused' in asked) throw new Error('not an ask')
    expect(mismatch(first, asked)).toBe(expected)
  })

  it('says what a path lacks that cannot be judged', () => {
    expect(question('a', askOf('GET https://good.test/a/../b'))).toEqual({ refused: 'the path has a dot segment' })
  })
})
