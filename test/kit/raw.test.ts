import { createServer as createHttpServer } from 'node:http'
import { connect, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { expect, test } from 'vitest'
import { testAuthority } from './ca.ts'
import { buildClientHello, readClientHello } from './client-hello.ts'
import { closer, listen } from './listen.ts'
import { connectThroughProxy, exchange, openTcp, openTls } from './raw.ts'
import { parseReplies, repliesOf } from './reply.ts'
import { startUpstream } from './upstream.ts'

const host = 'good.test'
const ca = testAuthority().certPem
const certificate = testAuthority().leaf(host)

test('a hand-made ClientHello is read back', () => {
  const hello = buildClientHello({ names: [host, 'evil.test'], alpn: ['h2'], padding: 300 })
  expect(readClientHello(hello)).toEqual({ names: [host, 'evil.test'], alpn: ['h2'] })
  expect(readClientHello(buildClientHello())).toEqual({ names: [], alpn: [] })
  expect(readClientHello(Buffer.from('GET / HTTP/1.1\r\n\r\n'))).toBeUndefined()
})

test.each([
  ['in one record', {}],
  ['split over records', { recordSize: 50 }],
  ['with 8 KiB of padding', { padding: 8192 }],
])('a real TLS server answers a hand-made ClientHello %s', async (_, options) => {
  const names: string[] = []
  const server = createTlsServer({
    cert: certificate.certPem,
    key: certificate.keyPem,
    SNICallback: (name, done) => {
      names.push(name)
      done(null)
    },
  })
  const close = closer(server)
  const socket = await openTcp({ port: await listen(server) })
  const { bytes } = await exchange(socket, buildClientHello({ names: [host], ...options }), {
    until: (received) => received.length > 5,
  })
  socket.destroy()
  await close()
  expect(bytes[0]).toBe(0x16)
  expect(names).toEqual([host])
})

test('a connection comes from the address it was told to', async () => {
  const peers: (string | undefined)[] = []
  const server = createHttpServer()
  server.on('connection', (socket: Socket) => peers.push(socket.remoteAddress))
  const close = closer(server)
  const socket = await openTcp({ port: await listen(server), from: '127.0.1.9' })
  await expect.poll(() => peers).toEqual(['127.0.1.9'])
  socket.destroy()
  await close()
})

test('a tunnel is used after the 200, whose bytes may come in pieces', async () => {
  await using upstream = await startUpstream({ certificate })
  const asked: (string | undefined)[] = []
  const proxy = createHttpServer()
  proxy.on('connect', (request, socket: Socket) => {
    asked.push(request.url, request.headers['proxy-authorization'])
    const onward = connect(upstream.port, '127.0.0.1')
    socket.write('HTTP/1.1 200 Connection')
    setTimeout(() => socket.write(' established\r\n\r\n'), 10)
    setTimeout(() => socket.pipe(onward).pipe(socket), 20)
    socket.on('close', () => onward.destroy())
  })
  const close = closer(proxy)
  const auth = { username: 'agent', password: 'pass' }
  const over = await connectThroughProxy(await listen(proxy), `${host}:443`, { auth })
  const socket = await openTls({ port: 0, over, servername: host, ca })
  const { bytes } = await exchange(socket, `GET /json HTTP/1.1\r\nHost: ${host}\r\n\r\n`, { until: repliesOf(1) })
  socket.destroy()
  await close()
  expect(parseReplies(bytes)[0]?.status).toBe(200)
  expect(asked).toEqual([`${host}:443`, `Basic ${Buffer.from('agent:pass').toString('base64')}`])
})

test('a refused tunnel rejects with the reply', async () => {
  const proxy = createHttpServer()
  proxy.on('connect', (_, socket: Socket) => socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n'))
  const close = closer(proxy)
  await expect(connectThroughProxy(await listen(proxy), 'evil.test:443')).rejects.toThrow('403 Forbidden')
  await close()
})

test('replies are cut where their lengths say', () => {
  const chunked = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-a: 1\r\n\r\n'
  const text = `HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok${chunked}HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort`
  const replies = parseReplies(Buffer.from(text))
  expect(replies.map(({ status, body, complete }) => [status, body.toString(), complete])).toEqual([
    [103, '', true],
    [200, 'ok', true],
    [200, 'abc', true],
    [204, '', true],
    [200, 'short', false],
  ])
  expect(replies[2]?.rawTrailers).toEqual(['x-a', '1'])
})
