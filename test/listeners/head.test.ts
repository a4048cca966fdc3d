import { describe, expect, it } from 'vitest'
import { readConnect, readProxyAuth, screen } from '#listeners/head.ts'
import type { RawHead } from '#listeners/head.ts'
import type { Connection } from '#listeners/connection.ts'
import { addressOf } from '../journey/parts.ts'
import { hostOf } from '../kit/policy.ts'

const peer = { address: addressOf('127.0.0.1'), port: 1 }
const good = hostOf('good.test')

const doors = {
  http: { door: 'http', peer, scheme: 'http', bound: undefined, localPort: 8080 },
  https: { door: 'https', peer, scheme: 'https', bound: { host: good, port: 443 }, localPort: 8443 },
  proxy: { door: 'proxy', peer, scheme: 'http', bound: undefined, localPort: 3128 },
  tunnel: { door: 'proxy', peer, scheme: 'https', bound: { host: good, port: 443 }, localPort: 3128 },
  'tunnel to 8443': { door: 'proxy', peer, scheme: 'https', bound: { host: good, port: 8443 }, localPort: 3128 },
  'plain tunnel': { door: 'proxy', peer, scheme: 'http', bound: { host: good, port: 80 }, localPort: 3128 },
} as const satisfies Record<string, Connection>

/** `GET /path HTTP/1.1` and header lines, as a parser would hand it over. */
function h1(text: string): RawHead {
  const [line = '', ...lines] = text.split('\n')
  const [, method = '', target = '', version = ''] = /^(\S+) (.*) HTTP\/(\S+)$/s.exec(line) ?? []
  return { version, method, target, headers: lines.flatMap(field) }
}

function field(line: string): string[] {
  const colon = line.indexOf(':')
  return [line.slice(0, colon), line.slice(colon + 1).replace(/^ /, '')]
}

function h2(some: Partial<RawHead> = {}): RawHead {
  return { version: '2', method: 'GET', target: '/', scheme: 'https', authority: 'good.test', headers: [], ...some }
}

function outcome(raw: RawHead, door: keyof typeof doors = 'https'): string {
  const screened = screen(raw, doors[door])
  if (screened.kind === 'refused') return screened.code
  const { scheme, host, port, path, query } = screened.head
  return `${scheme}://${host}:${port}${path}${query}`
}

const plain = 'https://good.test:443/'

