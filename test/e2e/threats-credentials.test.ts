/** The threat list, part D: stubs where they belong and nowhere else, and real values that agents must not hold. */
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { formsOf } from '../kit/canary.ts'
import { connectThroughProxy, exchange, openH2, openTls, requestH2 } from '../kit/raw.ts'
import { headerOf, type SeenRequest } from '../kit/upstream.ts'
import { contains } from '../kit/wire.ts'
import { alice, bob, startRig, stub, type Heard, type Rig, type SayOptions, type Verdict, type Way } from './threat-rig.ts'

let rig: Rig

beforeAll(async () => {
  rig = await startRig({
    credentials: `
  keyed: {kind: header, header: x-api-key, stub: proxy-token-keyed, secret: {file: secrets/keyed}, hosts: [keyed.test]}
  param: {kind: query, param: key, stub: proxy-token-param, secret: {file: secrets/param}, hosts: [param.test]}
  basic: {kind: basic, username: bot, stub: proxy-token-basic, secret: {file: secrets/basic}, hosts: [basic.test]}
  of-alice: {kind: bearer, stub: proxy-token-alice, secret: {file: secrets/of-alice}, hosts: [shared.test], agents: [alice]}
  of-bob: {kind: bearer, stub: proxy-token-bob, secret: {file: secrets/of-bob}, hosts: [shared.test], agents: [bob]}
  mixed: {kind: bearer, stub: proxy-token-mixed, secret: {file: secrets/mixed}, hosts: [mixed.test]}`,
    rules: `
  - {id: keyed, hosts: [keyed.test], credentials: [keyed]}
  - {id: param, hosts: [param.test], credentials: [param]}
  - {id: basic, hosts: [basic.test], credentials: [basic]}
  - {id: shared, hosts: [shared.test], credentials: [of-alice, of-bob]}
  - {id: mixed, hosts: [mixed.test], plain: true, credentials: [mixed]}`,
    secrets: ['keyed', 'param', 'basic', 'of-alice', 'of-bob', 'mixed'],
    hosts: ['keyed.test', 'param.test', 'basic.test', 'shared.test', 'mixed.test'],
  })
})
afterAll(() => rig[Symbol.asyncDispose]())

const head = (host: string, lines: string, target = '/x', method = 'GET'): string =>
  `${method} ${target} HTTP/1.1\r\nHost: ${host}\r\n${lines}\r\n`
const ask = (host: string, lines: string, target = '/x', options: SayOptions = {}): Promise<Heard> =>
  rig.say('https', head(host, lines, target), { name: host, ...options })
const bearer = (token: string): string => `Authorization: Bearer ${token}\r\n`
const basic = (text: string | Buffer): string => `Authorization: Basic ${Buffer.from(text).toString('base64')}\r\n`
const lastSeen = (): SeenRequest | undefined => rig.scene.upstreams.main.requests.at(-1)

