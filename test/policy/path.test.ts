import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { judgePath, refusePath } from '#policy/path.ts'

describe('the canonical path', () => {
  it.each([
    ['/', ['']],
    ['/v1/messages', ['v1', 'messages']],
    ['/v1/', ['v1', '']],
    ['/o/a%2Fb', ['o', 'a%2Fb']],
    ['/o/a%2fb', ['o', 'a%2Fb']],
    ['/%61%2D%7e', ['a-~']],
    ['/users/%40me', ['users', '@me']],
    ['/a%20b', ['a%20b']],
    ['/%c3%bc', ['%C3%BC']],
    ['/100%25', ['100%25']],
    ['/a*b', ['a%2Ab']],
    ['/%2a', ['%2A']],
    ['/.well-known/x', ['.well-known', 'x']],
    ['/...', ['...']],
    ['/a.b/..c/d..', ['a.b', '..c', 'd..']],
    ['/a;v=1/b', ['a;v=1', 'b']],
    ['/a:b@c/d+e', ['a:b@c', 'd+e']],
    ['/%2520', ['%2520']],
    ['/file%252ename', ['file%252ename']],
    ['/50%25off', ['50%25off']],
  ])('%s is taken apart', (path, segments) => {
    expect(judgePath(path)).toMatchObject({ segments })
    expect(judgePath(path)).not.toHaveProperty('obscure')
  })

  it.each([
    ['/v1/messages', []],
    ['/a%20b/%25', []],
    ['/adm%2Fx', ['adm/x']],
    ['/%2fadm', ['/adm', 'adm']],
    ['/@scope%2fname', ['@scope/name']],
    ['/adm%2F', ['adm/']],
    ['/adm;v=1/x', ['adm/x']],
    ['/adm%3Bv/x', ['adm/x']],
    ['/;v/adm', ['/adm', 'adm']],
    ['/a;b%2Fc', ['a;b/c', 'a', 'a/c']],
    ['/a%2F%2Fb', ['a//b', 'a/b']],
    ['/a%2Fb;c/d', ['a/b;c/d', 'a%2Fb/d', 'a/b/d']],
  ])('%s is read as %j by other servers', (path, expected) => {
    const judged = judgePath(path)
    if ('refused' in judged) throw new Error(judged.refused)
    expect(judged.others.map((segments) => segments.join('/'))).toEqual(expected)
  })

  it.each([
    ['/a//b', 'the path has an empty segment ("//")', 'a/b'],
    ['//evil.test/a', 'the path has an empty segment ("//")', 'evil.test/a'],
    ['//', 'the path has an empty segment ("//")', ''],
    ['/a///b/', 'the path has an empty segment ("//")', 'a/b/'],
    ['/pub\\adm', 'the path has a backslash', 'pub/adm'],
    ['/pub%5cadm', 'the path has a backslash', 'pub/adm'],
    ['/pub%255cadm', 'the path has a doubly escaped slash or backslash', 'pub/adm'],
    ['/pub%252fadm', 'the path has a doubly escaped slash or backslash', 'pub/adm'],
    ['/pub%25252Fadm', 'the path has a doubly escaped slash or backslash', 'pub/adm'],
    ['/pub%25%32%46adm', 'the path has a doubly escaped slash or backslash', 'pub/adm'],
  ])('%j is for no rule to look at', (path, obscure, folded) => {
    expect(judgePath(path)).toMatchObject({ obscure })
    expect(refusePath(path)).toBeUndefined()
    const judged = judgePath(path)
    expect('others' in judged && judged.others.map((segments) => segments.join('/'))).toContain(folded)
  })

  // Threats 47 and 48.
  it.each([
    ['', 'the path does not start with "/"'],
    ['*', 'the path does not start with "/"'],
    ['a/b', 'the path does not start with "/"'],
    ['https://good.test/', 'the path does not start with "/"'],
    ['/pub/../adm', 'the path has a dot segment'],
    ['/pub/..', 'the path has a dot segment'],
    ['/./a', 'the path has a dot segment'],
    ['/a/.', 'the path has a dot segment'],
    ['/pub/%2e%2e/adm', 'the path has a dot segment'],
    ['/pub/.%2E/adm', 'the path has a dot segment'],
    ['/pub/%2e/adm', 'the path has a dot segment'],
    ['/pub/..;/adm', 'the path has a dot segment'],
    ['/pub/..;x=1/adm', 'the path has a dot segment'],
    ['/pub/..%3bx/adm', 'the path has a dot segment'],
    ['/pub/..%2fadm', 'the path has a dot segment'],
    ['/pub/x%2f..%2fadm', 'the path has a dot segment'],
    ['/pub/%252e%252e/adm', 'the path has a doubly escaped dot segment'],
    ['/pub/.%252e/adm', 'the path has a doubly escaped dot segment'],
    ['/pub/%25%32%65%2e/adm', 'the path has a doubly escaped dot segment'],
    ['/pub/%25252e/adm', 'the path has a doubly escaped dot segment'],
    ['/pub/%2525252e/adm', 'the path is escaped over and over'],
    ['/a%2500', 'the path has a doubly escaped control character'],
    ['/pub\\..\\adm', 'the path has a dot segment'],
    ['/pub%5c..%5cadm', 'the path has a dot segment'],
    ['/pub%255c..%255cadm', 'the path has a doubly escaped dot segment'],
    ['/allowed#/../adm', 'the path has a "?" or "#"'],
    ['/a?b', 'the path has a "?" or "#"'],
    ['/a%', 'the path has a percent sign that starts no escape'],
    ['/a%2', 'the path has a percent sign that starts no escape'],
    ['/a%zz', 'the path has a percent sign that starts no escape'],
    ['/%u002e', 'the path has a percent sign that starts no escape'],
    ['/a%00', 'the path has an escaped control character'],
    ['/a%0d%0a', 'the path has an escaped control character'],
    ['/a%7f', 'the path has an escaped control character'],
    ['/a b', 'the path has a space, a control character or a byte outside ASCII'],
    ['/a\tb', 'the path has a space, a control character or a byte outside ASCII'],
    ['/a\0', 'the path has a space, a control character or a byte outside ASCII'],
    ['/\u00e9', 'the path has a space, a control character or a byte outside ASCII'],
    ['/%c0%ae%c0%ae/adm', 'the path has an overlong UTF-8 escape'],
    ['/%e0%80%af', 'the path has an overlong UTF-8 escape'],
    ['/%f0%80%80%af', 'the path has an overlong UTF-8 escape'],
  ])('%j is refused', (path, refused) => {
    expect(judgePath(path)).toEqual({ refused })
    expect(refusePath(path)).toBe(refused)
  })

  it('never lets a path through that resolves to another one', () => {
    const piece = fc.constantFrom(
      '/',
      '.',
      '..',
      '%2e',
      '%2E',
      '%2f',
      '%2F',
      '%25',
      '2',
      'e',
      '%32',
      ';',
      '\\',
      '%5c',
      'a',
      'B',
      '%61',
      '%00',
      '#',
      '?',
      ' ',
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const path = `/${pieces.join('')}`
        const judged = judgePath(path)
        if ('refused' in judged) return
        // A URL parser folds backslashes into slashes, and takes what follows two for a host.
        const whole = path.replaceAll('\\', '/').replaceAll(/\/\/+/g, '/')
        let decoded = path
        for (let round = 0; round < 3; round++)
          decoded = decoded.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
        expect(new URL(whole, 'http://x.test').pathname).toBe(whole)
        if (whole !== path) expect(judged.obscure).toBeDefined()
        expect(decoded.split(/[/\\]/).map((part) => part.split(';')[0])).not.toContain('..')
      }),
      { numRuns: 3000 },
    )
  })
})
