import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { ProxyError } from '#base/errors.ts'
import { MemoryAccount } from '#base/memory-account.ts'
import { wholeBody } from '#journey/whole-body.ts'
import { bodyOf, valueOf } from '../journey/parts.ts'
import { testAuthority } from '../kit/ca.ts'
import { replying, startRawUpstream } from '../kit/raw-upstream.ts'
import { startUpstream } from '../kit/upstream.ts'
import { dialing, got, outboundOf, sender, Sink } from './parts.ts'

const certificate = testAuthority().leaf('good.test', 'other.test')
const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

describe('connections', () => {
  it('are used again, one after the other', async () => {
    await using server = await startUpstream({ certificate })
    await using client = sender(dialing(server.port))
    for (let i = 0; i < 20; i += 1) {
      expect((await got(client)).sink.status).toBe(200)
      // undici takes a connection for free one turn after its reply; a request from a socket never comes sooner.
      await new Promise(setImmediate)
    }
    expect(server.connections).toHaveLength(1)
  })

  it('are as many as requests run at once, and no more', async () => {
    await using server = await startUpstream({ certificate })
    await using client = sender(dialing(server.port))
    for (let round = 0; round < 2; round += 1) {
      const all = await Promise.all(Array.from({ length: 50 }, () => got(client, outboundOf({ path: '/slow/20' }))))
      expect(all.every(({ sink }) => sink.status === 200)).toBe(true)
      await new Promise(setImmediate)
    }
    expect(server.connections.length).toBeLessThanOrEqual(50)
  })

  it('count against the memory of the agent they were opened for, and make room when they are idle', async () => {
    await using server = await startUpstream({ certificate })
    const memory = new MemoryAccount({ bytes: 4 * 64 * 1024 })
    await using client = sender(dialing(server.port), memory)
    const of = (agent: string | undefined, host = 'good.test') => outboundOf({ host, path: '/slow/100' }, { agent })
    const alice = await Promise.all([got(client, of('alice')), got(client, of('alice')), got(client, of('alice'))])
    expect(alice.map(({ code, sink }) => code ?? sink.status)).toEqual([200, 200, 'overloaded'])
    expect(memory.held).toBe(2 * 64 * 1024)
    expect(await got(client, of('alice', 'other.test'))).toMatchObject({ sink: { status: 200 } })
    const others = await Promise.all([got(client, of('bob')), got(client, of(undefined)), got(client, of(undefined))])
    expect(others).toMatchObject([{ sink: { status: 200 } }, { sink: { status: 200 } }, { sink: { status: 200 } }])
    await client.close()
    await expect.poll(() => memory.held).toBe(0)
  })

  it('are apart for each set of credentials, and for each host', async () => {
    await using server = await startUpstream({ certificate })
    await using client = sender(dialing(server.port))
    await got(client)
    await got(client, outboundOf({}, { credentials: ['key'] }))
    await got(client, outboundOf({ host: 'other.test' }))
    await got(client, outboundOf({}, { credentials: ['key'] }))
    expect(server.requests.map(({ connection }) => connection)).toEqual([0, 1, 2, 1])
    expect(client.pools).toBe(3)
  })

  it('that went stale are replaced once for GET, and never for POST', async () => {
    let served = 0
    const script = replyOnceThenHangUp(() => (served += 1))
    await using server = await startRawUpstream({ certificate }, script)
    await using client = sender(dialing(server.port))
    await got(client)
    expect((await got(client)).sink.text).toBe('ok')
    expect(server.wires).toHaveLength(2)
    expect(await got(client, outboundOf({ method: 'POST' }), bodyOf(['x']))).toMatchObject({ code: 'upstream_reset' })
    expect(await got(client, outboundOf({ method: 'POST' }))).toMatchObject({ sink: { status: 200 } })
    expect(await got(client, outboundOf({ method: 'POST' }))).toMatchObject({ code: 'upstream_reset' })
    expect(served).toBe(3)
  })

  it('that die before any reply are not tried again and again', async () => {
    await using server = await startRawUpstream({ certificate }, async (line) => {
      await line.read((received) => received.length > 0)
      line.socket.destroy()
    })
    await using client = sender(dialing(server.port))
    expect(await got(client)).toMatchObject({ code: 'upstream_reset' })
    expect(server.wires.length).toBeLessThanOrEqual(2)
  })
})

