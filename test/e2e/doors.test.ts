import { randomBytes, randomUUID } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { assert, asyncProperty, constantFrom, record, webPath, type Arbitrary } from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { AuditRecord } from '#contracts/audit-record.ts'
import { patternSha256 } from '../kit/pattern.ts'
import { scenario, type CurlReply, type Scenario } from '../kit/scenario.ts'
import { headerOf, startUpstream, type SeenRequest, type Upstream } from '../kit/upstream.ts'
import { secureWays, upstreamHosts, ways, type Way } from '../kit/ways.ts'

const stub = 'proxy-token-service'
const otherStub = 'proxy-token-other'
const policy = `
version: 1
agents:
  tester:
    from: [{cidr: 127.0.0.1/32}]
credentials:
  service: {kind: bearer, stub: ${stub}, secret: {file: secrets/service}, hosts: [one.test, two.test]}
  other: {kind: bearer, stub: ${otherStub}, secret: {file: secrets/other}, hosts: [elsewhere.test]}
rules:
  - {id: no-delete, effect: deny, hosts: [one.test, two.test, plain.test], methods: [DELETE], reason: nothing is deleted}
  - {id: not-here, effect: deny, hosts: [one.test, two.test, plain.test], paths: [/closed/**], reason: closed}
  - {id: plain, hosts: ["*.plain.test", plain.test], plain: true, methods: [GET, HEAD, POST, PUT]}
  - {id: service, hosts: [one.test, two.test], credentials: [service], methods: [GET, HEAD, POST, PUT]}
  - {id: open, hosts: [open.one.test, open.two.test]}
  - {id: elsewhere, hosts: [elsewhere.test], credentials: [other]}
`

let scene: Scenario<Record<Way['upstream'], Upstream>>

beforeAll(async () => {
  scene = await scenario({
    policy,
    secrets: ['service', 'other'],
    upstreams: {
      h1: { hosts: upstreamHosts.h1, start: ({ certificate }) => startUpstream({ certificate, protocol: 'h1' }) },
      h2: { hosts: upstreamHosts.h2, start: ({ certificate }) => startUpstream({ certificate, protocol: 'h2' }) },
      plain: { hosts: upstreamHosts.plain, start: ({ certificate }) => startUpstream({ certificate, plain: true }) },
    },
  })
})

afterAll(async () => {
  await scene[Symbol.asyncDispose]()
})

interface Passage {
  readonly reply: CurlReply
  /** What reached the upstream meanwhile. */
  readonly seen: readonly SeenRequest[]
}

/** One request on its way. Alone, or the upstream's requests cannot be told apart. */
async function pass(way: Way, path: string, args: readonly string[] = [], host: string = way.host): Promise<Passage> {
  const { requests } = scene.upstreams[way.upstream]
  const before = requests.length
  const reply = await scene.curl(way.door, `${way.scheme}://${host}${path}`, [...way.curl, '--globoff', '--path-as-is', ...args])
  return { reply, seen: requests.slice(before) }
}

function values(rawHeaders: readonly string[], name: string): readonly string[] {
  return rawHeaders.filter((_, i) => i % 2 === 1 && rawHeaders[i - 1]?.toLowerCase() === name)
}

/** The lines of one header in the heads curl wrote down. */
function lines({ head }: CurlReply, name: string): readonly string[] {
  return head
    .split('\r\n')
    .filter((line) => line.toLowerCase().startsWith(`${name}: `))
    .map((line) => line.slice(name.length + 2))
}