describe('which host a request is for', () => {
  it.each([
    ['a name in any case is the lower-case one', 'GOOD.Test', plain],
    ['one final dot is the same name', 'good.test.', plain],
    ['two final dots are refused', 'good.test..', 'bad_host'],
    ['a NUL is refused', 'good.test\0.evil.test', 'bad_header'],
    ['a control byte is refused', 'good.test\x01', 'bad_header'],
    ['userinfo is refused', 'good.test@evil.test', 'bad_host'],
    ['userinfo with a password is refused', 'good.test:x@evil.test', 'bad_host'],
    ['full-width letters are refused', 'ｇood.test', 'bad_header'],
    ['a raw byte outside ASCII is refused', 'g\xf6od.test', 'bad_host'],
    ['a soft hyphen is refused', 'go\xadod.test', 'bad_host'],
    ['a percent escape is refused', 'good%2Etest', 'bad_host'],
    ['a backslash is refused', 'good.test\\@evil.test', 'bad_host'],
    ['a tab is refused', 'good\t.test', 'bad_host'],
    ['a comma is refused', 'good.test, evil.test', 'bad_host'],
    ['a space is refused', 'good.test evil.test', 'bad_host'],
    ['a path is refused', 'good.test/x', 'bad_host'],
    ['nothing is refused', '', 'bad_host'],
    ['an empty label is refused', 'good..test', 'bad_host'],
    ['a name in front of ours is another host', 'good.test.evil.test', 'misdirected'],
    ['a name that ends as ours is another host', 'notgood.test', 'misdirected'],
    ['a name that goes on is another host', 'good.test-evil.test', 'misdirected'],
    ['a look-alike in its A-label is another host', 'xn--god-sna.test', 'misdirected'],
    ['an allowed host that the TLS session is not for is refused', 'other.test', 'misdirected'],
    ['the standard port may be written', 'good.test:443', plain],
    ['the port of our own door means the standard one', 'good.test:8443', plain],
    ['another port is refused', 'good.test:22', 'misdirected'],
    ['port 0 is refused', 'good.test:0', 'bad_host'],
    ['port 65536 is refused', 'good.test:65536', 'bad_host'],
    ['a port with a leading zero is refused', 'good.test:0443', 'bad_host'],
    ['a port with letters is refused', 'good.test:443abc', 'bad_host'],
    ['an empty port is refused', 'good.test:', 'bad_host'],
    ['an IPv4 address is refused', '127.0.0.1', 'bad_host'],
    ['an IPv6 address is refused', '[::1]', 'bad_host'],
    ['an IPv6 address with an IPv4 one inside is refused', '[::ffff:127.0.0.1]', 'bad_host'],
    ['a zone id is refused', '[fe80::1%25eth0]', 'bad_host'],
    ['an address as one number is refused', '2130706433', 'bad_host'],
    ['an octal address is refused', '0177.1', 'bad_host'],
    ['a hexadecimal address is refused', '0x7f.1', 'bad_host'],
    ['a hexadecimal number is refused', '0x7f000001', 'bad_host'],
    ['a short address is refused', '127.1', 'bad_host'],
    ['zero is refused', '0', 'bad_host'],
    ['an address with a leading zero is refused', '012.0.0.1', 'bad_host'],
  ])('%s', (_name, host, expected) => {
    expect(outcome({ version: '1.1', method: 'GET', target: '/', headers: ['Host', host] })).toBe(expected)
    expect(outcome({ version: '1.1', method: 'GET', target: '/', headers: ['host', host] }, 'tunnel')).toBe(
      expected === plain && host.endsWith(':8443') ? 'misdirected' : expected,
    )
    const authority = outcome(h2({ authority: host }))
    // A header value is looked at before the host it names; a pseudo-header only as a host.
    expect(authority).toBe(expected === 'bad_header' ? 'bad_host' : expected)
  })

  it.each([
    ['no Host', 'GET / HTTP/1.1', 'bad_host'],
    ['no Host in HTTP/1.0', 'GET / HTTP/1.0', 'bad_host'],
    ['Host twice, and equal', 'GET / HTTP/1.1\nHost: good.test\nhost: good.test', 'bad_host'],
    ['Host twice, and different', 'GET / HTTP/1.1\nHost: good.test\nHost: evil.test', 'bad_host'],
    ['HTTP/2.0 as text', 'GET / HTTP/2.0\nHost: good.test', 'malformed_request'],
    ['HTTP/0.9', 'GET / HTTP/0.9\nHost: good.test', 'malformed_request'],
    ['HTTP/1.2', 'GET / HTTP/1.2\nHost: good.test', 'malformed_request'],
  ])('%s is refused', (_name, text, expected) => {
    expect(outcome(h1(text))).toBe(expected)
  })

  it('takes HTTP/1.0 with a Host', () => {
    expect(outcome(h1('GET / HTTP/1.0\nHost: good.test'))).toBe(plain)
  })

  it.each([
    ['Host like :authority', h2({ headers: ['host', 'good.test'] }), plain],
    ['Host unlike :authority', h2({ headers: ['host', 'evil.test'] }), 'bad_host'],
    ['Host in another case than :authority', h2({ headers: ['host', 'Good.test'] }), 'bad_host'],
    ['Host instead of :authority', h2({ authority: undefined, headers: ['host', 'good.test'] }), 'bad_host'],
    ['another :authority than the session', h2({ authority: 'other.test' }), 'misdirected'],
  ])('in HTTP/2, %s', (_name, raw, expected) => {
    expect(outcome(raw)).toBe(expected)
  })
})