/** Answers the first request of each connection, and hangs up when it reads another. */
function replyOnceThenHangUp(count: () => void): Parameters<typeof startRawUpstream>[1] {
  return async (line) => {
    await line.read((received) => received.includes('\r\n\r\n'))
    count()
    line.forget()
    line.write(ok)
    await line.read((received) => received.length > 0)
    line.socket.destroy()
  }
}

describe('a request', () => {
  it('goes out byte for byte', async () => {
    await using server = await startUpstream({ certificate })
    await using client = sender(dialing(server.port))
    await got(client, outboundOf({ path: '/a%2Fb/', query: '?x=%7E&y', headers: ['X-Mixed', '1', 'x-mixed', '2'] }))
    expect(server.requests).toMatchObject([{ target: '/a%2Fb/?x=%7E&y', method: 'GET' }])
    const { rawHeaders = [] } = server.requests[0] ?? {}
    expect(rawHeaders.join('|')).toContain('X-Mixed|1|x-mixed|2')
    expect(valueOf(rawHeaders, 'host')).toBe('good.test')
    expect(rawHeaders.filter((text, i) => i % 2 === 0 && text.toLowerCase() === 'host')).toHaveLength(1)
  })

  it('takes its body along, with or without a length', async () => {
    await using server = await startUpstream({ certificate })
    await using client = sender(dialing(server.port))
    await got(client, outboundOf({ method: 'POST', path: '/upload' }), bodyOf(['one', ' two']))
    await got(client, outboundOf({ method: 'PUT', path: '/upload', headers: ['content-length', '7'] }), bodyOf(['one', ' two']))
    expect(server.requests.map(({ body, state }) => `${body.toString()} ${state}`)).toEqual([
      'one two complete',
      'one two complete',
    ])
  })

  it.each([0, 7, 40_000])('takes a body of %i bytes along that is in memory, and keeps its connection', async (size) => {
    await using server = await startUpstream({ certificate })
    await using client = sender(dialing(server.port))
    const bytes = Buffer.alloc(size, 'x')
    for (const headers of [['content-length', String(size)], []]) {
      const body = wholeBody(bodyOf([]), bytes)
      expect(await got(client, outboundOf({ method: 'POST', path: '/upload', headers }), body)).toMatchObject({
        sink: { status: 200 },
      })
    }
    const seen = server.requests.map(({ body, state, connection }) => [body.equals(bytes), state, connection])
    expect(seen).toEqual([
      [true, 'complete', 0],
      [true, 'complete', 0],
    ])
  })

  it.each([
    ['a refusal', new ProxyError('real_value_seen'), 'real_value_seen'],
    ['an agent that left', new Error('gone'), 'upstream_reset'],
  ])('whose body is broken off by %s is never whole for the host', async (_name, error, code) => {
    await using server = await startUpstream({ certificate })
    await using client = sender(dialing(server.port))
    expect(await got(client, outboundOf({ method: 'POST', path: '/upload' }), bodyOf(['half', error]))).toMatchObject({ code })
    for (let i = 0; i < 50 && server.requests[0]?.state === 'reading'; i += 1) await sleep(5)
    expect(server.requests[0]?.state ?? 'aborted').toBe('aborted')
  })

  it('may be answered before its body is there, and the connection is not used again', async () => {
    await using server = await startUpstream({ certificate })
    await using client = sender(dialing(server.port))
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (;;) {
        yield Buffer.alloc(1000)
        await sleep(1)
      }
    }
    const answer = await got(client, outboundOf({ method: 'POST', path: '/early' }), {
      chunks: endless(),
      length: undefined,
      trailers: () => [],
    })
    expect(answer.sink.status).toBe(413)
    await got(client)
    expect(server.requests.map(({ connection }) => connection)).toEqual([0, 1])
  })

  it('ends when the agent goes', async () => {
    await using server = await startUpstream({ certificate })
    await using client = sender(dialing(server.port))
    const controller = new AbortController()
    const hanging = got(client, outboundOf({ path: '/hang' }), undefined, controller.signal)
    for (let i = 0; i < 100 && server.requests.length === 0; i += 1) await sleep(5)
    controller.abort()
    expect(await hanging).toMatchObject({ code: 'client_closed' })
    for (let i = 0; i < 100 && !server.connections[0]?.closed; i += 1) await sleep(5)
    expect(server.connections[0]?.closed).toBe(true)
  })
})