describe.each(ways)('on the way of $name', (way) => {
  test('each side speaks its own protocol, and the request arrives once', async () => {
    const { reply, seen } = await pass(way, '/json')
    expect(reply).toMatchObject({ code: 0, status: 200, version: way.agent === 'h2' ? '2' : '1.1' })
    expect(reply.body).toHaveLength(1024)
    expect(seen.map(({ version }) => version)).toEqual([way.upstream === 'h2' ? '2.0' : '1.1'])
  })

  test.each([
    "/a%20b/%C3%A9/~x;p=1/a+b,c/(d)!$&'*=:@?x=%2F&&y=a%20b+c&x=2&z",
    '/%41%7e/lower%c3%a9/',
    '/trailing/?q=a?b/c;d&percent=%zz%',
    `/long/${'p'.repeat(2000)}?${'q=1&'.repeat(500)}`,
  ])('path and query go out byte for byte: %.40s', async (target) => {
    const { reply, seen } = await pass(way, target)
    expect(reply.status).toBe(200)
    expect(seen.map((request) => request.target)).toEqual([target])
  })

  test('repeated headers stay repeated, in both directions and in their order', async () => {
    const sent = ['-H', 'x-dup: one', '-H', 'x-other: between', '-H', 'x-dup: two', '-H', 'x-dup: one']
    const { reply, seen } = await pass(way, '/duplicate-headers', sent, way.open)
    expect(values(seen[0]?.rawHeaders ?? [], 'x-dup').join(', ')).toBe('one, two, one')
    expect(lines(reply, 'set-cookie')).toEqual(['a=1; Path=/', 'b=2; Path=/'])
    expect(lines(reply, 'x-dup').join(', ')).toBe('one, two')
  })

  test.each([301, 302, 303, 307, 308])('a redirect (%i) is handed on and not followed', async (status) => {
    const to = `${way.scheme}://${way.host}/json?again=1`
    const { reply, seen } = await pass(way, `/status/${status}?to=${encodeURIComponent(to)}`)
    expect(reply.status).toBe(status)
    expect(lines(reply, 'location')).toEqual([to])
    expect(seen).toHaveLength(1)
  })

  test('HEAD has the length of what it does not send', async () => {
    const { reply, seen } = await pass(way, '/download/12345', ['--head'], way.open)
    expect(reply).toMatchObject({ code: 0, status: 200 })
    expect(lines(reply, 'content-length')).toEqual(['12345'])
    expect(seen.map(({ method }) => method)).toEqual(['HEAD'])
  })

  test.each([204, 304])('%i ends with its head', async (status) => {
    const { reply } = await pass(way, `/status/${status}`, ['--max-time', '5'])
    expect(reply).toMatchObject({ code: 0, status })
    expect(reply.body).toHaveLength(0)
    expect(lines(reply, 'transfer-encoding')).toEqual([])
  })

  test.each([400, 401, 404, 429, 500, 503])('the status %i of the host is the one the agent reads', async (status) => {
    const { reply } = await pass(way, `/status/${status}`)
    expect(reply).toMatchObject({ code: 0, status })
    expect(reply.body.toString()).toBe(`status ${status}\n`)
  })

  test('early hints come before the reply', async () => {
    const { reply } = await pass(way, '/103')
    expect(reply.status).toBe(200)
    expect(reply.head).toMatch(/^HTTP\/\S+ 103[^]*link: <\/style\.css>[^]*HTTP\/\S+ 200/im)
  })

  test('trailers come after the body', async () => {
    const { reply } = await pass(way, '/chunked', ['-H', 'te: trailers'])
    expect(reply.body.toString()).toBe('one two')
    expect(lines(reply, 'x-checksum')).toEqual(['made of two'])
  })

  test('a large body arrives whole in either direction', async () => {
    const size = 5_000_000
    const { reply } = await pass(way, `/download/${size}?hash`)
    expect(lines(reply, 'x-sha256')).toEqual([patternSha256(size)])
    const file = join(scene.files.folder, `upload-${randomUUID()}`)
    await writeFile(file, reply.body)
    const { seen } = await pass(way, '/upload', ['--upload-file', file])
    expect(seen[0]).toMatchObject({ bodyLength: size, bodySha256: patternSha256(size), state: 'complete' })
  })

  test('an upload of unknown length arrives whole', async () => {
    const input = randomBytes(300_000)
    const { requests } = scene.upstreams[way.upstream]
    const reply = await scene.curl(way.door, `${way.scheme}://${way.host}/upload`, [...way.curl, '--upload-file', '-'], { input })
    expect(reply.status).toBe(200)
    expect(requests.at(-1)).toMatchObject({ bodyLength: 300_000, state: 'complete' })
  })

  test.skipIf(way.agent === 'h2')(
    'Expect: 100-continue is answered, and the body follows (curl sends it over HTTP/1.1 only)',
    async () => {
      const args = [
        '-H',
        'expect: 100-continue',
        '--expect100-timeout',
        '20',
        '--max-time',
        '15',
        '--data-binary',
        'x'.repeat(4000),
      ]
      const { reply, seen } = await pass(way, '/continue', args)
      expect(reply.head).toMatch(/^HTTP\/1\.1 100 Continue\r\n/)
      expect(JSON.parse(reply.body.toString())).toEqual({ bytes: 4000 })
      expect(seen).toHaveLength(1)
    },
  )

  test('a 413 in the middle of an upload is read, and the rest is not waited for', async () => {
    const input = Buffer.alloc(30_000_000)
    const url = `${way.scheme}://${way.host}/early`
    const reply = await scene.curl(way.door, url, [...way.curl, '--upload-file', '-', '--max-time', '20'], { input })
    expect(reply.status).toBe(413)
    expect(JSON.parse(reply.body.toString())).toEqual({ error: 'too large' })
  })
})