describe('the absolute form', () => {
  it.each([
    ['names host and path', 'GET http://good.test/a?b HTTP/1.1\nHost: good.test', 'http://good.test:80/a?b'],
    ['may leave the path out', 'GET http://good.test HTTP/1.1\nHost: good.test', 'http://good.test:80/'],
    ['may go on with a query', 'GET http://good.test?x=1 HTTP/1.1\nHost: good.test', 'http://good.test:80/?x=1'],
    ['may name a port', 'GET http://good.test:8000/ HTTP/1.1\nHost: good.test:8000', 'http://good.test:8000/'],
    [
      'may write the standard port on one side only',
      'GET http://good.test:80/ HTTP/1.1\nHost: good.test',
      'http://good.test:80/',
    ],
    ['is refused when Host is another', 'GET http://good.test/ HTTP/1.1\nHost: evil.test', 'bad_host'],
    ['is refused when the port of Host is another', 'GET http://good.test/ HTTP/1.1\nHost: good.test:81', 'bad_host'],
    ['is refused without Host', 'GET http://good.test/ HTTP/1.1', 'bad_host'],
    ['is refused with userinfo', 'GET http://good.test@evil.test/ HTTP/1.1\nHost: evil.test', 'bad_host'],
    ['is refused with a NUL', 'GET http://evil.test\0.good.test/ HTTP/1.1\nHost: good.test', 'bad_host'],
    ['is refused with a backslash', 'GET http://evil.test\\.good.test/ HTTP/1.1\nHost: good.test', 'bad_host'],
    ['is refused with an address', 'GET http://2130706433/ HTTP/1.1\nHost: 2130706433', 'bad_host'],
    ['is refused for https', 'GET https://good.test/ HTTP/1.1\nHost: good.test', 'bad_path'],
    ['is refused for https, whatever its case', 'GET HTTPS://good.test/ HTTP/1.1\nHost: good.test', 'bad_path'],
    ['is refused for ftp', 'GET ftp://good.test/ HTTP/1.1\nHost: good.test', 'bad_path'],
    ['is refused for an upper-case scheme', 'GET HTTP://good.test/ HTTP/1.1\nHost: good.test', 'bad_path'],
    ['is refused with a fragment', 'GET http://good.test#/x HTTP/1.1\nHost: good.test', 'bad_path'],
  ])('%s', (_name, text, expected) => {
    expect(outcome(h1(text), 'proxy')).toBe(expected)
  })

  it('is not taken inside TLS', () => {
    expect(outcome(h1('GET http://good.test/ HTTP/1.1\nHost: good.test'), 'https')).toBe('bad_path')
    expect(outcome(h2({ target: 'https://good.test/' }))).toBe('bad_path')
  })
})

describe('the port', () => {
  it.each([
    ['http', 'good.test', 'http://good.test:80/'],
    ['http', 'good.test:80', 'http://good.test:80/'],
    ['http', 'good.test:8080', 'http://good.test:80/'],
    ['http', 'good.test:8443', 'misdirected'],
    ['http', 'good.test:443', 'misdirected'],
    ['proxy', 'good.test', 'http://good.test:80/'],
    ['proxy', 'good.test:8000', 'http://good.test:8000/'],
    ['proxy', 'good.test:3128', 'http://good.test:3128/'],
    ['tunnel', 'good.test:80', 'misdirected'],
    ['tunnel to 8443', 'good.test:8443', 'https://good.test:8443/'],
    ['tunnel to 8443', 'good.test', 'https://good.test:8443/'],
    ['tunnel to 8443', 'good.test:443', 'misdirected'],
    ['plain tunnel', 'good.test', 'http://good.test:80/'],
    ['plain tunnel', 'other.test', 'misdirected'],
  ] as const)('at the door %s, Host %s is %s', (door, host, expected) => {
    expect(outcome(h1(`GET / HTTP/1.1\nHost: ${host}`), door)).toBe(expected)
  })
})

