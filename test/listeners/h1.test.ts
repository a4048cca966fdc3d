import type { StopSignal } from '#base/async.ts'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { ProxyError } from '#base/errors.ts'
import type { ReplySink } from '#contracts/reply.ts'
import { readAll, replying } from '../journey/parts.ts'
import type { Send } from '../journey/parts.ts'
import { wire } from '../kit/wire.ts'
import { closed, codeIn, open, say, stage, until, stopped } from './stage.ts'
import type { DoorName } from './stage.ts'

const get = (path = '/', more = ''): string => `GET ${path} HTTP/1.1\r\nHost: good.test\r\n${more}\r\n`
const denied = 'DELETE /x HTTP/1.1\r\nHost: good.test\r\n\r\n'

/** Tells the path, after as many milliseconds as the query says. */
const path: Send = async ({ head }, _body, sink) => {
  if (head.query) await sleep(Number(head.query.slice(1)))
  return replying(head.path)({} as never, undefined, sink, AbortSignal.any([]))
}

describe('every door', () => {
  it.each<[DoorName, string, string]>([
    ['http', 'plain.test', 'http'],
    ['absolute', 'plain.test', 'http'],
    ['https', 'good.test', 'https'],
    ['tunnel', 'good.test', 'https'],
    ['plain-tunnel', 'plain.test', 'http'],
  ])('%s leads to the same journey', async (door, host, scheme) => {
    await using on = await stage()
    const target = door === 'absolute' ? `http://${host}/a%2Fb?c` : '/a%2Fb?c'
    const { replies } = await say(await open(on, door, host), `GET ${target} HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
    expect(replies.map(({ status, body }) => [status, body.toString()])).toEqual([[200, 'hello']])
    expect(on.world.sent).toMatchObject([{ head: { scheme, host, path: '/a%2Fb', query: '?c' } }])
    expect(on.world.records.filter(({ type }) => type === 'request')).toMatchObject([
      { verdict: 'allow', scheme, host, path: '/a%2Fb', agent: 'a', protocol: 'http/1.1' },
    ])
  })

  it.each<[DoorName, string]>([
    ['http', 'DELETE / HTTP/1.1\r\nHost: plain.test\r\nConnection: host\r\n\r\n'],
    ['absolute', 'GET http://plain.test/ HTTP/1.1\r\nHost: good.test\r\n\r\n'],
    ['https', 'GET /../ HTTP/1.1\r\nHost: good.test\r\n\r\n'],
    ['tunnel', 'GET / HTTP/1.1\r\nHost: good.test@evil.test\r\n\r\n'],
    ['plain-tunnel', 'GET / HTTP/1.1\r\nHost: good.test\r\nHost: good.test\r\n\r\n'],
  ])('%s refuses a malformed head with 400, closes, writes one record and asks nobody', async (door, head) => {
    await using on = await stage()
    const host = door === 'plain-tunnel' || door === 'http' ? 'plain.test' : 'good.test'
    const { replies, ending } = await say(await open(on, door, host), head, 0)
    expect(replies.map(({ status }) => status)).toEqual([400])
    expect(ending).not.toBe('open')
    expect(on.world.sent).toEqual([])
    expect(on.world.records.filter(({ type }) => type === 'request')).toMatchObject([{ verdict: 'deny', status: 400 }])
  })
})

describe('what Node’s parser refuses', () => {
  it.each([
    [
      'length and chunked',
      'POST / HTTP/1.1\r\nHost: good.test\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc',
      400,
    ],
    ['a space before the colon', 'GET / HTTP/1.1\r\nHost : good.test\r\n\r\n', 400],
    ['a folded line', 'GET / HTTP/1.1\r\nHost: good.test\r\nX: a\r\n b\r\n\r\n', 400],
    ['a bare line feed', 'GET / HTTP/1.1\nHost: good.test\n\n', 400],
    ['a bare carriage return', 'GET / HTTP/1.1\r\nHost: good.test\r\nX: a\rb\r\n\r\n', 400],
    ['a NUL in a value', 'GET / HTTP/1.1\r\nHost: good.test\r\nX: a\0b\r\n\r\n', 400],
    ['no version', 'GET /\r\n\r\n', 400],
    ['HTTP/2.0 as text', 'GET / HTTP/2.0\r\nHost: good.test\r\n\r\n', 400],
    ['the HTTP/2 preface', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
    ['an unknown method', 'GETT / HTTP/1.1\r\nHost: good.test\r\n\r\n', 405],
    ['a method in lower case', 'get / HTTP/1.1\r\nHost: good.test\r\n\r\n', 405],
    ['TRACE', 'TRACE / HTTP/1.1\r\nHost: good.test\r\n\r\n', 405],
    ['a head past 16 KiB', `GET / HTTP/1.1\r\nHost: good.test\r\nX: ${'a'.repeat(17_000)}\r\n\r\n`, 431],
    ['an unknown expectation', 'POST / HTTP/1.1\r\nHost: good.test\r\nExpect: x\r\nContent-Length: 3\r\n\r\nabc', 417],
    [
      'h2c',
      'GET / HTTP/1.1\r\nHost: good.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAM\r\n\r\n',
      400,
    ],
  ])('%s is told, recorded once and closes the connection', async (_name, bytes, status) => {
    await using on = await stage()
    const { replies, ending } = await say(await open(on, 'https'), bytes, 0)
    expect(replies.map((reply) => reply.status)).toEqual([status])
    expect(codeIn(replies[0])).toBe(on.world.records.at(-1)?.code)
    expect(ending).not.toBe('open')
    expect(on.world.sent).toEqual([])
    expect(on.world.records).toHaveLength(1)
  })

  it('of a connection that ends before a request, there is nothing to say', async () => {
    await using on = await stage()
    for (const bytes of ['', 'GET / HT']) {
      const socket = await open(on, 'https')
      socket.end(bytes)
      await closed(socket.resume())
    }
    expect(on.world.records.filter(({ status }) => status === 200)).toEqual([])
  })
})

describe('pipelining', () => {
  it('answers in order, each judged, though the first is the slowest', async () => {
    await using on = await stage()
    on.world.send = path
    const { replies } = await say(await open(on, 'https'), get('/1?60') + get('/2?30') + denied + get('/4'), 4)
    expect(replies.map(({ status, body }) => (status === 200 ? body.toString() : status))).toEqual(['/1', '/2', 403, '/4'])
  })

  it('of a hundred in one write, the fiftieth denied and the sixtieth malformed, reads nothing after that', async () => {
    await using on = await stage()
    on.world.send = path
    const requests = Array.from({ length: 100 }, (_, i) =>
      i === 49 ? denied : i === 59 ? 'GET / HTTP/1.1\r\nHost : good.test\r\n\r\n' : get(`/${i + 1}`),
    )
    const { replies, ending } = await say(await open(on, 'https'), requests.join(''), 0)
    const told = replies.map(({ status, body }) => (status === 200 ? body.toString() : status))
    expect(told).toEqual([...Array.from({ length: 59 }, (_, i) => (i === 49 ? 403 : `/${i + 1}`)), 400])
    expect(ending).not.toBe('open')
    expect(on.world.sent).toHaveLength(58)
    expect(on.world.records).toHaveLength(60)
  })

  it('closes after a refusal by the screen, and lets what stands behind it alone', async () => {
    await using on = await stage()
    on.world.send = path
    const { replies, ending } = await say(
      await open(on, 'https'),
      get('/1?30') + 'GET /../x HTTP/1.1\r\nHost: good.test\r\n\r\n' + get('/3'),
      0,
    )
    expect(replies.map(({ status }) => status)).toEqual([200, 400])
    expect(ending).not.toBe('open')
  })

  it.each([
    ['CONNECT', 'absolute', 'CONNECT good.test:443 HTTP/1.1\r\nHost: good.test:443\r\n\r\n'],
    ['an upgrade', 'https', get('/ws', 'Connection: Upgrade\r\nUpgrade: websocket\r\n')],
  ] as const)('%s behind a request that is not answered yet is refused after its reply', async (_name, door, bytes) => {
    await using on = await stage()
    on.world.send = path
    const first = door === 'absolute' ? 'GET http://plain.test/1?50 HTTP/1.1\r\nHost: plain.test\r\n\r\n' : get('/1?50')
    const { replies, ending } = await say(await open(on, door), first + bytes, 0)
    expect(replies.map(({ status, body }) => (status === 200 ? body.toString() : status))).toEqual(['/1', 400])
    expect(ending).not.toBe('open')
    expect(on.world.sent).toHaveLength(1)
  })

  it('stops every one of them when the agent goes', async () => {
    await using on = await stage()
    on.world.send = forever
    const socket = await open(on, 'https')
    socket.write(get('/1') + get('/2') + get('/3'))
    await until(() => on.world.sent.length === 3)
    socket.destroy()
    expect((await on.records(3)).map(({ code }) => code)).toEqual(['client_closed', 'client_closed', 'client_closed'])
    expect(on.world.live.size).toBe(0)
  })
})

/** Answers nothing until it is cancelled. */
const forever: Send = async (_outbound, _body, _sink, signal) => {
  if (!signal.aborted) await stopped(signal)
  throw new ProxyError('client_closed')
}

describe('a request body', () => {
  it.each([
    ['with a length', 'Content-Length: 5\r\n\r\nhello', 5],
    ['in chunks', 'Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n', 5],
    ['that is empty', 'Content-Length: 0\r\n\r\n', 0],
  ])('%s passes as it comes', async (_name, rest, bytesUp) => {
    await using on = await stage()
    const read: string[] = []
    on.world.send = async (outbound, body, sink, signal) => {
      if (body) for await (const chunk of body.chunks) read.push(Buffer.from(chunk).toString())
      return replying()(outbound, undefined, sink, signal)
    }
    const { replies } = await say(await open(on, 'https'), `POST / HTTP/1.1\r\nHost: good.test\r\n${rest}`)
    expect(replies[0]?.status).toBe(200)
    expect(read.join('')).toBe(bytesUp === 5 ? 'hello' : '')
    expect(on.world.records).toMatchObject([{ bytesUp }])
  })

  it.each([
    ['a size that is none', 'zz\r\n'],
    ['a size of seventeen digits', '11111111111111111\r\n'],
    ['no line break after a chunk', '3\r\nabcX'],
    ['a line feed in a chunk extension', '3;a\nb\r\nabc\r\n'],
    ['a space in a size', '3 3\r\nabc\r\n'],
  ])('broken half-way by %s gives 400, and the upstream does not take it for whole', async (_name, broken) => {
    await using on = await stage()
    let ended: unknown = 'still reading'
    on.world.send = async (_outbound, body) => {
      try {
        await readAll(body)
        ended = 'whole'
      } catch (error) {
        ended = error
        throw error
      }
      return { address: '' }
    }
    const { replies, ending } = await say(
      await open(on, 'https'),
      `POST / HTTP/1.1\r\nHost: good.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n${broken}${get('/smuggled')}`,
      0,
    )
    expect(replies.map(({ status }) => status)).toEqual([400])
    expect(ending).not.toBe('open')
    expect(ended).toBeInstanceOf(ProxyError)
    expect(on.world.records).toMatchObject([{ verdict: 'deny', path: '/' }])
  })

  it('that the agent breaks off stops the upstream', async () => {
    await using on = await stage()
    let ended: unknown
    on.world.send = async (_outbound, body) => {
      try {
        await readAll(body)
        ended = 'whole'
      } catch (error) {
        ended = 'broken'
        throw error
      }
      return { address: '' }
    }
    const socket = await open(on, 'https')
    socket.write('POST / HTTP/1.1\r\nHost: good.test\r\nContent-Length: 100\r\n\r\nhalf')
    await until(() => on.world.sent.length === 1)
    socket.destroy()
    expect(await on.records(1)).toMatchObject([{ code: 'client_closed' }])
    expect(ended).toBe('broken')
  })

  it('may be answered before it is there, and then the connection closes', async () => {
    await using on = await stage()
    on.world.send = replyingEarly
    const socket = await open(on, 'https')
    const { replies, ending } = await say(
      socket,
      `POST / HTTP/1.1\r\nHost: good.test\r\nContent-Length: 1000000\r\n\r\n${'x'.repeat(1000)}`,
      0,
    )
    expect(replies).toMatchObject([{ status: 413, complete: true }])
    expect(ending).not.toBe('open')
  })

  it('that was denied is not a request, however much of it comes', async () => {
    await using on = await stage()
    const inner = get('/smuggled')
    const { replies, ending } = await say(
      await open(on, 'https'),
      `DELETE / HTTP/1.1\r\nHost: good.test\r\nContent-Length: 1000000000\r\n\r\n${inner.repeat(2000)}`,
      0,
    )
    expect(replies.map(({ status, rawHeaders }) => [status, rawHeaders.includes('close')])).toEqual([[403, true]])
    expect(ending).not.toBe('open')
    expect(on.world.sent).toEqual([])
    expect(on.world.records).toHaveLength(1)
  })
})

const replyingEarly: Send = (_outbound, _body, sink) => {
  sink.head(413, ['content-length', '5'])
  sink.data(Buffer.from('large'))
  sink.end([])
  return { address: '' }
}

describe('a connection after a denial', () => {
  it('stays open when there was no body', async () => {
    await using on = await stage()
    const socket = await open(on, 'https')
    const { replies, ending } = await say(socket, denied)
    expect(replies.map(({ status }) => status)).toEqual([403])
    expect(ending).toBe('open')
    const again = await say(socket, get())
    expect(again.replies.map(({ status }) => status)).toEqual([200])
  })

  it('stays open when the body was read to its end', async () => {
    await using on = await stage()
    const { replies } = await say(
      await open(on, 'https'),
      `POST / HTTP/1.1\r\nHost: good.test\r\nContent-Length: 2\r\n\r\nok${get()}`,
      2,
    )
    expect(replies.map(({ status }) => status)).toEqual([200, 200])
  })
})

describe('Expect: 100-continue', () => {
  const expecting = (method: string): string =>
    `${method} / HTTP/1.1\r\nHost: good.test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n`

  it('lets the body come once the request is allowed', async () => {
    await using on = await stage()
    const line = wire(await open(on, 'https'))
    line.write(expecting('POST'))
    const { bytes } = await line.read((received) => received.includes('\r\n\r\n'))
    expect(bytes.toString()).toBe('HTTP/1.1 100 Continue\r\n\r\n')
    line.forget()
    line.write('body')
    expect((await line.read((received) => received.includes('hello'))).bytes.toString()).toMatch(/^HTTP\/1\.1 200 /)
    expect(on.world.records).toMatchObject([{ bytesUp: 4 }])
    expect(on.world.sent[0]?.headers).not.toContain('Expect')
  })

  it('is answered by the denial alone, and the connection stays usable', async () => {
    await using on = await stage()
    const socket = await open(on, 'https')
    const { text, replies } = await say(socket, expecting('DELETE'))
    expect(replies.map(({ status }) => status)).toEqual([403])
    expect(text).not.toContain('100 Continue')
  })
})

describe('a reply', () => {
  it.each([
    ['HEAD', 'HEAD', 200, ['content-length', '5']],
    ['204', 'GET', 204, []],
    ['304', 'GET', 304, ['etag', '"x"', 'content-length', '5']],
  ] as const)('%s has no body, and the next one follows', async (_name, method, status, headers) => {
    await using on = await stage()
    on.world.send = ({ head }, body, sink, signal) =>
      head.path === '/'
        ? replying('', headers, status)({} as never, body, sink, signal)
        : replying('next')({} as never, body, sink, signal)
    const { replies } = await say(await open(on, 'https'), `${method} / HTTP/1.1\r\nHost: good.test\r\n\r\n${get('/next')}`, 2, [
      method,
      'GET',
    ])
    expect(replies.map((reply) => [reply.status, reply.body.toString()])).toEqual([
      [status, ''],
      [200, 'next'],
    ])
    for (let i = 0; i < headers.length; i += 2)
      expect(replies[0]?.rawHeaders).toEqual(expect.arrayContaining([headers[i], headers[i + 1]]))
  })

  it('keeps order, case and repeats of its headers, and its trailers', async () => {
    await using on = await stage()
    on.world.send = (_outbound, _body, sink) => {
      sink.head(200, ['X-One', '1', 'set-cookie', 'a', 'Set-Cookie', 'b', 'x-one', '\xfc'])
      sink.data(Buffer.from('x'))
      sink.end(['X-Sum', '1'])
      return { address: '' }
    }
    const { replies } = await say(await open(on, 'https'), get())
    expect(replies[0]?.rawHeaders.slice(0, 8)).toEqual(['X-One', '1', 'set-cookie', 'a', 'Set-Cookie', 'b', 'x-one', '\xfc'])
    expect(replies[0]?.rawTrailers).toEqual(['X-Sum', '1'])
  })

  it.each([
    ['one link', ['Link', '</a.css>; rel=preload'], true],
    ['a list of links', ['Link', '</a>; rel=preload, </b>; rel=preload'], true],
    ['no link', ['x-secret', 'x'], false],
  ])('may be announced by early hints with %s', async (_name, headers, told) => {
    await using on = await stage()
    on.world.send = (outbound, body, sink, signal) => {
      sink.informational(103, headers)
      sink.informational(102, [])
      return replying()(outbound, body, sink, signal)
    }
    const { replies } = await say(await open(on, 'https'), get())
    expect(replies.map(({ status }) => status)).toEqual(told ? [103, 200] : [200])
  })

  it('comes on HTTP/1.0 without chunks, and ends with the connection', async () => {
    await using on = await stage()
    const { text, ending } = await say(await open(on, 'https'), 'GET / HTTP/1.0\r\nHost: good.test\r\n\r\n', 0)
    expect(text).toMatch(/\r\n\r\nhello$/)
    expect(text).not.toMatch(/chunked/i)
    expect(ending).not.toBe('open')
  })

  const breaking =
    (headers: readonly string[]): Send =>
    async (_outbound, _body, sink) => {
      sink.head(200, headers)
      sink.data(Buffer.from('some'))
      await sleep(20)
      throw new ProxyError('upstream_reset')
    }

  it.each([
    ['chunked', []],
    ['with a length', ['content-length', '100']],
  ])('that breaks off %s cannot be taken for whole', async (_name, headers) => {
    await using on = await stage()
    on.world.send = breaking(headers)
    const { replies, ending } = await say(await open(on, 'https'), get(), 0)
    expect(replies).toMatchObject([{ status: 200, complete: false }])
    expect(ending).not.toBe('open')
    expect(on.world.records).toMatchObject([{ verdict: 'error', code: 'upstream_reset', status: 200, bytesDown: 4 }])
  })

  it('stops when the agent goes', async () => {
    await using on = await stage()
    let signalled: StopSignal | undefined
    on.world.send = async (outbound, body, sink, signal) => {
      signalled = signal
      sink.head(200, [])
      sink.data(Buffer.from('some'))
      return forever(outbound, body, sink, signal)
    }
    const line = wire(await open(on, 'https'))
    line.write(get())
    await line.read((received) => received.includes('some'))
    line.socket.destroy()
    expect(await on.records(1)).toMatchObject([{ verdict: 'allow', code: 'client_closed' }])
    expect(signalled?.aborted).toBe(true)
  })

  it('waits for an agent that reads slowly', async () => {
    await using on = await stage()
    let drained = 0
    let stopped = 0
    on.world.send = async (_outbound, _body, sink: ReplySink) => {
      sink.head(200, ['content-length', String(64 << 20)])
      const chunk = Buffer.alloc(1 << 20)
      for (let i = 0; i < 64; i += 1) {
        if (sink.data(chunk)) continue
        stopped = i
        await new Promise<void>((resolve) => (sink.onDrain = resolve))
        drained += 1
      }
      sink.end([])
      return { address: '' }
    }
    const socket = await open(on, 'https')
    socket.pause()
    socket.write(get())
    await until(() => on.world.sent.length === 1)
    await sleep(150)
    expect(stopped).toBeLessThan(40)
    let read = 0
    socket.on('data', (chunk: Buffer) => (read += chunk.length)).resume()
    await until(() => read > 64 << 20)
    expect(drained).toBeGreaterThan(0)
  })
})

describe('an upgrade', () => {
  const handshake = (more = ''): string =>
    get('/ws', `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n${more}`)

  it('that is refused by the policy is a plain 403', async () => {
    await using on = await stage()
    const { replies, ending } = await say(
      await open(on, 'http'),
      'GET / HTTP/1.1\r\nHost: good.test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nafter',
      0,
    )
    expect(replies.map(({ status }) => status)).toEqual([403])
    expect(ending).not.toBe('open')
    expect(on.world.records).toMatchObject([{ type: 'upgrade', code: 'plain_denied' }])
  })

  it('that the host does not follow is an ordinary reply, and nothing behind it is sent', async () => {
    await using on = await stage()
    const { replies, ending } = await say(await open(on, 'https'), `${handshake()}${get('/smuggled')}`, 0)
    expect(replies.map(({ status }) => status)).toEqual([200])
    expect(ending).not.toBe('open')
    expect(on.world.sent).toHaveLength(1)
  })

  it('carries the bytes of both sides until one is done, with a record at each end', async () => {
    await using on = await stage()
    const { Duplex } = await import('node:stream')
    const heard: string[] = []
    const far = new Duplex({
      read() {},
      write(chunk: Buffer, _encoding, done) {
        heard.push(chunk.toString())
        if (chunk.toString().includes('bye')) far.push(null)
        else far.push(`echo ${chunk.toString()}`)
        done()
      },
    })
    on.world.send = () => ({
      address: '192.0.2.1:443',
      upgraded: { headers: ['sec-websocket-accept', 'y', 'connection', 'upgrade'], socket: far },
    })
    const line = wire(await open(on, 'https'))
    line.write(`${handshake()}early`)
    const { bytes } = await line.read((received) => received.includes('echo early'))
    expect(bytes.toString()).toMatch(/^HTTP\/1\.1 101 [^]*sec-websocket-accept: y\r\n\r\necho early$/)
    expect(on.world.records).toMatchObject([{ type: 'upgrade', event: 'open', status: 101 }])
    line.socket.end('bye')
    expect(await on.records(2)).toMatchObject([
      { event: 'open' },
      { event: 'close', status: 101, bytesUp: 8, bytesDown: 10, upstream: '192.0.2.1:443' },
    ])
    expect(heard).toEqual(['early', 'bye'])
  })
})

describe('stopping', () => {
  it('closes idle connections, and running ones with their reply', async () => {
    await using on = await stage()
    on.world.send = path
    const idle = await open(on, 'https')
    await say(idle, get())
    const busy = await open(on, 'https')
    const answer = say(busy, get('/slow?80'), 0)
    await until(() => on.world.sent.length === 2)
    on.doors.drain()
    await closed(idle.resume())
    const { replies, ending } = await answer
    expect(replies.map(({ status }) => status)).toEqual([200])
    expect(ending).not.toBe('open')
  })
})
