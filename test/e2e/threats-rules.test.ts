/** The threat list, part C: method, path and rule. What was judged is what is sent, and every door judges alike. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { repliesOf } from '../kit/reply.ts'
import { headerOf } from '../kit/upstream.ts'
import { startRig, stub, type Heard, type Rig, type Verdict, type Way } from './threat-rig.ts'

let rig: Rig

beforeAll(async () => {
  rig = await startRig({
    rules: `
  - {id: closed, effect: deny, hosts: [paths.test], paths: [/pub/closed/**, /pub/admin]}
  - {id: published, hosts: [paths.test], methods: [GET, POST], paths: [/pub/**, /o/*/raw, /v1/items]}
  - {id: doh-named, hosts: [doh.test], paths: [/dns-query]}
  - {id: doh-wide, hosts: [wide.test]}
  - {id: ways, hosts: [ways.test], plain: true, methods: [GET], paths: [/ok/**]}
  - {id: stars, hosts: [stars.test], paths: ["/${Array(20).fill('**/a').join('/')}/b"]}`,
    hosts: ['paths.test', 'doh.test', 'wide.test', 'ways.test', 'stars.test'],
  })
})
afterAll(() => rig[Symbol.asyncDispose]())

const get = (host: string, target: string, more = '', method = 'GET'): string =>
  `${method} ${target} HTTP/1.1\r\nHost: ${host}\r\n${more}\r\n`

/** The same target by HTTP/1.1 and by h2. */
async function askTwice(host: string, target: string): Promise<readonly { status: number; code: string | undefined }[]> {
  const h1 = await rig.say('https', get(host, target), { name: host })
  const h2 = await rig.h2({ ':authority': host, ':path': target }, { name: host })
  return [h1, h2].map(({ status, code }) => ({ status, code }))
}

describe('a path that hides another is refused, never repaired', () => {
  test.each([
    '/pub/../adm',
    '/pub/..',
    '/pub/.',
    '/pub/./x',
    '/pub/%2e%2e/adm',
    '/pub/%2E%2E/adm',
    '/pub/.%2e/adm',
    '/pub/%252e%252e/adm',
    '/pub/%25252e%25252e/adm',
    '/pub/..;/adm',
    '/pub/..;x=y/adm',
    '/pub/..%2fadm',
    '/pub/..%2Fadm',
    '/pub/%2e%2e%2fadm',
    '/pub/x%252fadm',
    '/pub/..%5cadm',
    '/pub/..\\adm',
    '/pub/%5c..%5cadm',
    '/pub//adm',
    '//pub/adm',
    '/pub/%c0%ae%c0%ae/adm',
    '/pub/%e0%80%ae/adm',
    '/pub/%00',
    '/pub/%0d%0aX:%20y',
    '/pub/%7f',
    '/pub/%',
    '/pub/%2',
    '/pub/%zz',
    '/pub/%u002e%u002e/adm',
    '/pub#/../adm',
    '/pub/x?y#z',
  ])('%s', async (target) => {
    const { value } = await rig.refused(['bad_path', 'bad_path'], () => askTwice('paths.test', target))
    expect(value).toEqual([1, 2].map(() => ({ status: 400, code: 'bad_path' })))
  })
})

describe('a spelling that servers fold does not get around a refusing rule', () => {
  test.each([
    '/pub/closed/x',
    '/pub/CLOSED/x',
    '/pub/%63losed/x',
    '/pub/closed/',
    '/pub/Admin',
    '/pub/admin/',
    '/pub/%61dmin',
    '/pub/closed/x?y=/pub/open',
    '/pub/closed%2fx',
    '/pub%2Fclosed/x',
    '/pub/closed;v=1/x',
    '/pub;v/admin',
  ])('%s', async (target) => {
    const { value } = await rig.refused(['rule_denied', 'rule_denied'], () => askTwice('paths.test', target))
    expect(value.map(({ status }) => status)).toEqual([403, 403])
  })
})