describe('the framing', () => {
  it.each([
    ['length and chunked', 'Content-Length: 3\nTransfer-Encoding: chunked'],
    ['chunked and length', 'Transfer-Encoding: chunked\nContent-Length: 3'],
    ['two lengths', 'Content-Length: 3\nContent-Length: 4'],
    ['the same length twice', 'Content-Length: 4\nContent-Length: 4'],
    ['a list of lengths', 'Content-Length: 4,4'],
    ['a length with a sign', 'Content-Length: +4'],
    ['a negative length', 'Content-Length: -1'],
    ['an empty length', 'Content-Length: '],
    ['a hexadecimal length', 'Content-Length: 0x4'],
    ['a length with a space inside', 'Content-Length: 4 4'],
    ['a length past 2^64', 'Content-Length: 18446744073709551617'],
    ['gzip before chunked', 'Transfer-Encoding: gzip, chunked'],
    ['chunked before identity', 'Transfer-Encoding: chunked, identity'],
    ['xchunked', 'Transfer-Encoding: xchunked'],
    ['chunked in capitals', 'Transfer-Encoding: Chunked'],
    ['chunked after a tab', 'Transfer-Encoding: \tchunked'],
    ['chunked twice', 'Transfer-Encoding: chunked\nTransfer-Encoding: chunked'],
    ['identity', 'Transfer-Encoding: identity'],
  ])('%s is refused', (_name, lines) => {
    expect(outcome(h1(`POST / HTTP/1.1\nHost: good.test\n${lines}`))).toBe('bad_framing')
  })

  it('refuses a vertical tab in a value', () => {
    expect(outcome(h1('POST / HTTP/1.1\nHost: good.test\nTransfer-Encoding: \x0bchunked'))).toBe('bad_header')
  })

  it('refuses chunked in HTTP/1.0 and in HTTP/2', () => {
    expect(outcome(h1('POST / HTTP/1.0\nHost: good.test\nTransfer-Encoding: chunked'))).toBe('bad_framing')
    expect(outcome(h2({ headers: ['transfer-encoding', 'chunked'] }))).toBe('bad_framing')
  })

  it.each([
    ['GET / HTTP/1.1\nHost: good.test', false, undefined],
    ['POST / HTTP/1.1\nHost: good.test\nContent-Length: 0', false, 0],
    ['POST / HTTP/1.1\nHost: good.test\nContent-Length: 12', true, 12],
    ['POST / HTTP/1.1\nHost: good.test\nTransfer-Encoding: chunked', true, undefined],
  ])('%j has the body it announces', (text, hasBody, length) => {
    expect(screen(h1(text), doors.https)).toMatchObject({ kind: 'screened', hasBody, length })
  })
})

