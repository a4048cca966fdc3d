/** The threat list, part A: which host is this? One canonical authority for policy, DNS, dial, SNI, Host and credential alike. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { buildClientHello } from '../kit/client-hello.ts'
import { connectThroughProxy, exchange, openH2, openTls, requestH2 } from '../kit/raw.ts'
import { repliesOf } from '../kit/reply.ts'
import { headerOf } from '../kit/upstream.ts'
import { startRig, stub, type Rig, type Verdict } from './threat-rig.ts'

let rig: Rig

beforeAll(async () => {
  rig = await startRig()
})
afterAll(() => rig[Symbol.asyncDispose]())

const get = (host: string, target = '/json', more = ''): string => `GET ${target} HTTP/1.1\r\nHost: ${host}\r\n${more}\r\n`

interface Told {
  readonly status: number
  readonly code?: string | undefined
}

/** The six ways in which an agent names a host. */
const entries: Readonly<Record<string, (name: string) => Promise<Told>>> = {
  CONNECT: (name) => rig.say('proxy', `CONNECT ${name}:443 HTTP/1.1\r\nHost: ${name}:443\r\n\r\n`),
  'Host of plain HTTP': (name) => rig.say('http', get(name)),
  'an absolute URI': (name) => rig.say('proxy', get(name, `http://${name}/json`)),
  SNI: async (name) => {
    const { bytes, ending } = await rig.greet(
      'https',
      buildClientHello({ names: [Buffer.from(name, 'latin1')], alpn: ['http/1.1'] }),
    )
    // Nothing, or an alert (RFC 8446 section 6): never a ServerHello.
    expect({ ending, hello: bytes[0] === 22 }).toEqual({ ending: 'closed', hello: false })
    return { status: 0 }
  },
  'Host inside TLS': (name) => rig.say('https', get(name)),
  ':authority': (name) => rig.h2({ ':authority': name, ':path': '/json' }),
}

describe('a name that is not plain LDH is refused at every entry and reaches nobody', () => {
  const latin1 = (text: string): string => Buffer.from(text).toString('latin1')
  test.each([
    ['a NUL byte before the allowed suffix', 'evil.test\0.good.test'],
    ['a NUL byte behind the allowed name', 'good.test\0.evil.test'],
    ['a control byte', 'good\x01.test'],
    ['a DEL byte', 'good.test\x7f'],
    ['a tab', 'good\t.test'],
    ['a space', 'good.test evil.test'],
    ['two final dots', 'good.test..'],
    ['an empty label', 'good..test'],
    ['a leading dot', '.good.test'],
    ['an escaped dot', 'good%2Etest'],
    ['a backslash before an at sign', 'good.test\\@evil.test'],
    ['userinfo', 'good.test@evil.test'],
    ['userinfo with a password', 'good.test:x@evil.test'],
    ['userinfo that hides behind a port', 'evil.test:443@good.test'],
    ['a comma and a second name', 'good.test,evil.test'],
    ['a slash', 'good.test/.evil.test'],
    ['a question mark', 'evil.test?.good.test'],
    ['a fragment', 'evil.test#.good.test'],
    ['full-width letters', latin1('ｇｏｏｄ.test')],
    ['an ideographic full stop', latin1('good。test')],
    ['a soft hyphen', latin1('go\u00adod.test')],
    ['a Latin-1 letter', 'g\xf6\xf6d.test'],
    ['a label of 64 bytes', `${'a'.repeat(64)}.good.test`],
    ['a name of 255 bytes', `${'abcdefg.'.repeat(31)}goo.test`],
    ['a label that begins with a hyphen', '-x.zone.test'],
    ['a decimal address', '2130706433'],
    ['an octal address', '0177.1'],
    ['a hex address', '0x7f.1'],
    ['a short address', '127.1'],
    ['nought', '0'],
    ['an address with a leading nought', '012.0.0.1'],
    ['a dotted quad', '127.0.0.1'],
    ['the metadata address', '169.254.169.254'],
    ['carrier-grade NAT', '100.64.0.1'],
    ['a name that ends in a number', 'good.test.1'],
    ['IPv6 loopback', '[::1]'],
    ['IPv4 mapped into IPv6', '[::ffff:127.0.0.1]'],
    ['a NAT64 address', '[64:ff9b::7f00:1]'],
    ['the IPv6 metadata address', '[fd00:ec2::254]'],
    ['a zone id', '[fe80::1%25eth0]'],
    ['a path to a file', '../../x'],
  ])('%s', async (_, name) => {
    const attack = async (): Promise<readonly Told[]> => {
      const told: Told[] = []
      for (const entry of Object.values(entries)) told.push(await entry(name))
      return told
    }
    const isMalformed = (code: string | undefined): boolean =>
      ['bad_host', 'bad_path', 'malformed_request', 'bad_header'].includes(code ?? '')
    const { value } = await rig.refused(
      (told) => [...told.flatMap(({ code }) => (code === undefined ? [] : [code as Verdict])), 'tls_bad_sni'],
      attack,
    )
    for (const [i, { status, code }] of value.entries()) {
      const entry = Object.keys(entries)[i] ?? ''
      // What nghttp2 itself refuses (RFC 9113 section 8.2.1) is a reset stream and never becomes a request.
      if (status === 0) expect(['SNI', ':authority'], entry).toContain(entry)
      else
        expect({ entry, status, code: isMalformed(code) ? 'malformed' : code }).toEqual({ entry, status: 400, code: 'malformed' })
    }
  })
})