describe('an allowing rule is read to the letter', () => {
  test.each([
    '/',
    '/adm',
    '/PUB/x',
    '/public/x',
    '/o/a/b/raw',
    '/o/raw',
    '/v1/items/',
    '/v1/items/x',
    '/v1/item',
    '/adm?/pub/x',
    '/adm?x=/pub/',
    '/%2fpub/x',
    '/pub%2fx',
    '/o/a%2Fb/raw',
    '/o/a%2fb/raw',
    '/v1/items;x',
    '/v1;x/items',
  ])('%s', async (target) => {
    const { value } = await rig.refused(['request_denied', 'request_denied'], () => askTwice('paths.test', target))
    expect(value.map(({ status }) => status)).toEqual([403, 403])
  })

  test.each(['PUT', 'DELETE', 'PATCH', 'OPTIONS', 'HEAD', 'PROPFIND'])('method %s', async (method) => {
    const { value } = await rig.refused(['request_denied'], () =>
      rig.say('https', get('paths.test', '/pub/x', '', method), { name: 'paths.test', until: repliesOf(1, [method]) }),
    )
    expect(value.status).toBe(403)
  })
})

describe('what is allowed goes out byte for byte', () => {
  test.each([
    '/o/a/raw',
    '/pub/@scope%2fname',
    '/pub/a%2Fb%2fc/raw',
    '/pub/a%20b/%C3%A4?q=%2e%2e/&r=a+b&&s',
    "/pub/a;v=1/b:c@d,e=f!$'()*+~",
    '/pub/...',
    '/pub/..x',
    '/pub/x..',
    '/pub/%7Euser?',
    '/pub/x?u=http://evil.test/../&v=//',
    '/pub/%2A',
  ])('%s', async (target) => {
    const before = rig.scene.upstreams.main.requests.length
    await rig.watched(['allow', 'allow'], () => askTwice('paths.test', target))
    expect(rig.scene.upstreams.main.requests.slice(before).map((seen) => seen.target)).toEqual([target, target])
  })
})

describe('under a rule that no path changes, a path with a backslash or an empty segment goes out byte for byte', () => {
  test.each(['/bucket/a//b', '//abs', '/a\\b', '/a%5Cb', '/a%5cb//', '/a%252Fb'])('%s', async (target) => {
    const before = rig.scene.upstreams.main.requests.length
    await rig.watched(['allow', 'allow'], () => askTwice('wide.test', target))
    expect(rig.scene.upstreams.main.requests.slice(before).map((seen) => seen.target)).toEqual([target, target])
  })
})

test('headers that name another URL or client are taken off and change nothing', async () => {
  const lines = [
    ['X-Original-URL', '/adm'],
    ['X-Rewrite-URL', '/adm'],
    ['X-Forwarded-Uri', '/adm'],
    ['X-Forwarded-Host', 'evil.test'],
    ['X-Forwarded-For', '10.0.0.1'],
    ['X-Forwarded-Proto', 'http'],
    ['X-Forwarded-Prefix', '/adm'],
    ['X-Original-Host', 'evil.test'],
    ['X-Real-IP', '10.0.0.1'],
    ['Forwarded', 'host=evil.test'],
    ['Via', '1.1 evil.test'],
  ] as const
  const before = rig.scene.upstreams.main.requests.length
  await rig.watched(['allow', 'allow'], async () => [
    await rig.say('https', get('paths.test', '/pub/x', lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')), {
      name: 'paths.test',
    }),
    await rig.h2(
      {
        ':authority': 'paths.test',
        ':path': '/pub/x',
        ...Object.fromEntries(lines.map(([name, value]) => [name.toLowerCase(), value])),
      },
      { name: 'paths.test' },
    ),
  ])
  for (const { rawHeaders, target } of rig.scene.upstreams.main.requests.slice(before)) {
    expect(target).toBe('/pub/x')
    for (const [name] of lines) expect(headerOf(rawHeaders, name.toLowerCase()), name).toBeUndefined()
  }
})