describe('a stub, or something else that is no stub of this place, is refused and reaches nobody', () => {
  const own = randomBytes(20).toString('hex')
  test.each<[string, string, string, string, Verdict]>([
    ['a stub for another host', 'other.test', bearer(stub), '/x', 'stub_wrong_host'],
    ['a stub for another scoped host', 'keyed.test', bearer(stub), '/x', 'stub_wrong_host'],
    ['a stub of another host in Basic', 'other.test', basic(`x:${stub}`), '/x', 'stub_wrong_host'],
    ['a stub of another host in an ordinary header', 'other.test', `X-Note: ${stub}\r\n`, '/x', 'stub_wrong_host'],
    ['a stub of another host in the query', 'other.test', '', `/x?q=${stub}`, 'stub_wrong_host'],
    ['a stub of another host, escaped, in the query', 'other.test', '', `/x?q=%70roxy-token-service`, 'stub_wrong_host'],
    ['a stub of another host in the path', 'other.test', '', `/x/${stub}`, 'stub_wrong_host'],
    ['their own token', 'good.test', bearer(own), '/x', 'foreign_credential'],
    ['their own token under another scheme', 'good.test', `Authorization: Custom ${own}\r\n`, '/x', 'foreign_credential'],
    ['their own key', 'good.test', `X-Api-Key: ${own}\r\n`, '/x', 'foreign_credential'],
    ['their own key with underscores', 'good.test', `X_Api_Key: ${own}\r\n`, '/x', 'foreign_credential'],
    ['their own cookie', 'good.test', `Cookie: session=${own}\r\n`, '/x', 'foreign_credential'],
    ['their own token in the query', 'good.test', '', `/x?access_token=${own}`, 'foreign_credential'],
    ['their own token in an escaped name', 'good.test', '', `/x?%61ccess_token=${own}`, 'foreign_credential'],
    ['their own password', 'good.test', basic(`me:${own}`), '/x', 'foreign_credential'],
    ['a stub, and their own key beside it', 'good.test', `${bearer(stub)}X-Api-Key: ${own}\r\n`, '/x', 'foreign_credential'],
    ['a stub, and their own key in the query', 'good.test', bearer(stub), `/x?key=${own}`, 'foreign_credential'],
    ['a stub, and their own cookie', 'good.test', `${bearer(stub)}Cookie: a=${own}\r\n`, '/x', 'foreign_credential'],
    ['a stub, and a second Authorization', 'good.test', bearer(stub) + bearer(own), '/x', 'foreign_credential'],
    ['a second Authorization, and then the stub', 'good.test', bearer(own) + bearer(stub), '/x', 'foreign_credential'],
    ['a stub twice', 'good.test', bearer(stub) + bearer(stub), '/x', 'stub_misplaced'],
    [
      'a key in three spellings',
      'keyed.test',
      `X-Api-Key: proxy-token-keyed\r\nx-api-key: ${own}\r\n`,
      '/x',
      'foreign_credential',
    ],
    [
      'a key with underscores beside it',
      'keyed.test',
      `x-api-key: proxy-token-keyed\r\nX_API_KEY: ${own}\r\n`,
      '/x',
      'foreign_credential',
    ],
    ['a parameter twice', 'param.test', '', `/x?key=proxy-token-param&key=${own}`, 'foreign_credential'],
    [
      'a parameter in another case beside it',
      'param.test',
      '',
      `/x?key=proxy-token-param&KEY=proxy-token-param`,
      'stub_misplaced',
    ],
    ['a stub in the path', 'good.test', '', `/x/${stub}/y`, 'stub_misplaced'],
    ['a stub in the path, behind a prefix', 'good.test', '', `/bot${stub}/getMe`, 'stub_misplaced'],
    ['a stub in the path, spelled otherwise', 'good.test', '', `/bot%70${stub.slice(1)}/getMe`, 'stub_misplaced'],
    ['a stub in the query', 'good.test', '', `/x?q=${stub}`, 'stub_misplaced'],
    ['a stub as a parameter’s name', 'good.test', '', `/x?${stub}=1`, 'stub_misplaced'],
    ['a stub in User-Agent', 'good.test', `User-Agent: ${stub}\r\n`, '/x', 'stub_misplaced'],
    ['a stub in Referer', 'good.test', `Referer: https://good.test/?t=${stub}\r\n`, '/x', 'stub_misplaced'],
    ['a stub in Cookie', 'good.test', `Cookie: t=${stub}\r\n`, '/x', 'stub_misplaced'],
    ['a stub as a header’s name', 'good.test', `${stub}: 1\r\n`, '/x', 'stub_misplaced'],
    ['a stub in another header', 'keyed.test', bearer('proxy-token-keyed'), '/x', 'stub_misplaced'],
    ['a stub of Basic as a token', 'basic.test', bearer('proxy-token-basic'), '/x', 'stub_misplaced'],
    ['a stub of Basic as the username', 'basic.test', basic('proxy-token-basic:x'), '/x', 'stub_misplaced'],
    ['a stub of Basic with another username', 'basic.test', basic('root:proxy-token-basic'), '/x', 'stub_misplaced'],
    ['a stub on both sides of Basic', 'good.test', basic(`${stub}:${stub}`), '/x', 'stub_misplaced'],
    ['a stub with two spaces before it', 'good.test', `Authorization: Bearer  ${stub}\r\n`, '/x', 'stub_misplaced'],
    ['a stub with something behind it', 'good.test', `Authorization: Bearer ${stub} x\r\n`, '/x', 'stub_misplaced'],
    ['a stub in a list', 'good.test', `Authorization: Bearer ${stub}, Bearer ${own}\r\n`, '/x', 'stub_misplaced'],
    ['a stub and one letter', 'good.test', bearer(`${stub}x`), '/x', 'foreign_credential'],
    ['the beginning of a stub', 'good.test', bearer(stub.slice(0, -1)), '/x', 'foreign_credential'],
    ['a stub in capitals', 'good.test', bearer(stub.toUpperCase()), '/x', 'foreign_credential'],
    [
      'Basic with two spaces',
      'good.test',
      `Authorization: Basic  ${Buffer.from(`u:${stub}`).toString('base64')}\r\n`,
      '/x',
      'bad_credential',
    ],
    ['Basic that is no base64', 'good.test', 'Authorization: Basic !!!!\r\n', '/x', 'bad_credential'],
    [
      'Basic in base64url',
      'good.test',
      `Authorization: Basic ${Buffer.from(`\xfb\xff:${stub}`, 'latin1').toString('base64url')}\r\n`,
      '/x',
      'bad_credential',
    ],
    ['Basic without a colon', 'good.test', basic(stub), '/x', 'bad_credential'],
    ['Basic with a control byte', 'good.test', basic(`u\n:${stub}`), '/x', 'bad_credential'],
    ['base64 in base64', 'good.test', basic(`u:${Buffer.from(stub).toString('base64')}`), '/x', 'foreign_credential'],
  ])('%s', async (_, host, lines, target, code) => {
    const { value } = await rig.refused([code], () => ask(host, lines, target))
    expect(value).toMatchObject({ status: code === 'bad_credential' ? 400 : 403, code })
    // Neither the answer nor the record repeats what was sent.
    expect(value.bytes.toString('latin1')).not.toContain(own)
    expect(rig.scene.files.audit()).not.toContain(own)
  })

  test('the stub of another agent', async () => {
    const { value, records } = await rig.refused(['stub_wrong_agent'], () => ask('shared.test', bearer('proxy-token-bob')))
    expect(value.status).toBe(403)
    expect(records[0]).toMatchObject({ agent: 'alice', credential: 'of-bob' })
  })

  test.each<[string, Way, string]>([
    ['on the plain door', 'http', '/x'],
    ['in absolute form', 'proxy', 'http://mixed.test/x'],
  ])('a stub over plain HTTP, %s', async (_, way, target) => {
    const { value } = await rig.refused(['stub_cleartext'], () =>
      rig.say(way, head('mixed.test', bearer('proxy-token-mixed'), target)),
    )
    expect(value.status).toBe(403)
  })

  test('a stub in plain HTTP inside a tunnel to port 80 is refused too', async () => {
    const { value } = await rig.refused(['stub_cleartext'], async () => {
      const socket = await connectThroughProxy(rig.scene.ports.proxy, 'mixed.test:80')
      const reading = exchange(socket, head('mixed.test', bearer('proxy-token-mixed')), { until: contains('request_id') })
      socket.resume()
      const heard = rig.hear(await reading)
      socket.destroy()
      return heard
    })
    expect(value.status).toBe(403)
  })

  test('two thousand made-up stubs: each refused, none of them in any log or label', async () => {
    const session = await openH2(
      await openTls({ port: rig.scene.ports.https, servername: 'good.test', ca: rig.scene.files.ca, alpn: ['h2'] }),
    )
    const made = Array.from({ length: 2000 }, () => `proxy-token-${randomBytes(6).toString('hex')}`)
    const { value } = await rig.refused(Array<Verdict>(2000).fill('foreign_credential'), async () => {
      const statuses = new Set<number>()
      for (let at = 0; at < made.length; at += 100) {
        const replies = await Promise.all(
          made
            .slice(at, at + 100)
            .map((token) => requestH2(session, { ':authority': 'good.test', ':path': '/x', authorization: `Bearer ${token}` })),
        )
        for (const { status } of replies) statuses.add(status)
      }
      session.destroy()
      return [...statuses]
    })
    expect(value).toEqual([403])
    const said = rig.scene.files.audit() + rig.scene.log.join('') + (await rig.ask('/metrics'))
    expect(made.filter((token) => said.includes(token))).toEqual([])
  })
})

