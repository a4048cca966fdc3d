/** Messages that are almost HTTP/1.1, from a seed: put together of good and bad parts, then changed in a few bytes. */

export type Pick = <T>(from: readonly T[]) => T

/** Numbers that look like chance and are the same for one seed (xorshift32). */
export class Chance {
  #state: number

  constructor(seed: number) {
    this.#state = (seed ^ 0x9e3779b9) >>> 0 || 1
  }

  below(most: number): number {
    let state = this.#state
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    this.#state = state >>> 0
    return this.#state % most
  }

  readonly pick: Pick = (from) => from[this.below(from.length)] as (typeof from)[number]
}

const often = <T>(times: number, value: T): T[] => Array.from({ length: times }, () => value)

const methods = [
  ...often(80, 'GET'),
  ...often(80, 'POST'),
  'HEAD',
  'PUT',
  'OPTIONS',
  'DELETE',
  'CONNECT',
  'M-SEARCH',
  'QUERY',
  'PRI',
  'get',
  'Get',
  'BREW',
  'GE',
  'GETT',
  'SOURCE',
  'LABEL',
  'VERSION-CONTROL',
  'DESCRIBE',
  '',
]
const targets = [
  ...often(150, '/'),
  ...often(50, '/a/b?c=d'),
  '*',
  '*a',
  'a',
  'a:1',
  'a:443',
  'http://a',
  'http://a/',
  'http://a?b',
  'http://',
  'http:/a',
  'http://u@a/',
  'http://u@v@a/',
  '//a',
  '/#f',
  '/a b',
  '/\xe9',
  '/\x7f',
  '/\t',
  '/\0',
  '?a',
  '1http://a',
  'h2c+x://a/',
  '[::1]:1',
  'http://[::1]/',
  'a@b:1',
  '/"<>\\^`{|}',
  '',
]
const spaces = [...often(200, ' '), '  ', '\t', '', ' \t', '\x0b', '\xa0']
const versions = [
  ...often(200, 'HTTP/1.1'),
  ...often(30, 'HTTP/1.0'),
  'HTTP/0.9',
  'HTTP/2.0',
  'HTTP/1.2',
  'HTTP/2',
  'http/1.1',
  'HTTP/1.1 ',
  'HTTP/1.10',
  'HTTP/11',
  'ICE/1.0',
  'RTSP/1.0',
  '',
]
const lineEnds = [...often(1_000, '\r\n'), '\n', '\r', '\r\r\n', '\n\r', '\r\n ', '\r\n\t', ' \r\n', '\0\r\n']
const framingLines = [
  ...often(100, 'Content-Length: 3'),
  ...often(100, 'Transfer-Encoding: chunked'),
  'Content-Length: 3',
  'Content-Length: 3',
  'Content-Length: 0',
  'content-length:3',
  'Content-Length: 03',
  'Content-Length: +3',
  'Content-Length: -3',
  'Content-Length: 3, 3',
  'Content-Length: 3 3',
  'Content-Length: 0x3',
  'Content-Length:',
  'Content-Length: 3 ',
  'Content-Length: \t3',
  'Content-Length : 3',
  'Content-Length: 9007199254740993',
  'Content-Length: 18446744073709551619',
  'Content_Length: 3',
  'Content-Length: 3\x00',
  'Content-Length: 3;',
  'Transfer-Encoding: chunked',
  'Transfer-Encoding: chunked',
  'Transfer-Encoding: chunked',
  'transfer-encoding:CHUNKED',
  'Transfer-Encoding: gzip, chunked',
  'Transfer-Encoding: chunked, gzip',
  'Transfer-Encoding: chunked, chunked',
  'Transfer-Encoding: identity',
  'Transfer-Encoding: gzip',
  'Transfer-Encoding: xchunked',
  'Transfer-Encoding: chunkedx',
  'Transfer-Encoding: \x0bchunked',
  'Transfer-Encoding: chunked ',
  'Transfer-Encoding:',
  'Transfer-Encoding : chunked',
  'Transfer_Encoding: chunked',
  'Transfer-Encoding: "chunked"',
  'Transfer-Encoding: ,chunked',
  'Transfer-Encoding: chunked,',
  'Transfer-Encoding\t: chunked',
  'X-Transfer-Encoding: chunked',
  'Transfer-Encodin: chunked',
]
const otherLines = [
  ...often(40, 'Host: a'),
  ...often(40, 'X: y'),
  ...often(10, 'Upgrade: websocket'),
  'Host: a',
  'Host: a',
  'Host: a',
  'Host: b',
  'host:',
  'Connection: close',
  'Connection: keep-alive',
  'Connection: x, close',
  'Connection: closed',
  'Connection: upgrade',
  'Connection: close, keep-alive',
  'Connection: keep_alive',
  'Proxy-Connection: close',
  'Upgrade: websocket',
  'Upgrade: h2c',
  'Expect: 100-continue',
  'Expect: 100-Continue',
  'Expect: x',
  'X: y',
  'X:  y z\t',
  'X:y',
  'X: \xe9',
  'X: ',
  'X',
  ':',
  ': y',
  'X : y',
  'X y: z',
  ' X: y',
  'X: \x01',
  'X: \x7f',
  'X: \0',
  'X:\t',
  '\xe9: y',
  'X[]: y',
  '"X": y',
  "!#$%&'*+-.^_`|~: y",
  '(): y',
  'X;: y',
  'X: a\rb',
  'X: a\nb',
  'A: b\r\n c',
  'Keep-Alive: timeout=5',
  'Trailer: X',
]
const statuses = [
  ...often(120, '200'),
  '100',
  '101',
  '103',
  '199',
  '204',
  '204',
  '205',
  '304',
  '304',
  '404',
  '500',
  '599',
  '600',
  '999',
  '099',
  '000',
  '20',
  '2000',
  '2x0',
  ' 200',
  '',
]
const reasons = [
  ...often(60, ' OK'),
  ' ',
  '',
  ' Not Found',
  ' \xe9',
  ' O\x01K',
  ' O\tK',
  '  OK',
  '\tOK',
  ' OK ',
  ' O\0K',
  ' O\x7fK',
]
const sizes = [
  ...often(150, '3'),
  '03',
  '003',
  '0',
  '00',
  'a',
  'A',
  'g',
  '-3',
  '+3',
  '0x3',
  ' 3',
  '3 ',
  '3\t',
  '',
  '3;',
  '3;a',
  '3;a=b',
  '3;a="b c"',
  '3;a="b\\"c"',
  '3;a="',
  '3; a',
  '3 ;a',
  '3;a =b',
  '3;=b',
  '3;a=',
  '3;;a',
  '3;a;b=c',
  '3;a="b"c',
  '3;\x01',
  '3;a=b"c"',
  '3;a="\x01"',
  '3;a="\xe9"',
  '3;\xe9',
  'ffffffffffffffff',
  '10000000000000003',
  '00000000000003',
  '3_0',
  '3h',
]
const bodies = [...often(150, 'abc'), 'ab', 'abcd', '', '\r\n', 'GET', '0\r\n', 'abc\r\n']
const trailers = [
  ...often(60, ''),
  'X: y\r\n',
  'X: y\r\n',
  'Content-Length: 3\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Host: b\r\n',
  'X y\r\n',
  ' X: y\r\n',
  'X : y\r\n',
  'X: \x01\r\n',
  'X: y\n',
  'Connection: close\r\n',
  'Set-Cookie: a\r\n',
]
const before = [...often(150, ''), '\r\n', '\r\n\r\n', '\n', '\r', ' ', '\0']
const bytes = [
  '\r',
  '\n',
  '\r\n',
  ' ',
  '\t',
  '\0',
  ':',
  ';',
  ',',
  '=',
  '"',
  '0',
  '1',
  '3',
  'a',
  'X',
  '_',
  '-',
  '/',
  '*',
  '\x0b',
  '\x7f',
  '\x80',
  '\xff',
  'Content-Length: 3\r\n',
  'Transfer-Encoding: chunked\r\n',
  '\r\n\r\n',
  'GET / HTTP/1.1\r\n',
]

