/** The threat list, part I: identity. Who speaks is told by the connection, and not by who speaks. */
import { request as httpRequest } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { headerOf } from '../kit/upstream.ts'
import { startRig, stranger, type Rig, type Verdict, type Way } from './threat-rig.ts'

let rig: Rig
const twins = '127.0.0.7'
const agents = `  carol: {from: [{proxyAuth: {username: carol, password: {file: secrets/carol}}}, {cidr: 127.0.0.5/32}]}
  twin-one: {from: [{cidr: 127.0.0.6/31}]}
  twin-two: {from: [{cidr: ${twins}/32}]}`

beforeAll(async () => {
  rig = await startRig({ agents, secrets: ['carol'] })
})
afterAll(() => rig[Symbol.asyncDispose]())

const get = (host: string, target = '/json', more = ''): string => `GET ${target} HTTP/1.1\r\nHost: ${host}\r\n${more}\r\n`
const proxyAuth = (user: string, password: string): string =>
  `Proxy-Authorization: Basic ${Buffer.from(`${user}:${password}`).toString('base64')}\r\n`

describe('who speaks is told by the connection alone', () => {
  const forged = [
    'X-Agent: bob',
    'X-Agent-Id: bob',
    'X-Forwarded-For: 127.0.0.2',
    'X-Real-IP: 127.0.0.2',
    'Forwarded: for=127.0.0.2',
    'X-Client-Cert: bob',
    'X-Iron-Proxy-Agent: bob',
    'Remote-User: bob',
    'True-Client-IP: 127.0.0.2',
  ]
    .map((line) => `${line}\r\n`)
    .join('')

  test.each<[Way, string, string]>([
    ['http', 'plain.test', '/x'],
    ['https', 'good.test', '/x'],
    ['proxy', 'plain.test', 'http://plain.test/x'],
    ['tunnel', 'good.test', '/x'],
  ])('forged identity headers at the %s door change nothing', async (way, host, target) => {
    const { records } = await rig.watched(['allow'], () => rig.say(way, get(host, target, forged)))
    expect(new Set(records.map(({ agent, peer }) => `${agent} ${peer}`))).toEqual(new Set(['alice 127.0.0.1']))
  })

  test('an address of no agent is refused at every door, whatever it says of itself', async () => {
    const from = stranger
    const { value } = await rig.refused(
      ['agent_unknown', 'agent_unknown', 'proxy_auth_required', 'proxy_auth_required'],
      async () => [
        await rig.say('http', get('plain.test', '/x', forged), { from }),
        await rig.say('https', get('good.test', '/x', forged), { from }),
        await rig.say('proxy', get('plain.test', 'http://plain.test/x', forged), { from }),
        await rig.say('proxy', `CONNECT good.test:443 HTTP/1.1\r\n${forged}\r\n`, { from }),
      ],
    )
    expect(value.map(({ status }) => status)).toEqual([403, 403, 407, 407])
  })

  test('an address that two agents claim belongs to neither', async () => {
    const { value } = await rig.refused(['agent_ambiguous', 'agent_ambiguous', 'proxy_auth_required'], async () => [
      await rig.say('http', get('plain.test'), { from: twins }),
      await rig.say('https', get('good.test'), { from: twins }),
      // A password would tell them apart here.
      await rig.say('proxy', 'CONNECT good.test:443 HTTP/1.1\r\n\r\n', { from: twins }),
    ])
    expect(value.map(({ status }) => status)).toEqual([403, 403, 407])
  })

  test('a PROXY protocol header is no header of ours', async () => {
    const v1 = 'PROXY TCP4 127.0.0.2 127.0.0.1 1234 443\r\n'
    const v2 = Buffer.concat([
      Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1'),
      Buffer.from([0x21, 0x11, 0xff, 0xff]),
      Buffer.alloc(12),
    ])
    const { value } = await rig.refused(['method_not_allowed', 'tls_not_tls', 'method_not_allowed', 'tls_not_tls'], async () => [
      await rig.say('http', v1 + get('plain.test'), { until: () => false }),
      await rig.greet('https', Buffer.from(v1 + get('good.test'))),
      await rig.say('http', Buffer.concat([v2, Buffer.from(get('plain.test'))]), { until: () => false }),
      await rig.greet('https', v2),
    ])
    expect(value.map(({ ending }) => ending)).not.toContain('open')
  })

  test.each<[string, () => string, string, Verdict, number]>([
    ['a wrong password', () => proxyAuth('carol', 'wrong'), stranger, 'proxy_auth_required', 407],
    ['no password', () => '', stranger, 'proxy_auth_required', 407],
    ['a user that is none', () => proxyAuth('root', rig.real('carol')), stranger, 'proxy_auth_required', 407],
    ['an empty password', () => proxyAuth('carol', ''), stranger, 'proxy_auth_required', 407],
    ['the password twice', () => proxyAuth('carol', rig.real('carol')).repeat(2), stranger, 'bad_credential', 400],
    ['another scheme', () => 'Proxy-Authorization: Bearer abc\r\n', stranger, 'bad_credential', 400],
    [
      'the right password from another agent’s address',
      () => proxyAuth('carol', rig.real('carol')),
      '127.0.0.1',
      'agent_ambiguous',
      403,
    ],
  ])('the explicit proxy, with %s', async (_, lines, from, code, status) => {
    const { value } = await rig.refused([code], () => rig.sayInside('good.test:443', lines(), { from }))
    // Never 401: clients take that for their own login.
    expect(value).toMatchObject({ status, code })
  })

  test('the right password makes the tunnel, goes no further, and is no identity at another door', async () => {
    const auth = proxyAuth('carol', rig.real('carol'))
    const { records } = await rig.watched(['allow'], () =>
      rig.say('proxy', get('plain.test', 'http://plain.test/x', auth), { from: stranger }),
    )
    expect(records[0]?.agent).toBe('carol')
    expect(headerOf(rig.scene.upstreams.plain.requests.at(-1)?.rawHeaders ?? [], 'proxy-authorization')).toBeUndefined()
    await rig.refused(['agent_unknown'], () => rig.say('http', get('plain.test', '/x', auth), { from: stranger }))
  })
})