describe('the header fields', () => {
  it.each([
    ['an empty name', ['', 'x']],
    ['a space in a name', ['x y', 'x']],
    ['a space before the colon', ['x-y ', 'x']],
    ['a byte outside ASCII in a name', ['x\xe4', 'x']],
    ['a colon in a name', ['x:y', 'x']],
    ['a line break in a value', ['x', 'a\r\nHost: evil.test']],
    ['a bare line feed in a value', ['x', 'a\nb']],
    ['a bare carriage return in a value', ['x', 'a\rb']],
    ['a NUL in a value', ['x', 'a\0b']],
    ['a DEL in a value', ['x', 'a\x7fb']],
  ])('%s is refused, in HTTP/1.1 and in HTTP/2', (_name, pair) => {
    expect(outcome({ version: '1.1', method: 'GET', target: '/', headers: ['host', 'good.test', ...pair] })).toBe('bad_header')
    expect(outcome(h2({ headers: pair }))).toBe('bad_header')
  })

  it.each([
    'transfer-encoding',
    'content-length',
    'host',
    'authorization',
    'x-api-key',
    'Cookie',
    'X-Goog-Api-Key',
    'api-key',
    'content-type',
    'content-encoding',
  ])('Connection may not name %s', (name) => {
    expect(outcome(h1(`GET / HTTP/1.1\nHost: good.test\nConnection: keep-alive, ${name}`))).toBe('bad_header')
    expect(outcome(h1(`GET / HTTP/1.1\nHost: good.test\nConnection: close\nConnection:${name}`))).toBe('bad_header')
  })

  it('lets Connection name what is of this hop', () => {
    expect(outcome(h1('GET / HTTP/1.1\nHost: good.test\nConnection: keep-alive, TE, x-hop'))).toBe(plain)
  })

  it('does not know Connection in HTTP/2', () => {
    expect(outcome(h2({ headers: ['connection', 'close'] }))).toBe('bad_header')
  })

  it('counts the fields', () => {
    const fields = (count: number): string[] => Array.from({ length: count }, (_, i) => [`x-${i}`, '']).flat()
    expect(outcome(h2({ headers: fields(200) }))).toBe(plain)
    expect(outcome(h2({ headers: fields(201) }))).toBe('head_too_large')
  })

  it('hands every field on as it came', () => {
    const headers = ['HOST', 'good.test', 'X-Mixed', ' a  b ', 'x-mixed', '\xfc', '__proto__', 'constructor']
    expect(screen({ version: '1.1', method: 'GET', target: '/', headers }, doors.https)).toMatchObject({ head: { headers } })
  })
})

describe('a switch of protocols', () => {
  it.each([
    ['websocket', 'Connection: Upgrade\nUpgrade: WebSocket', true],
    ['websocket among options', 'Connection: keep-alive, upgrade\nUpgrade: websocket', true],
    ['Connection without Upgrade', 'Connection: upgrade', false],
    ['Upgrade without Connection', 'Upgrade: websocket', false],
    ['a word that only ends in upgrade', 'Connection: notupgrade\nUpgrade: websocket', false],
    ['h2c that nobody connects', 'Upgrade: h2c', false],
  ])('%s', (_name, lines, upgrade) => {
    expect(screen(h1(`GET / HTTP/1.1\nHost: good.test\n${lines}`), doors.https)).toMatchObject({ kind: 'screened', upgrade })
  })

  it.each([
    [
      'h2c',
      'GET / HTTP/1.1\nHost: good.test\nConnection: Upgrade, HTTP2-Settings\nUpgrade: h2c\nHTTP2-Settings: AAMAAABk',
      'bad_header',
    ],
    ['TLS', 'GET / HTTP/1.1\nHost: good.test\nConnection: upgrade\nUpgrade: TLS/1.2', 'bad_header'],
    ['two at once', 'GET / HTTP/1.1\nHost: good.test\nConnection: upgrade\nUpgrade: websocket, h2c', 'bad_header'],
    ['websocket by POST', 'POST / HTTP/1.1\nHost: good.test\nConnection: upgrade\nUpgrade: websocket', 'malformed_request'],
    [
      'websocket with a body',
      'GET / HTTP/1.1\nHost: good.test\nConnection: upgrade\nUpgrade: websocket\nContent-Length: 4',
      'malformed_request',
    ],
    ['the HTTP/2 preface', 'PRI * HTTP/2.0', 'malformed_request'],
  ])('to %s is refused', (_name, text, expected) => {
    expect(outcome(h1(text))).toBe(expected)
  })
})

describe('the method', () => {
  it.each(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND', 'M-SEARCH'])('%s passes', (method) => {
    expect(outcome(h1(`${method} / HTTP/1.1\nHost: good.test`))).toBe(plain)
  })

  it.each(['TRACE', 'TRACK', 'CONNECT', 'get', 'Get', 'G,T', 'GET\0', '', '-GET', 'G1', 'A'.repeat(33), 'X'.repeat(1024)])(
    '%j does not',
    (method) => {
      expect(outcome({ version: '1.1', method, target: '/', headers: ['host', 'good.test'] })).toBe('method_not_allowed')
      expect(outcome(h2({ method }))).toBe('method_not_allowed')
    },
  )
})