describe('a reply', () => {
  it('comes with its trailers, its repeats and its interim replies', async () => {
    await using server = await startUpstream({ certificate })
    await using client = sender(dialing(server.port))
    expect((await got(client, outboundOf({ path: '/chunked' }))).sink).toMatchObject({
      text: 'one two',
      trailers: ['x-checksum', 'made of two'],
    })
    expect(
      (await got(client, outboundOf({ path: '/duplicate-headers' }))).sink.headers.filter((text) => text === 'set-cookie'),
    ).toHaveLength(2)
    expect((await got(client, outboundOf({ path: '/103' }))).sink).toMatchObject({ interim: [103], status: 200 })
  })

  it('with a redirect is handed on and never followed', async () => {
    await using server = await startUpstream({ certificate })
    await using client = sender(dialing(server.port))
    expect((await got(client, outboundOf({ path: '/status/302' }))).sink.status).toBe(302)
    expect(server.requests).toHaveLength(1)
  })

  it.each([
    ['a length and chunks', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok'],
    ['a folded header', 'HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok'],
    ['a bare line feed', 'HTTP/1.1 200 OK\nContent-Length: 2\n\nok'],
    ['a control byte in a header', 'HTTP/1.1 200 OK\r\nX: a\x01b\r\nContent-Length: 2\r\n\r\nok'],
    ['no HTTP', 'hello\r\n\r\n'],
    ['a 101 that nobody asked for', 'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n'],
    ['a broken chunk size', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n'],
    ['too many interim replies', 'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(100) + ok],
  ])('with %s fails, and its connection is not used again', async (_name, bytes) => {
    await using server = await startRawUpstream({ certificate }, replying(bytes))
    await using client = sender(dialing(server.port))
    for (let i = 0; i < 2; i += 1) {
      const { code, sink } = await got(client)
      expect(code).toMatch(/^upstream_(?:protocol|reset)$/)
      expect(sink.trailers).toBeUndefined()
    }
    expect(server.wires.length).toBeGreaterThanOrEqual(2)
  })

  it.each(['/truncate', '/truncate-chunked'])('that ends too soon (%s) is never taken for whole', async (path) => {
    await using server = await startUpstream({ certificate, protocol: 'h1' })
    await using client = sender(dialing(server.port))
    const { code, sink } = await got(client, outboundOf({ path }))
    expect([code, sink.status, sink.trailers]).toEqual([expect.stringMatching(/^upstream_/), 200, undefined])
  })

  it('that nobody asked for is thrown away with its connection', async () => {
    await using server = await startRawUpstream(
      { certificate },
      replying(`${ok}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison`),
    )
    await using client = sender(dialing(server.port))
    for (let i = 0; i < 4; i += 1) {
      const { sink, code } = await got(client)
      expect(code === undefined ? sink.text : 'failed').not.toBe('poison')
      await sleep(5)
    }
  })

  it('waits for a slow reader', async () => {
    await using server = await startUpstream({ certificate })
    await using client = sender(dialing(server.port))
    const sink = new Sink()
    sink.ready = false
    const sending = client.send(outboundOf({ path: `/download/${32 << 20}` }), undefined, sink, new AbortController().signal)
    await sleep(150)
    expect(sink.length).toBeLessThan(2 << 20)
    sink.ready = true
    sink.onDrain()
    await sending
    expect(sink.length).toBe(32 << 20)
  })

  it('to an upgrade gives the socket, or an ordinary reply', async () => {
    await using server = await startUpstream({ certificate, protocol: 'h1' })
    await using client = sender(dialing(server.port))
    const handshake = { headers: ['sec-websocket-version', '13', 'sec-websocket-key', 'dGhlIHNhbXBsZSBub25jZQ=='] }
    const { upgraded } = await got(client, outboundOf({ path: '/ws', ...handshake }, { upgrade: true }))
    expect(valueOf(upgraded?.headers ?? [], 'sec-websocket-accept')).toBe('s3pPLMBiTxaQ9kYGzzhZRbK+xOo=')
    upgraded?.socket.destroy()
    expect(await got(client, outboundOf({ path: '/ws-refused', ...handshake }, { upgrade: true }))).toMatchObject({
      sink: { status: 200, text: 'refused' },
    })
    expect(client.pools).toBe(0)
  })
})