describe('what is for operators', () => {
  interface Told {
    readonly status: number
    readonly body: string
  }
  function ask(
    listener: 'metrics' | 'admin',
    path: string,
    headers: Readonly<Record<string, string>> = {},
    method = 'GET',
  ): Promise<Told> {
    const { promise, resolve, reject } = Promise.withResolvers<Told>()
    httpRequest({ host: '127.0.0.1', port: rig.scene.ports[listener], path, method, headers, agent: false }, (reply) => {
      let body = ''
      reply
        .setEncoding('utf8')
        .on('data', (part: string) => (body += part))
        .on('end', () => resolve({ status: reply.statusCode ?? 0, body }))
    })
      .on('error', reject)
      .end()
    return promise
  }

  test.each<[string, string, Readonly<Record<string, string>>, string, number]>([
    ['a name that was rebound to us', '/v1/status', { host: 'evil.test' }, 'GET', 421],
    ['a name that begins like ours', '/v1/status', { host: '127.0.0.1.evil.test' }, 'GET', 421],
    ['a page of another origin', '/v1/reload', { origin: 'http://evil.test' }, 'POST', 403],
    ['another method', '/v1/reload', {}, 'GET', 405],
    ['a path that climbs', '/v1/../v1/status', {}, 'GET', 404],
    ['__proto__', '/__proto__', {}, 'GET', 404],
    ['constructor', '/constructor', {}, 'GET', 404],
  ])('admin refuses %s', async (_, path, headers, method, status) => {
    expect((await ask('admin', path, headers, method)).status).toBe(status)
  })

  test.each(['/v1/status', '/v1/reload', '/ca.key', '/../ca.key', '/secrets/service', '/debug/pprof', '/__proto__'])(
    'the metrics listener has no %s',
    async (path) => {
      expect((await ask('metrics', path)).status).toBe(404)
    },
  )

  test('only the certificate of the CA can be fetched, and status holds no value', async () => {
    const { body } = await ask('metrics', '/ca.crt')
    expect(body).toContain('BEGIN CERTIFICATE')
    expect(body).not.toContain('PRIVATE')
    const status = await ask('admin', '/v1/status')
    expect(status.status).toBe(200)
    rig.scene.readable('status', status.body)
    expect(await rig.scene.canaryFoundIn()).toEqual([])
  })

  test('no agent reaches them through the proxy: by address, by name, or by a name that leads there', async () => {
    const { metrics, admin } = rig.scene.ports
    rig.scene.resolver.answers.set('inside.zone.test', ['127.0.0.1'])
    const { value } = await rig.watched(['bad_host', 'bad_host', 'port_denied', 'plain_denied', 'proxy_loop'], async () => [
      await rig.say('proxy', `CONNECT 127.0.0.1:${metrics} HTTP/1.1\r\n\r\n`),
      await rig.say('proxy', get(`localhost:${admin}x`, `http://localhost:${admin}x/v1/status`)),
      await rig.sayInside(`inside.zone.test:${metrics}`),
      await rig.say('proxy', get('inside.zone.test', 'http://inside.zone.test/metrics')),
      await rig.say('https', get('inside.zone.test', '/metrics'), { name: 'inside.zone.test' }),
    ])
    expect(value.every(({ status }) => status >= 400)).toBe(true)
  })
})