describe('a name that only looks like an allowed one is refused', () => {
  test.each([
    ['an allowed name as a prefix', 'good.test.evil.test'],
    ['an allowed name as a suffix of a label', 'notgood.test'],
    ['a hyphen for a dot', 'good.test-evil.test'],
    ['the apex of a wildcard', 'zone.test'],
    ['a Cyrillic look-alike in its A-label form', 'xn--gd-emca.test'],
    ['data for exfiltration in a label', 'c2VjcmV0.tunnel.evil.test'],
    ['another name of nobody’s', 'evil.test'],
  ])('%s', async (_, name) => {
    const attack = async (): Promise<readonly Told[]> => [
      await rig.say('tunnel', get(name), { name }),
      await rig.say('http', get(name)),
      await rig.say('proxy', get(name, `http://${name}/`)),
      await rig.say('https', get(name), { name }),
      await rig.h2({ ':authority': name, ':path': '/' }, { name }),
      await rig.say('https', get(name), { name: 'good.test' }),
      await rig.h2({ ':authority': name, ':path': '/' }, { name: 'good.test' }),
    ]
    const codes: Verdict[] = [...Array<Verdict>(5).fill('host_denied'), 'misdirected', 'misdirected']
    const { value, records } = await rig.refused(codes, attack)
    expect(value.map(({ status }) => status)).toEqual([403, 403, 403, 403, 403, 421, 421])
    expect(value.map(({ code }) => code)).toEqual(codes)
    expect(new Set(records.filter(({ code }) => code === 'host_denied').map(({ host }) => host))).toEqual(
      new Set([name.toLowerCase()]),
    )
  })
})

describe('another spelling of an allowed name is that name: intercepted, swapped and sent in lower case without its dot', () => {
  test.each([
    ['mixed case', 'GOOD.Test'],
    ['one final dot', 'good.test.'],
    ['both', 'Good.TEST.'],
  ])('%s', async (_, name) => {
    const auth = `Authorization: Bearer ${stub}\r\n`
    const before = rig.scene.upstreams.main.requests.length
    const { value } = await rig.watched(['allow', 'allow', 'allow', 'allow'], async () => [
      await rig.say('https', get(name, '/spelled', auth), { name: 'good.test' }),
      await greetAs(name, get(name, '/spelled', auth)),
      await tunnelAs(name, get(name, '/spelled', auth)),
      (await rig.h2({ ':authority': name, ':path': '/spelled', authorization: `Bearer ${stub}` })).status,
    ])
    expect(value.map((each) => (typeof each === 'number' ? each : each.status))).toEqual([200, 200, 200, 200])
    const seen = rig.scene.upstreams.main.requests.slice(before)
    expect(seen.map(({ rawHeaders }) => headerOf(rawHeaders, 'host') ?? headerOf(rawHeaders, ':authority'))).toEqual(
      Array(4).fill('good.test'),
    )
    expect(seen.map(({ rawHeaders }) => headerOf(rawHeaders, 'authorization'))).toEqual(Array(4).fill(`Bearer ${rig.real()}`))
  })
})

/** OpenSSL sends a name as it is given, but Node compares it with the certificate letter by letter. */
async function greetAs(name: string, bytes: string): Promise<Told> {
  const socket = await openTls({ port: rig.scene.ports.https, servername: name, alpn: ['http/1.1'] })
  const heard = rig.hear(await exchange(socket, bytes, { until: repliesOf(1) }))
  socket.destroy()
  return heard
}

async function tunnelAs(name: string, bytes: string): Promise<Told> {
  const over = await connectThroughProxy(rig.scene.ports.proxy, `${name}:443`)
  const socket = await openTls({ port: 0, over, servername: name, alpn: ['http/1.1'] })
  const heard = rig.hear(await exchange(socket, bytes, { until: repliesOf(1) }))
  socket.destroy()
  return heard
}