describe('a stub in its place becomes the real value, and everything else stays as it was', () => {
  test.each<[string, string, string, string, () => string]>([
    ['Bearer', 'good.test', bearer(stub), 'authorization', () => `Bearer ${rig.real()}`],
    ['bearer in lower case', 'good.test', `authorization: bearer ${stub}\r\n`, 'authorization', () => `bearer ${rig.real()}`],
    ['token, as gh says it', 'good.test', `Authorization: token ${stub}\r\n`, 'authorization', () => `token ${rig.real()}`],
    [
      'the password of Basic',
      'good.test',
      basic(`x:${stub}`),
      'authorization',
      () => `Basic ${Buffer.from(`x:${rig.real()}`).toString('base64')}`,
    ],
    [
      'the username of Basic',
      'good.test',
      basic(`${stub}:`),
      'authorization',
      () => `Basic ${Buffer.from(`${rig.real()}:`).toString('base64')}`,
    ],
    ['a header of its own', 'keyed.test', 'X-API-Key: proxy-token-keyed\r\n', 'x-api-key', () => rig.real('keyed')],
    [
      'a password for one username',
      'basic.test',
      basic('bot:proxy-token-basic'),
      'authorization',
      () => `Basic ${Buffer.from(`bot:${rig.real('basic')}`).toString('base64')}`,
    ],
  ])('%s', async (_, host, lines, name, real) => {
    await rig.watched(['allow'], () => ask(host, lines))
    expect(headerOf(lastSeen()?.rawHeaders ?? [], name)).toBe(real())
  })

  test('a parameter of the query', async () => {
    await rig.watched(['allow'], () => ask('param.test', '', '/x?a=%2F&key=proxy-token-param&b=+'))
    const [, key, after] = /^\/x\?a=%2F&key=(.*)&b=(\+)$/.exec(lastSeen()?.target ?? '') ?? []
    expect([decodeURIComponent(key ?? ''), after]).toEqual([rig.real('param'), '+'])
  })

  test('no credential at all passes as it is: git asks first without one', async () => {
    await rig.watched(['allow'], () => ask('good.test', ''))
    expect(headerOf(lastSeen()?.rawHeaders ?? [], 'authorization')).toBeUndefined()
  })

  test('in a body, a trailer or a websocket frame a stub stays a stub', async () => {
    const body = JSON.stringify({ note: stub })
    await rig.watched(['allow', 'allow'], async () => [
      await rig.say(
        'https',
        `${head('good.test', `${bearer(stub)}Content-Length: ${body.length}\r\n`, '/upload', 'POST')}${body}`,
      ),
      await rig.say(
        'https',
        `${head('good.test', `${bearer(stub)}Transfer-Encoding: chunked\r\n`, '/upload', 'POST')}4\r\nbody\r\n0\r\nX-Note: ${stub}\r\n\r\n`,
      ),
    ])
    const [first, second] = rig.scene.upstreams.main.requests.slice(-2)
    expect(first?.body.toString()).toBe(body)
    expect(JSON.stringify(second?.rawTrailers)).not.toContain(rig.real())
    await rig.watched([], async () => {
      const upgrade =
        'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n'
      // A masked text frame with a mask of nought (RFC 6455 section 5.2).
      const frame = Buffer.concat([Buffer.from([0x81, 0x80 | stub.length, 0, 0, 0, 0]), Buffer.from(stub)])
      const heard = await rig.say(
        'https',
        Buffer.concat([Buffer.from(head('good.test', bearer(stub) + upgrade, '/ws')), frame]),
        { until: contains(stub) },
      )
      expect(heard.status + heard.replies.length).toBeGreaterThan(0)
      expect(heard.bytes.includes(stub)).toBe(true)
    })
  })

  test('two agents with values of their own on one host never share a connection', async () => {
    await rig.watched(['allow', 'allow', 'allow', 'allow'], async () => {
      for (const [token, from] of [
        ['proxy-token-alice', alice],
        ['proxy-token-bob', bob],
        ['proxy-token-alice', alice],
        ['proxy-token-bob', bob],
      ] as const) {
        await ask('shared.test', bearer(token), '/x', { from })
      }
    })
    const seen = rig.scene.upstreams.main.requests.slice(-4)
    expect(seen.map(({ rawHeaders }) => headerOf(rawHeaders, 'authorization'))).toEqual(
      ['of-alice', 'of-bob', 'of-alice', 'of-bob'].map((name) => `Bearer ${rig.real(name)}`),
    )
    const [first, second, third, fourth] = seen.map(({ connection }) => connection)
    expect([first === third, second === fourth, first === second]).toEqual([true, true, false])
  })

  test('what an agent says of itself, or to this proxy, goes no further', async () => {
    await rig.watched(['allow'], () =>
      ask('other.test', `Proxy-Authorization: ${basic('x:y').slice(15)}Proxy-Connection: keep-alive\r\nX-Run-Id: run-1\r\n`),
    )
    for (const name of ['proxy-authorization', 'proxy-connection', 'x-run-id'])
      expect(headerOf(lastSeen()?.rawHeaders ?? [], name)).toBeUndefined()
  })
})