test.each(secureWays)('on the way of $name the host sees the secret once and the agent only its stub', async (way) => {
  const { reply, seen } = await pass(way, '/echo', ['-H', `authorization: Bearer ${stub}`])
  expect(seen).toHaveLength(1)
  expect(values(seen[0]?.rawHeaders ?? [], 'authorization')).toEqual([`Bearer ${scene.files.secrets['service']}`])
  expect(seen[0]?.rawHeaders.filter((text) => text.includes(stub))).toEqual([])
  expect(headerOf(['x-echo', lines(reply, 'x-echo')[0] ?? ''], 'x-echo')).toBe(`Bearer ${stub}`)
  expect(await scene.canaryFoundIn()).toEqual([])
})

/** What a decision is made of, and nothing that tells the doors apart. */
function decision({
  agent,
  peer,
  rule,
  verdict,
  code,
  method,
  path,
  status,
  swaps,
  credential,
  type,
  event,
  bytesUp,
}: AuditRecord): object {
  return { agent, peer, rule, verdict, code, method, path, status, swaps, credential, type, event, bytesUp }
}

interface Ask {
  readonly method: string
  readonly path: string
  readonly authorization: string | undefined
}

/** One ask of each kind, so that no run of the property leaves one out. */
const known = [
  { method: 'GET', path: '/closed/a', authorization: undefined, code: 'rule_denied' },
  { method: 'GET', path: '/a', authorization: stub, code: undefined },
  { method: 'DELETE', path: '/a', authorization: stub, code: 'rule_denied' },
  { method: 'PATCH', path: '/a', authorization: undefined, code: 'request_denied' },
  { method: 'GET', path: '/a', authorization: otherStub, code: 'stub_wrong_host' },
  { method: 'GET', path: '/a', authorization: 'sk-of-someone-else', code: 'foreign_credential' },
] as const

test('whatever is asked, every way decides alike and records the same', async () => {
  const asks: Arbitrary<Ask> = record({
    method: constantFrom('GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'),
    path: webPath().map(judgeable),
    authorization: constantFrom(undefined, stub, otherStub, 'sk-of-someone-else'),
  })
  await assert(
    asyncProperty(asks, async ({ method, path, authorization }) => {
      const args = [
        '-X',
        method,
        '--globoff',
        '--path-as-is',
        ...(authorization ? ['-H', `authorization: Bearer ${authorization}`] : []),
      ]
      // Credentials and plain HTTP do not meet: that decision is another.
      const through = authorization ? secureWays : ways
      const decisions = await Promise.all(
        through.map(async (way) => {
          const runId = randomUUID()
          const url = `${way.scheme}://${way.host}${path}`
          const reply = await scene.curl(way.door, url, [...way.curl, ...args, '-H', `x-run-id: ${runId}`])
          const written = await scene.audited({ runId })
          expect(written, way.name).toBeDefined()
          expect(reply.status).toBe(written?.status)
          const decided = written && decision(written)
          return way.scheme === 'http' && written?.rule === 'plain' ? { ...decided, rule: 'service' } : decided
        }),
      )
      for (const each of decisions) expect(each).toEqual(decisions[0])
    }),
    { numRuns: 12, examples: known.map((ask): [Ask] => [ask]) },
  )
  const codes = new Set(scene.audit.filter(({ runId }) => runId).map(({ code }) => code))
  for (const { code } of known) expect(codes).toContain(code)
})

/** A path that can be judged: the others never become an exchange with a run id. */
function judgeable(path: string): string {
  return `/${path}`
    .replace(/[^\w/]/g, '')
    .replace(/\/+/g, '/')
    .slice(0, 60)
}