describe('DNS over HTTPS goes around our DNS', () => {
  test.each([
    '/dns-query',
    '/x/dns-query',
    '/dns-query/',
    '/DNS-Query',
    '/dns%2dquery',
    '/x?dns=AAAB',
    '/x?a=b&dns=AAAB',
    '/x?%64ns=AAAB',
    '/resolve?d%6es=AAAB',
  ])('%s on an allowed host', async (target) => {
    const { value } = await rig.refused(['dns_over_https', 'dns_over_https'], () => askTwice('wide.test', target))
    expect(value.map(({ status }) => status)).toEqual([403, 403])
  })

  test('a message by POST on another path', async () => {
    const bytes = get('wide.test', '/other', 'Content-Type: application/dns-message\r\nContent-Length: 4\r\n', 'POST')
    const { value } = await rig.refused(['dns_over_https'], () => rig.say('https', `${bytes}abcd`, { name: 'wide.test' }))
    expect(value.status).toBe(403)
  })

  test('a message asked for by Accept', async () => {
    const { value } = await rig.refused(['dns_over_https'], () =>
      rig.say('https', get('wide.test', '/other', 'Accept: application/dns-message\r\n'), { name: 'wide.test' }),
    )
    expect(value.status).toBe(403)
  })

  test('a rule that names the path allows it', async () => {
    const { value } = await rig.watched(['allow', 'allow'], () => askTwice('doh.test', '/dns-query'))
    expect(value.map(({ status }) => status)).toEqual([200, 200])
  })
})

test('a rule of twenty wildcards and a path of 16 KiB: decided at once', async () => {
  const target = `/${'a/'.repeat(7500)}c`
  const started = performance.now()
  const { value } = await rig.refused(['request_denied'], () =>
    rig.say('https', get('stars.test', target), { name: 'stars.test' }),
  )
  expect(value.status).toBe(403)
  // A backtracking matcher would need more time than there is: this bound tells the two apart, and no more.
  expect(performance.now() - started).toBeLessThan(5000)
})

describe('one request, every door: the same decision', () => {
  const ways: readonly (readonly [
    string,
    (method: string, path: string, auth: string) => Promise<Pick<Heard, 'status' | 'code'>>,
  ])[] = [
    [
      'transparent TLS, HTTP/1.1',
      (method, path, auth) => rig.say('https', get('ways.test', path, auth, method), { name: 'ways.test' }),
    ],
    [
      'transparent TLS, h2',
      (method, path, auth) =>
        rig.h2(
          { ':authority': 'ways.test', ':method': method, ':path': path, ...(auth && { authorization: auth.slice(15).trim() }) },
          { name: 'ways.test' },
        ),
    ],
    ['CONNECT', (method, path, auth) => rig.say('tunnel', get('ways.test', path, auth, method), { name: 'ways.test' })],
    ['plain HTTP', (method, path, auth) => rig.say('http' satisfies Way, get('ways.test', path, auth, method))],
    ['absolute form', (method, path, auth) => rig.say('proxy', get('ways.test', `http://ways.test${path}`, auth, method))],
  ]
  test.each<[string, string, string, string, number, Verdict]>([
    ['another method', 'POST', '/ok/x', '', 403, 'request_denied'],
    ['another path', 'GET', '/no', '', 403, 'request_denied'],
    ['a hidden path', 'GET', '/ok/%2e%2e/no', '', 400, 'bad_path'],
    ['a method that is never forwarded', 'TRACE', '/ok/x', '', 405, 'method_not_allowed'],
    ['a stub for another host', 'GET', '/ok/x', `Authorization: Bearer ${stub}\r\n`, 403, 'stub_wrong_host'],
  ])('%s', async (_, method, path, auth, status, code) => {
    const { value, records } = await rig.refused(Array<Verdict>(5).fill(code), async () => {
      const told: Pick<Heard, 'status' | 'code'>[] = []
      for (const [, say] of ways) told.push(await say(method, path, auth))
      return told
    })
    expect(value.map((each) => [each.status, each.code])).toEqual(value.map(() => [status, code]))
    const decided = records.filter(({ event }) => event === 'exchange')
    expect(
      new Set(decided.map(({ agent, rule, code: told, verdict }) => JSON.stringify([agent, rule, told, verdict]))).size,
    ).toBe(1)
  })
})
