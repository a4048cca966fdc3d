import { describe, expect, it } from 'vitest'
import { matchesHost, patternText } from '#base/host.ts'
import type { HostPattern } from '#base/host.ts'
import { parseHostPattern, patternsMeet, patternWithin } from '#base/host-pattern.ts'
import { hostOf } from '../kit/policy.ts'

function pattern(text: string): HostPattern {
  const parsed = parseHostPattern(text)
  if (parsed.kind === 'refused') throw new Error(parsed.reason)
  return parsed
}

describe('host patterns', () => {
  it.each([
    ['api.example.com', 'api.example.com'],
    ['API.Example.COM.', 'api.example.com'],
    ['*.Example.com', '*.example.com'],
    ['localhost', 'localhost'],
    ['_dmarc.example.com', '_dmarc.example.com'],
    ['xn--bcher-kva.example', 'xn--bcher-kva.example'],
  ])('%s is read as %s', (text, expected) => {
    expect(patternText(pattern(text))).toBe(expected)
  })

  it.each([
    ['*', '"*" would match every host; name the hosts, or a zone such as "*.example.com"'],
    ['*.com', '"*.com" would match every .com host; name the zone'],
    ['*.co.uk', '"*.co.uk" would match every .co.uk host; name the zone'],
    ['*.github.io', '"*.github.io" would match every .github.io host; name the zone'],
    ['https://x.example', '"https://x.example" is a URL; write the host alone: "x.example"'],
    ['https://x.example:8443/path', '"https://x.example:8443/path" is a URL; write the host alone: "x.example"'],
    ['x.example:443', '"x.example:443" names a port; write "x.example" and the port in `ports` of the rule'],
    ['x:', '"x:" names a port; write "x" and the port in `ports` of the rule'],
    ['x.example/v1', '"x.example/v1" has a path; write "x.example" and the path in `paths` of the rule'],
    ['me@x.example', '"me@x.example" has a user name; write "x.example"'],
    ['*.*.x.example', '"*.*.x.example" has more than one "*"; "*.x.example" already covers every depth'],
    ['**.x.example', '"**.x.example" has more than one "*"; "*.x.example" already covers every depth'],
    [
      'a*.x.example',
      '"a*.x.example" uses "*" inside a name; it stands only at the front, for every name below a zone: "*.example.com"',
    ],
    [
      'a.*.example',
      '"a.*.example" uses "*" inside a name; it stands only at the front, for every name below a zone: "*.example.com"',
    ],
    [
      'x.example.*',
      '"x.example.*" uses "*" inside a name; it stands only at the front, for every name below a zone: "*.example.com"',
    ],
    ['.example.com', '".example.com" starts with a dot; write "*.example.com"'],
    ['bücher.example', '"bücher.example" is not ASCII; write the name in its xn-- form'],
    ['10.0.0.1', '"10.0.0.1" is an address; rules name hosts'],
    ['127.1', '"127.1" is an address; rules name hosts'],
    ['0x7f.1', '"0x7f.1" is an address; rules name hosts'],
    ['2130706433', '"2130706433" is an address; rules name hosts'],
    ['::1', '"::1" is an address; rules name hosts'],
    ['[::1]', '"[::1]" is an address; rules name hosts'],
    ['', '"" is empty; name a host'],
    ['a..b', '"a..b" is not a host name; use letters, digits, dots and hyphens'],
    ['^api$', '"^api$" is not a host name; use letters, digits, dots and hyphens'],
  ])('%j is refused with what to write instead', (text, reason) => {
    expect(parseHostPattern(text)).toEqual({ kind: 'refused', reason })
  })

  // Threat 2: the boundary is a label.
  it.each([
    ['good.test', 'good.test', true],
    ['good.test', 'good.test.evil.test', false],
    ['good.test', 'notgood.test', false],
    ['good.test', 'good.test-evil.test', false],
    ['good.test', 'a.good.test', false],
    ['*.good.test', 'a.good.test', true],
    ['*.good.test', 'b.a.good.test', true],
    ['*.good.test', 'good.test', false],
    ['*.good.test', 'notgood.test', false],
  ])('%s against %s: %s', (text, host, expected) => {
    expect(matchesHost(pattern(text), hostOf(host))).toBe(expected)
  })

  it.each([
    ['a.x.test', 'a.x.test', true, true],
    ['a.x.test', 'b.x.test', false, false],
    ['a.x.test', '*.x.test', true, true],
    ['x.test', '*.x.test', false, false],
    ['*.x.test', 'a.x.test', true, false],
    ['*.a.x.test', '*.x.test', true, true],
    ['*.x.test', '*.a.x.test', true, false],
    ['*.x.test', '*.y.test', false, false],
  ])('%s and %s: meet %s, the first within the second %s', (one, other, meet, within) => {
    expect(patternsMeet(pattern(one), pattern(other))).toBe(meet)
    expect(patternsMeet(pattern(other), pattern(one))).toBe(meet)
    expect(patternWithin(pattern(one), pattern(other))).toBe(within)
  })
})