describe('a real value that arrives from an agent is refused wherever it stands', () => {
  const escaped = (text: string): string => encodeURIComponent(text)
  test.each<[string, (real: string) => readonly [string, string, string?]]>([
    ['in Authorization', (real) => [bearer(real), '/x']],
    ['in Basic', (real) => [basic(`u:${real}`), '/x']],
    ['in an ordinary header', (real) => [`X-Note: it is ${real}.\r\n`, '/x']],
    ['in a cookie', (real) => [`Cookie: a=${real}\r\n`, '/x']],
    ['in the query', (real) => ['', `/x?q=${escaped(real)}`]],
    ['in the path', (real) => ['', `/x/${escaped(real)}`]],
    ['in hex', (real) => [`X-Note: ${Buffer.from(real).toString('hex')}\r\n`, '/x']],
    ['in base64url', (real) => ['', `/x?q=${Buffer.from(`ab${real}`).toString('base64url')}`]],
    ['as JSON in a header', (real) => [`X-Note: ${JSON.stringify({ real })}\r\n`, '/x']],
    [
      'in a websocket handshake',
      (real) => [
        `X-Note: ${real}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n`,
        '/ws',
      ],
    ],
    ['in Proxy-Authorization', (real) => [`Proxy-${basic(`u:${real}`)}`, '/x']],
  ])('%s', async (_, write) => {
    const { value, records } = await rig.refused(['real_value_seen', 'real_value_seen'], async () => {
      const [lines, target] = write(rig.real())
      return [await ask('other.test', lines, target), await ask('good.test', lines, target)]
    })
    expect(value.map(({ status }) => status)).toEqual([403, 403])
    expect(records.map(({ credential }) => credential)).toEqual(['service', 'service'])
  })

  test.each(['raw', 'base64, alignment 0', 'percent', 'json', 'hex'])('in a body, %s, cut at each byte', async (form) => {
    const text = formsOf(rig.real())[form] ?? ''
    const cuts = Array.from({ length: Math.floor(text.length / 8) }, (_, i) => (i + 1) * 8)
    const { value } = await rig.watched(Array<Verdict>(cuts.length).fill('real_value_seen'), async () => {
      const statuses: number[] = []
      for (const cut of cuts) {
        const chunks = [`xx${text.slice(0, cut)}`, `${text.slice(cut)}yy`].map(
          (part) => `${part.length.toString(16)}\r\n${part}\r\n`,
        )
        statuses.push(
          (
            await rig.say(
              'https',
              `${head('other.test', 'Transfer-Encoding: chunked\r\n', '/seen', 'POST')}${chunks.join('')}0\r\n\r\n`,
              { name: 'other.test' },
            )
          ).status,
        )
      }
      return statuses
    })
    expect(new Set(value)).toEqual(new Set([403]))
    await sleep(20)
    const bodies = rig.scene.upstreams.main.requests
      .filter(({ target }) => target === '/seen')
      .map(({ body, state }) => ({ whole: state === 'complete', leaked: body.includes(text) }))
    expect(bodies.filter(({ whole, leaked }) => whole || leaked)).toEqual([])
  })

  test('in the trailers of a gRPC call', async () => {
    await rig.watched(['real_value_seen'], async () => {
      const session = await openH2(
        await openTls({ port: rig.scene.ports.https, servername: 'other.test', ca: rig.scene.files.ca, alpn: ['h2'] }),
      )
      const stream = session.request(
        { ':authority': 'other.test', ':method': 'POST', ':path': '/trailed', 'content-type': 'application/grpc' },
        { waitForTrailers: true },
      )
      stream.on('wantTrailers', () => stream.sendTrailers({ 'x-note': rig.real() })).on('error', () => {})
      stream.end('message')
      await new Promise((resolve) => stream.resume().on('close', resolve))
      session.destroy()
    })
    const seen = rig.scene.upstreams.main.requests.find(({ target }) => target === '/trailed')
    expect(seen?.rawTrailers ?? []).toEqual([])
  })

  test('in an h2 body', async () => {
    const { value } = await rig.watched(['real_value_seen'], () =>
      rig.h2(
        { ':authority': 'other.test', ':method': 'POST', ':path': '/seen' },
        { name: 'other.test', body: `it is ${rig.real()}` },
      ),
    )
    expect(value.status).toBe(403)
  })
})
