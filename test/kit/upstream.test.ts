import { createHash } from 'node:crypto'
import { brotliDecompressSync, gunzipSync, inflateSync, zstdDecompressSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { testAuthority } from './ca.ts'
import { pattern, patternSha256 } from './pattern.ts'
import { exchange, openH2, openTcp, openTls, requestH2 } from './raw.ts'
import { replying, startRawUpstream } from './raw-upstream.ts'
import { parseReplies, repliesOf, type RawReply } from './reply.ts'
import { headerOf, startUpstream, type Upstream } from './upstream.ts'
import { openWebSocket } from './websocket.ts'

const host = 'good.test'
const ca = testAuthority().certPem
const certificate = testAuthority().leaf(host)
let upstream: Upstream

beforeAll(async () => {
  upstream = await startUpstream({ certificate })
})

afterAll(() => upstream[Symbol.asyncDispose]())

interface Fetched {
  readonly all: readonly RawReply[]
  readonly last: RawReply
  readonly ending: string
}

/** One request over HTTP/1.1, written and read as bytes. */
async function h1(path: string, { method = 'GET', headers = '', body = '' } = {}): Promise<Fetched> {
  const socket = await openTls({ port: upstream.port, servername: host, alpn: ['http/1.1'], ca })
  const text = `${method} ${path} HTTP/1.1\r\nHost: ${host}\r\n${headers}\r\n${body}`
  const { bytes, ending } = await exchange(socket, text, { until: repliesOf(1, [method]), timeout: 3000 })
  socket.destroy()
  const all = parseReplies(bytes, [method])
  return { all, last: all.at(-1) as RawReply, ending }
}

async function h2(path: string, headers: Record<string, string> = {}, body?: string) {
  const socket = await openTls({ port: upstream.port, servername: host, alpn: ['h2'], ca })
  const session = await openH2(socket)
  const reply = await requestH2(
    session,
    { ':authority': host, ':path': path, ...(body !== undefined && { ':method': 'POST' }), ...headers },
    body,
  )
  session.destroy()
  return reply
}

describe('what the upstream records', () => {
  test('a TCP connect, its ClientHello, the name and protocol agreed on', async () => {
    await h1('/json')
    expect(upstream.connections.at(-1)).toMatchObject({
      servername: host,
      alpn: 'http/1.1',
      hello: { names: [host], alpn: ['http/1.1'] },
    })
  })

  test('a connect that says nothing', async () => {
    const before = upstream.connections.length
    const socket = await openTcp({ port: upstream.port })
    await expect.poll(() => upstream.connections.length).toBe(before + 1)
    socket.destroy()
    await expect.poll(() => upstream.connections.at(-1)?.closed).toBe(true)
  })

  test('method, target, headers and body of an HTTP/1.1 request, byte for byte', async () => {
    await h1('/a%2Fb/../c?x=%20', {
      method: 'POST',
      headers: 'X-MiXed: One\r\nx-mixed: two\r\nContent-Length: 5\r\n',
      body: 'hello',
    })
    const seen = upstream.requests.at(-1)
    expect(seen).toMatchObject({ method: 'POST', target: '/a%2Fb/../c?x=%20', version: '1.1', bodyLength: 5, state: 'complete' })
    expect(seen?.rawHeaders).toEqual(['Host', host, 'X-MiXed', 'One', 'x-mixed', 'two', 'Content-Length', '5'])
    expect(seen?.body.toString()).toBe('hello')
    expect(seen?.bodySha256).toBe(createHash('sha256').update('hello').digest('hex'))
  })

  test('trailers of a chunked request', async () => {
    await h1('/upload', {
      method: 'POST',
      headers: 'Transfer-Encoding: chunked\r\nTrailer: x-sum\r\n',
      body: '2\r\nab\r\n0\r\nx-sum: 9\r\n\r\n',
    })
    expect(upstream.requests.at(-1)).toMatchObject({ rawTrailers: ['x-sum', '9'], bodyLength: 2 })
  })

  test('an h2 request with its pseudo-headers', async () => {
    await h2('/json?q=1', { 'x-one': '1' })
    const seen = upstream.requests.at(-1)
    expect(seen).toMatchObject({ version: '2.0', method: 'GET', target: '/json?q=1' })
    expect(headerOf(seen?.rawHeaders ?? [], ':authority')).toBe(host)
    expect(headerOf(seen?.rawHeaders ?? [], 'x-one')).toBe('1')
  })

  test('two requests on one connection as such', async () => {
    const socket = await openTls({ port: upstream.port, servername: host, ca })
    const request = `GET /json HTTP/1.1\r\nHost: ${host}\r\n\r\n`
    await exchange(socket, request + request, { until: repliesOf(2) })
    socket.destroy()
    const [first, second] = upstream.requests.slice(-2)
    expect(first?.connection).toBe(second?.connection)
  })
})

describe('the routes', () => {
  test('/json is one KiB', async () => {
    expect((await h1('/json')).last.body).toHaveLength(1024)
  })

  test.each([
    ['gzip', gunzipSync],
    ['br', brotliDecompressSync],
    ['deflate', inflateSync],
    ['zstd', zstdDecompressSync],
    ['identity', (bytes: Buffer) => bytes],
  ])('/echo reflects headers coded as %s, in cuts', async (coding, decode) => {
    const { last } = await h1(`/echo?enc=${coding}&cut=7`, { headers: 'Authorization: Bearer stub\r\n' })
    expect(headerOf(last.rawHeaders, 'content-encoding')).toBe(coding)
    expect(headerOf(last.rawHeaders, 'x-echo')).toBe('Bearer stub')
    expect(JSON.parse(decode(last.body).toString()).headers.authorization).toBe('Bearer stub')
  })

  test.each([
    ['location', (reply: Fetched) => headerOf(reply.last.rawHeaders, 'location')],
    ['cookie', (reply: Fetched) => headerOf(reply.last.rawHeaders, 'set-cookie')],
    ['reason', (reply: Fetched) => reply.last.reason],
    ['hints', (reply: Fetched) => headerOf(reply.all[0]?.rawHeaders ?? [], 'x-echo')],
    ['trailer', (reply: Fetched) => headerOf(reply.last.rawTrailers, 'x-echo')],
    ['raw', (reply: Fetched) => reply.last.body.toString()],
    ['base64', (reply: Fetched) => Buffer.from(reply.last.body.toString(), 'base64').toString()],
    ['hex', (reply: Fetched) => Buffer.from(reply.last.body.toString(), 'hex').toString()],
    ['percent', (reply: Fetched) => decodeURIComponent(reply.last.body.toString())],
    ['unicode', (reply: Fetched) => JSON.parse(`"${reply.last.body.toString()}"`)],
  ])('/reflect/%s puts a header there', async (place, find) => {
    expect(find(await h1(`/reflect/${place}?header=x-say`, { headers: 'X-Say: a+b/c=\r\n' }))).toContain('a+b/c=')
  })

  test('/upload counts and hashes the body', async () => {
    const body = Buffer.concat([...pattern(200_000)]).toString('latin1')
    const { last } = await h1('/upload', { method: 'PUT', headers: 'Content-Length: 200000\r\n', body })
    expect(JSON.parse(last.body.toString())).toEqual({ bytes: 200_000, sha256: patternSha256(200_000) })
    expect(upstream.requests.at(-1)?.body).toHaveLength(65_536)
  })

  test('/download sends exactly the pattern', async () => {
    const { last } = await h1('/download/200001')
    expect(createHash('sha256').update(last.body).digest('hex')).toBe(patternSha256(200_001))
  })

  test('/download answers HEAD with the length alone', async () => {
    const { last } = await h1('/download/5000', { method: 'HEAD' })
    expect(headerOf(last.rawHeaders, 'content-length')).toBe('5000')
    expect(last.body).toHaveLength(0)
  })

  test('/mirror sends back what comes', async () => {
    expect((await h2('/mirror', {}, 'there and back')).body.toString()).toBe('there and back')
  })

  test('/sse and /ndjson number their events', async () => {
    const events = (await h1('/sse/3/5')).last.body.toString()
    expect(events.match(/"sequence":\d/g)).toEqual(['"sequence":0', '"sequence":1', '"sequence":2'])
    const lines = (await h1('/ndjson/3/5')).last.body.toString().trim().split('\n')
    expect(lines.map((line) => JSON.parse(line).sequence)).toEqual([0, 1, 2])
  })

  test('/chunked ends in trailers, on both protocols', async () => {
    const { last } = await h1('/chunked')
    expect(last).toMatchObject({ complete: true, rawTrailers: ['x-checksum', 'made of two'] })
    expect(last.body.toString()).toBe('one two')
    expect((await h2('/chunked')).trailers['x-checksum']).toBe('made of two')
  })

  test.each([204, 304, 302, 404, 500])('/status/%i answers it', async (status) => {
    const { last } = await h1(`/status/${status}?to=https://evil.test/`)
    expect(last.status).toBe(status)
    expect(headerOf(last.rawHeaders, 'location')).toBe(status === 302 ? 'https://evil.test/' : undefined)
  })

  test('/early answers before the body came', async () => {
    const { all } = await h1('/early', { method: 'POST', headers: 'Content-Length: 1000\r\nExpect: 100-continue\r\n' })
    expect(all.map((reply) => reply.status)).toEqual([413])
  })

  test('/continue asks for the body first', async () => {
    const { all } = await h1('/continue', {
      method: 'POST',
      headers: 'Content-Length: 2\r\nExpect: 100-continue\r\n',
      body: 'ok',
    })
    expect(all.map((reply) => reply.status)).toEqual([100, 200])
  })

  test('/103 and /many-1xx send interim heads', async () => {
    expect((await h1('/103')).all.map((reply) => reply.status)).toEqual([103, 200])
    expect((await h1('/many-1xx/50')).all).toHaveLength(51)
  })

  test('/hang never answers and /slow does late', async () => {
    const socket = await openTls({ port: upstream.port, servername: host, ca })
    expect(await exchange(socket, `GET /hang HTTP/1.1\r\nHost: ${host}\r\n\r\n`, { timeout: 100 })).toMatchObject({
      timedOut: true,
      bytes: Buffer.alloc(0),
    })
    socket.destroy()
    expect((await h1('/slow/30')).last.status).toBe(200)
  })

  test.each(['/truncate', '/truncate-chunked'])('%s breaks its promise on HTTP/1.1', async (path) => {
    const { last, ending } = await h1(path)
    expect(last.complete).toBe(false)
    expect(ending).toBe('closed')
  })

  test('/truncate-chunked resets the stream on h2', async () => {
    expect(await h2('/truncate-chunked')).toMatchObject({ status: 200, resetCode: 2 })
  })

  test('/reset resets', async () => {
    const socket = await openTls({ port: upstream.port, servername: host, ca })
    expect(await exchange(socket, `GET /reset HTTP/1.1\r\nHost: ${host}\r\n\r\n`)).toMatchObject({ ending: 'reset' })
  })

  test('/close-idle answers in full, then hangs up', async () => {
    const socket = await openTls({ port: upstream.port, servername: host, ca })
    const { bytes, ending } = await exchange(socket, `GET /close-idle HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
    expect(parseReplies(bytes)[0]).toMatchObject({ status: 200, complete: true })
    expect(ending).toBe('closed')
  })

  test('/duplicate-headers repeats them', async () => {
    const { rawHeaders } = (await h1('/duplicate-headers')).last
    expect(rawHeaders.filter((value, i) => i % 2 === 0 && /^(?:set-cookie|x-dup)$/i.test(value))).toHaveLength(4)
  })

  test('/ws echoes messages', async () => {
    using client = await openWebSocket(await openTls({ port: upstream.port, servername: host, alpn: ['http/1.1'], ca }), { host })
    client.send('hello')
    expect(await client.next()).toBe('hello')
  })

  test('an upgrade anywhere else is refused', async () => {
    const socket = await openTls({ port: upstream.port, servername: host, alpn: ['http/1.1'], ca })
    await expect(openWebSocket(socket, { host, path: '/json' })).rejects.toThrow('404')
  })

  test('/ws-refused answers 200 and hears what follows', async () => {
    const upgrade =
      'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n'
    expect((await h1('/ws-refused', { headers: upgrade, body: 'smuggled' })).last.status).toBe(200)
    expect(upstream.requests.at(-1)?.body.toString()).toBe('smuggled')
  })
})

describe('the variants', () => {
  test.each([
    ['h1', ['h2', 'http/1.1'], 'http/1.1'],
    ['h2', ['h2', 'http/1.1'], 'h2'],
  ] as const)('an %s upstream agrees on it', async (protocol, alpn, agreed) => {
    await using only = await startUpstream({ certificate, protocol })
    const socket = await openTls({ port: only.port, servername: host, alpn, ca })
    expect(socket.alpnProtocol).toBe(agreed)
    socket.destroy()
  })

  test('a plain upstream speaks without TLS, and a handler comes before the routes', async () => {
    await using plain = await startUpstream({
      certificate,
      plain: true,
      handler: ({ seen, response }) => {
        if (seen.target !== '/mine') return false
        response.end('mine')
        return true
      },
    })
    const socket = await openTcp({ port: plain.port })
    const text = 'GET /mine HTTP/1.1\r\nHost: a.test\r\n\r\nGET /json HTTP/1.1\r\nHost: a.test\r\n\r\n'
    const { bytes } = await exchange(socket, text, { until: repliesOf(2) })
    socket.destroy()
    expect(parseReplies(bytes).map((reply) => reply.body.length)).toEqual([4, 1024])
  })

  test('a raw upstream writes what no library would', async () => {
    const reply = 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab'
    await using raw = await startRawUpstream({ certificate }, replying(reply, { close: true }))
    const socket = await openTls({ port: raw.port, servername: host, ca })
    const { bytes, ending } = await exchange(socket, 'GET / HTTP/1.1\r\n\r\n')
    expect(bytes.toString()).toBe(reply)
    expect(ending).toBe('closed')
    expect(raw.wires).toHaveLength(1)
  })
})
