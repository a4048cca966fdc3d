/** The threat list, part B: changes of protocol, Connection, Expect and methods. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { greeting, preface } from '../kit/frames.ts'
import { connectThroughProxy, exchange } from '../kit/raw.ts'
import { headerOf } from '../kit/upstream.ts'
import { codeIn, sayEverywhere, smuggled, startRig, told, type Rig, type Verdict, type Way } from './threat-rig.ts'

let rig: Rig

beforeAll(async () => {
  rig = await startRig({ rules: '  - {id: reading, hosts: [read.test], methods: [GET]}', hosts: ['read.test'] })
})
afterAll(() => rig[Symbol.asyncDispose]())

describe('changes of protocol', () => {
  const upgrade =
    'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n'
  test.each<[string, Way, string, Verdict]>([
    [
      'h2c with its settings',
      'https',
      'GET /x HTTP/1.1\r\nHost: good.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n',
      'bad_header',
    ],
    [
      'h2c on the plain door',
      'http',
      'GET /x HTTP/1.1\r\nHost: plain.test\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n',
      'bad_header',
    ],
    [
      'TLS within HTTP (RFC 2817)',
      'http',
      'GET /x HTTP/1.1\r\nHost: plain.test\r\nConnection: Upgrade\r\nUpgrade: TLS/1.0\r\n\r\n',
      'bad_header',
    ],
    [
      'websocket with another protocol beside it',
      'https',
      'GET /x HTTP/1.1\r\nHost: good.test\r\nConnection: Upgrade\r\nUpgrade: websocket, h2c\r\n\r\n',
      'bad_header',
    ],
    ['websocket by POST', 'https', `POST /x HTTP/1.1\r\nHost: good.test\r\n${upgrade}\r\n`, 'malformed_request'],
    [
      'websocket with a body',
      'https',
      `GET /x HTTP/1.1\r\nHost: good.test\r\n${upgrade}Content-Length: 4\r\n\r\nabcd`,
      'malformed_request',
    ],
    ['websocket in HTTP/1.0', 'https', `GET /ws HTTP/1.0\r\nHost: good.test\r\n${upgrade}\r\n`, 'malformed_request'],
    ['an h2 preface in clear', 'http', preface.toString('latin1'), 'malformed_request'],
    ['CONNECT on the plain door', 'http', 'CONNECT good.test:443 HTTP/1.1\r\nHost: good.test:443\r\n\r\n', 'method_not_allowed'],
    ['CONNECT inside TLS', 'https', 'CONNECT other.test:443 HTTP/1.1\r\nHost: other.test:443\r\n\r\n', 'method_not_allowed'],
    [
      'CONNECT inside a tunnel',
      'tunnel',
      'CONNECT other.test:443 HTTP/1.1\r\nHost: other.test:443\r\n\r\n',
      'method_not_allowed',
    ],
    [
      'CONNECT with a body',
      'proxy',
      'CONNECT good.test:443 HTTP/1.1\r\nHost: good.test:443\r\nContent-Length: 4\r\n\r\nabcd',
      'bad_framing',
    ],
  ])('%s', async (_, way, bytes, code) => {
    const { value } = await rig.refused([code], () => rig.say(way, bytes + smuggled, { until: () => false }))
    expect(value.replies.map(({ body }) => codeIn(body))).toEqual([code])
    expect(value.ending).toBe('closed')
  })

  test('a denied CONNECT with requests behind it: the first is refused inside, and none after it is read', async () => {
    const connect = 'CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n'
    const { value } = await rig.refused(['host_denied'], async () => {
      const socket = await rig.open('proxy')
      return exchange(socket, `${connect}GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n${smuggled}`, { until: () => false })
    })
    const text = value.bytes.toString('latin1')
    expect([...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map((found) => found[1])).toEqual(['200', '403'])
    expect(value.ending).toBe('closed')
  })

  test('an h2 preface in clear inside a tunnel is no TLS', async () => {
    const { value } = await rig.refused(['tls_not_tls'], async () =>
      exchange(await connectThroughProxy(rig.scene.ports.proxy, 'good.test:443'), greeting),
    )
    expect(value).toMatchObject({ ending: 'closed', bytes: Buffer.alloc(0) })
  })

  test('websocket that the host answers with 200: no tunnel, and what is appended is not sent', async () => {
    const { value } = await rig.watched(['allow'], () =>
      rig.say('https', `GET /ws-refused HTTP/1.1\r\nHost: good.test\r\n${upgrade}\r\n${smuggled}`, { until: () => false }),
    )
    expect(value.replies.map(({ status }) => status)).toEqual([200])
    expect(rig.scene.upstreams.main.requests.find(({ target }) => target === '/ws-refused')?.bodyLength).toBe(0)
    expect(rig.scene.upstreams.main.requests.some(({ target }) => target === '/smuggled')).toBe(false)
  })

  test.each<[string, string]>([
    ['Connection that only resembles upgrade', 'Connection: notupgrade\r\nUpgrade: websocket\r\n'],
    ['Upgrade without Connection', 'Upgrade: websocket\r\n'],
  ])('%s is an ordinary request', async (_, lines) => {
    const { value } = await rig.watched(['allow'], () =>
      rig.say('https', `GET /json HTTP/1.1\r\nHost: good.test\r\n${lines}\r\n`),
    )
    expect(value.status).toBe(200)
    expect(headerOf(rig.scene.upstreams.main.requests.at(-1)?.rawHeaders ?? [], 'upgrade')).toBeUndefined()
  })
})

test.each([
  'transfer-encoding',
  'content-length',
  'host',
  'authorization',
  'x-api-key',
  'Cookie',
  'close, Authorization',
  'content-encoding',
  'x-goog-api-key',
])('Connection may not take %s away behind our back', async (option) => {
  const { value } = await rig.refused(
    ['bad_header', 'bad_header'],
    sayEverywhere(rig, (host) => `GET /x HTTP/1.1\r\nHost: ${host}\r\nConnection: ${option}\r\n\r\n`),
  )
  expect(value.map(({ status, ending }) => `${status} ${ending}`)).toEqual(['400 closed', '400 closed'])
})

describe('what an agent expects, and which method it uses', () => {
  test('an unknown expectation is 417', async () => {
    const { value } = await rig.refused(
      ['expectation_failed', 'expectation_failed'],
      sayEverywhere(rig, (host) => `POST /x HTTP/1.1\r\nHost: ${host}\r\nExpect: x\r\nContent-Length: 4\r\n\r\nabcd`),
    )
    expect(value.map(({ status }) => status)).toEqual([417, 417])
  })

  test('a refused request that waits for 100 Continue never gets it', async () => {
    const { value } = await rig.refused(['request_denied'], () =>
      rig.say('https', 'POST /x HTTP/1.1\r\nHost: read.test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n', {
        name: 'read.test',
      }),
    )
    expect(value.replies.map(({ status }) => status)).toEqual([403])
  })

  test('a final answer before the body: the body’s rest never becomes a request, here or there', async () => {
    const { value } = await rig.watched(['allow'], () =>
      rig.say(
        'https',
        `POST /early HTTP/1.1\r\nHost: good.test\r\nExpect: 100-continue\r\nContent-Length: 100000\r\n\r\n${smuggled.repeat(10)}`,
        { until: () => false },
      ),
    )
    expect(value.replies.filter(({ status }) => status >= 200).map(({ status }) => status)).toEqual([413])
    expect(rig.scene.upstreams.main.requests.some(({ target }) => target === '/smuggled')).toBe(false)
  })

  test.each<[string, Verdict, number]>([
    ['TRACE', 'method_not_allowed', 405],
    ['TRACK', 'method_not_allowed', 405],
    ['get', 'method_not_allowed', 405],
    ['GeT', 'method_not_allowed', 405],
    ['M'.repeat(1024), 'method_not_allowed', 405],
    ['PRI', 'malformed_request', 400],
    ['G\x01T', 'method_not_allowed', 405],
  ])('method %s', async (method, code, status) => {
    const { value } = await rig.refused(
      [code, code],
      sayEverywhere(rig, (host) => `${method} /x HTTP/1.1\r\nHost: ${host}\r\n\r\n`),
    )
    expect(value.map((each) => [each.status, each.replies.length])).toEqual([
      [status, 1],
      [status, 1],
    ])
  })

  test.each(['*', 'x', '', 'good.test:443'])('target %j is no path', async (target) => {
    const { value } = await rig.refused(
      told,
      sayEverywhere(rig, (host) => `GET ${target} HTTP/1.1\r\nHost: ${host}\r\n\r\n`),
    )
    expect(value.map(({ status }) => status)).toEqual([400, 400])
  })

  test('headers that name another method are taken off; a query that does is the host’s own business', async () => {
    const { value } = await rig.watched(['allow'], () =>
      rig.say(
        'https',
        'GET /override?_method=DELETE HTTP/1.1\r\nHost: read.test\r\nX-HTTP-Method-Override: DELETE\r\nX-HTTP-Method: DELETE\r\nX-Method-Override: DELETE\r\n\r\n',
        { name: 'read.test' },
      ),
    )
    expect(value.status).toBe(200)
    const seen = rig.scene.upstreams.main.requests.at(-1)
    expect(seen).toMatchObject({ method: 'GET', target: '/override?_method=DELETE' })
    expect(seen?.rawHeaders.join()).not.toMatch(/override/i)
  })
})