export type Side = 'requests' | 'replies'

/** A stream of one to three messages of one side. */
export function generate(side: Side, chance: Chance): string {
  let text = ''
  const count = 1 + chance.below(3)
  for (let i = 0; i < count; i += 1) text += message(side, chance)
  return chance.below(3) > 0 ? text : mutated(text, chance)
}

function message(side: Side, chance: Chance): string {
  const { pick } = chance
  let text = pick(before)
  if (side === 'requests') text += pick(methods) + pick(spaces) + pick(targets) + pick(spaces) + pick(versions)
  else text += pick(versions) + pick(spaces) + pick(statuses) + pick(reasons)
  text += pick(lineEnds)
  const fields = chance.below(4)
  for (let i = 0; i < fields; i += 1) text += pick(otherLines) + pick(lineEnds)
  const framings = pick([0, 1, 1, 1, 1, 2])
  for (let i = 0; i < framings; i += 1) text += pick(framingLines) + pick(lineEnds)
  text += pick(lineEnds)
  if (framings === 0) return text
  if (!/chunked/i.test(text)) return text + pick(bodies)
  const chunks = chance.below(3)
  for (let i = 0; i < chunks; i += 1) text += pick(sizes) + pick(lineEnds) + pick(bodies) + pick(lineEnds)
  return `${text}${pick([...often(20, '0'), '00', '0;a', '0 ', ''])}${pick(lineEnds)}${pick(trailers)}${pick(lineEnds)}`
}

function mutated(text: string, chance: Chance): string {
  let changed = text
  const count = 1 + chance.below(3)
  for (let i = 0; i < count; i += 1) {
    const at = chance.below(changed.length + 1)
    const kind = chance.below(4)
    const rest = changed.slice(at + (kind === 0 ? 0 : 1 + chance.below(3)))
    if (kind < 2) changed = changed.slice(0, at) + chance.pick(bytes) + rest
    else if (kind === 2) changed = changed.slice(0, at) + rest
    else changed = changed.slice(0, at)
  }
  return changed
}