describe('the path', () => {
  it.each([
    '/pub/../adm',
    '/a/..',
    '/a/.',
    '/./a',
    '/%2e%2e/a',
    '/%2E%2e/a',
    '/.%2e/a',
    '/%252e%252e/a',
    '/a/..;/b',
    '/a/..%2fb',
    '/a b',
    '/a\tb',
    '/\xfc',
    '/a\0',
    '/a%00',
    '/a%0d%0a',
    '/%',
    '/%zz',
    '/a#b',
    '/a?b#c',
    '/a?\xfc',
    '/a?b c',
    '/a?b\0',
    '*',
    '',
    'a',
    '?a',
    '@good.test',
    'good.test/',
    '/%c0%ae%c0%ae/',
  ])('%j is refused', (target) => {
    expect(outcome({ version: '1.1', method: 'GET', target, headers: ['host', 'good.test'] })).toBe('bad_path')
    expect(outcome(h2({ target }))).toBe('bad_path')
  })

  it.each([
    '/',
    '/a/b/',
    '/o/a%2Fb',
    '/o/a%2fb',
    '/a;v=1/b',
    '/%41',
    '/a%20b',
    '/...',
    '/.well-known/x',
    '/a.b..c',
    "/-_~!$&'()*+,;=:@",
    '/a?',
    '/a?b=/../c',
    '/a?b=%2e%2e',
    '/a??b',
    '/a?b=[1]&c={}|^`"<>\\',
    '/%E2%82%AC',
    '/a\\b',
    '/a%5cb',
    '//a',
    '/a//b',
  ])('%j goes out byte for byte', (target) => {
    const mark = target.indexOf('?')
    const head = { path: mark < 0 ? target : target.slice(0, mark), query: mark < 0 ? '' : target.slice(mark) }
    expect(screen(h1(`GET ${target} HTTP/1.1\nHost: good.test`), doors.https)).toMatchObject({ kind: 'screened', head })
    expect(screen(h2({ target }), doors.https)).toMatchObject({ kind: 'screened', head })
  })

  it('may be 16 KiB long and no longer', () => {
    expect(outcome(h2({ target: `/${'a'.repeat(16 * 1024 - 1)}` }))).toMatch(/^https:/)
    expect(outcome(h2({ target: `/${'a'.repeat(16 * 1024)}` }))).toBe('head_too_large')
  })

  it.each(['http', 'ftp', 'HTTPS', ''])('the :scheme %j is not this connection’s', (scheme) => {
    expect(outcome(h2({ scheme }))).toBe('malformed_request')
  })
})

describe('CONNECT', () => {
  const connect = (target: string, headers: readonly string[], version = '1.1'): string => {
    const read = readConnect({ version, method: 'CONNECT', target, headers })
    return read.kind === 'refused' ? read.code : read.kind
  }

  it.each([
    ['with the same Host', 'good.test:443', ['Host', 'good.test:443'], 'connect'],
    ['with Host without the port', 'good.test:443', ['Host', 'good.test'], 'connect'],
    ['with Host in capitals', 'good.test:8443', ['Host', 'GOOD.TEST:8443'], 'connect'],
    ['without Host', 'good.test:443', [], 'connect'],
    ['with another Host', 'good.test:443', ['Host', 'evil.test:443'], 'bad_host'],
    ['with a Host that is none', 'good.test:443', ['Host', 'good.test\\:443'], 'bad_host'],
    ['with two Hosts', 'good.test:443', ['Host', 'good.test', 'Host', 'good.test'], 'bad_host'],
    ['with a length', 'good.test:443', ['Host', 'good.test', 'Content-Length', '0'], 'bad_framing'],
    ['with a chunked body', 'good.test:443', ['Host', 'good.test', 'Transfer-Encoding', 'chunked'], 'bad_framing'],
    ['with a name nominated', 'good.test:443', ['Host', 'good.test', 'Connection', 'authorization'], 'bad_header'],
    [
      'with two proxy passwords',
      'good.test:443',
      ['Proxy-Authorization', 'Basic YTpi', 'Proxy-Authorization', 'Basic YTpi'],
      'bad_credential',
    ],
    ['with a bearer token for the proxy', 'good.test:443', ['Proxy-Authorization', 'Bearer x'], 'bad_credential'],
  ])('%s', (_name, target, headers, expected) => {
    expect(connect(target, headers)).toBe(expected)
  })

  it('is not offered over HTTP/2', () => {
    expect(connect('good.test:443', [], '2')).toBe('method_not_allowed')
  })
})