describe('two names for one request are refused', () => {
  const auth = `Authorization: Bearer ${stub}\r\n`
  test.each<[string, 'http' | 'https' | 'proxy' | 'tunnel', string, number, Verdict]>([
    ['an absolute URI and another Host', 'proxy', get('other.test', 'http://plain.test/'), 400, 'bad_host'],
    ['an absolute URI and another port', 'proxy', get('plain.test:81', 'http://plain.test/'), 400, 'bad_host'],
    ['an absolute URI inside TLS', 'https', get('good.test', 'https://good.test/json'), 400, 'bad_path'],
    ['a URI of another scheme', 'proxy', get('plain.test', 'ftp://plain.test/'), 400, 'bad_path'],
    ['Host twice, different', 'http', get('plain.test', '/', 'Host: evil.test\r\n'), 400, 'bad_host'],
    ['Host twice, the same', 'http', get('plain.test', '/', 'Host: plain.test\r\n'), 400, 'bad_host'],
    ['an empty Host', 'http', get(''), 400, 'bad_host'],
    ['no Host', 'http', 'GET / HTTP/1.1\r\n\r\n', 400, 'bad_host'],
    ['HTTP/1.0 without Host', 'http', 'GET / HTTP/1.0\r\n\r\n', 400, 'bad_host'],
    ['HTTP/0.9', 'http', 'GET /\r\n\r\n', 400, 'malformed_request'],
    ['HTTP/2.0 as text', 'http', 'GET / HTTP/2.0\r\nHost: plain.test\r\n\r\n', 400, 'malformed_request'],
    ['HTTP/1.2', 'http', 'GET / HTTP/1.2\r\nHost: plain.test\r\n\r\n', 400, 'malformed_request'],
    ['fronting: SNI good, Host evil', 'https', get('evil.test', '/', auth), 421, 'misdirected'],
    ['fronting between allowed hosts', 'https', get('other.test', '/', auth), 421, 'misdirected'],
    ['fronting inside a tunnel', 'tunnel', get('evil.test', '/', auth), 421, 'misdirected'],
    ['another port than the one of the connection', 'https', get('good.test:8443'), 421, 'misdirected'],
    ['CONNECT with another Host', 'proxy', 'CONNECT good.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n', 400, 'bad_host'],
    [
      'CONNECT with Host twice',
      'proxy',
      'CONNECT good.test:443 HTTP/1.1\r\nHost: good.test\r\nHost: good.test\r\n\r\n',
      400,
      'bad_host',
    ],
  ])('%s', async (_, way, bytes, status, code) => {
    const { value } = await rig.refused([code], () => rig.say(way, bytes))
    expect(value).toMatchObject({ status, code })
  })

  test('CONNECT good.test and SNI evil.test: closed before any certificate', async () => {
    const { value } = await rig.refused(['tls_sni_mismatch'], async () => {
      const socket = await connectThroughProxy(rig.scene.ports.proxy, 'good.test:443')
      return exchange(socket, buildClientHello({ names: ['evil.test'] }))
    })
    expect(value).toMatchObject({ ending: 'closed', bytes: Buffer.alloc(0) })
  })

  test('one keep-alive connection, first for its own host and then for another: each request is judged', async () => {
    const { value } = await rig.watched(['allow', 'misdirected'], () =>
      rig.say('https', get('good.test', '/json') + get('other.test', '/second', auth), { until: repliesOf(2) }),
    )
    expect(value.replies.map(({ status }) => status)).toEqual([200, 421])
    expect(rig.scene.upstreams.main.requests.some(({ target }) => target === '/second')).toBe(false)
  })

  test('h2: a Host beside :authority, and a second stream for another host', async () => {
    const { value } = await rig.watched(['allow', 'bad_host', 'misdirected'], async () => {
      const session = await openH2(
        await openTls({ port: rig.scene.ports.https, servername: 'good.test', ca: rig.scene.files.ca, alpn: ['h2'] }),
      )
      const statuses = [
        await requestH2(session, { ':authority': 'good.test', ':path': '/json' }),
        await requestH2(session, { ':authority': 'good.test', host: 'evil.test', ':path': '/json' }),
        await requestH2(session, { ':authority': 'other.test', ':path': '/json', authorization: `Bearer ${stub}` }),
      ].map(({ status }) => status)
      session.destroy()
      return statuses
    })
    expect(value).toEqual([200, 400, 421])
  })
})

test.each<[string, number, Verdict]>([
  ['good.test:22', 403, 'port_denied'],
  ['good.test:8443', 403, 'port_denied'],
  ['good.test:80', 403, 'plain_denied'],
  ['good.test:0', 400, 'bad_host'],
  ['good.test:65536', 400, 'bad_host'],
  ['good.test:0443', 400, 'bad_host'],
  ['good.test:443abc', 400, 'bad_host'],
  ['good.test:-1', 400, 'bad_host'],
  ['good.test:', 400, 'bad_host'],
  ['good.test', 400, 'bad_host'],
  ['good.test:443:443', 400, 'bad_host'],
  ['http://good.test:443', 400, 'bad_host'],
  ['/good.test:443', 400, 'bad_host'],
  ['*', 400, 'bad_host'],
])('CONNECT %s: a port that no rule names, or that is none', async (target, status, code) => {
  const { value } = await rig.refused([code], () => rig.sayInside(target))
  expect(value).toMatchObject({ status, code })
})

test.each(['6666', '443'])('a Host with port %s is no way to another port of the plain door', async (port) => {
  const { value } = await rig.refused(['misdirected'], () => rig.say('http', get(`plain.test:${port}`)))
  expect(value.status).toBe(421)
})