describe('the proxy password', () => {
  const basic = (text: string): string => Buffer.from(text, 'latin1').toString('base64')

  it.each([
    [`Basic ${basic('agent:secret')}`, 'agent', 'secret'],
    [`basic ${basic('agent:with:colons')}`, 'agent', 'with:colons'],
    [`BASIC ${basic(':')}`, '', ''],
  ])('%s is read', (value, username, password) => {
    const read = readProxyAuth(value)
    expect(read?.username).toBe(username)
    expect(read?.password.expose()).toBe(password)
  })

  it.each([
    '',
    'Basic',
    'Basic ',
    'Basic %%%',
    `Basic  ${basic('a:b')}`,
    `Basic ${basic('nocolon')}`,
    `Digest ${basic('a:b')}`,
    `Basic ${basic('a:b')} x`,
  ])('%j is not', (value) => {
    expect(readProxyAuth(value)).toBeUndefined()
  })

  it('comes from the request or from the tunnel around it, and is never printed', () => {
    const proxyAuth = readProxyAuth(`Basic ${basic('outer:password')}`)
    expect(screen(h2(), { ...doors.tunnel, proxyAuth })).toMatchObject({ proxyAuth: { username: 'outer' } })
    const inner = screen(h1(`GET / HTTP/1.1\nHost: good.test\nProxy-Authorization: Basic ${basic('inner:password')}`), {
      ...doors.tunnel,
      proxyAuth,
    })
    expect(inner).toMatchObject({ proxyAuth: { username: 'inner' } })
    expect(JSON.stringify(proxyAuth)).not.toContain('"password":"password"')
  })
})

describe('a header in a spelling that servers fold', () => {
  it.each([
    ['Content_Length: 5', 'bad_header'],
    ['Transfer_Encoding: chunked', 'bad_header'],
    ['content.length: 5', 'bad_header'],
    ['TRANSFER~ENCODING: chunked', 'bad_header'],
    ['Content_Encoding: gzip', 'bad_header'],
    ['Connection: content_length', 'bad_header'],
    ['Connection: x.api.key', 'bad_header'],
    ['Proxy_Authorization: Bearer x', 'bad_header'],
    ['X_Run_Id: no spaces', 'bad_header'],
    ['Content_Type: text/plain', plain],
    ['X_Content_Length: 5', plain],
  ])('%s is %s', (line, expected) => {
    expect(outcome(h1(`GET / HTTP/1.1\nHost: good.test\n${line}`))).toBe(expected)
    const [name = '', value = ''] = field(line)
    if (!name.startsWith('Connection')) expect(outcome(h2({ headers: [name.toLowerCase(), value] }))).toBe(expected)
  })

  it.each(['x', '100-continue, x', '', '200-ok', '100-continue, 100-continue'])('Expect: %j is refused over HTTP/2', (value) => {
    expect(outcome(h2({ headers: ['expect', value] }))).toBe('expectation_failed')
  })

  it('Expect twice is refused, and 100-continue in any case is not', () => {
    expect(outcome(h2({ headers: ['expect', '100-continue', 'expect', '100-continue'] }))).toBe('expectation_failed')
    expect(outcome(h2({ headers: ['expect', '100-Continue'] }))).toBe(plain)
  })
})
