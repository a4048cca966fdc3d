import type { StopSignal } from '#base/async.ts'
import { once } from 'node:events'
import { constants } from 'node:http2'
import type { ClientHttp2Session } from 'node:http2'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { ProxyError } from '#base/errors.ts'
import { readAll, replying } from '../journey/parts.ts'
import type { Send } from '../journey/parts.ts'
import { openH2, openTls, requestH2 } from '../kit/raw.ts'
import { authority, stage, until, stopped } from './stage.ts'
import type { Stage } from './stage.ts'

const good = { ':path': '/', ':authority': 'good.test' }

async function session(on: Stage, servername = 'good.test'): Promise<ClientHttp2Session> {
  return openH2(await openTls({ port: on.ports.https, servername, ca: authority.certPem, alpn: ['h2'] }))
}

const code = (body: Buffer): string => (JSON.parse(body.toString()) as { error: { code: string } }).error.code

describe('a stream', () => {
  it('is a request of its own, judged for itself', async () => {
    await using on = await stage()
    const h2 = await session(on)
    const replies = await Promise.all([
      requestH2(h2, { ...good, ':path': '/a%2Fb?c' }),
      requestH2(h2, { ...good, ':method': 'DELETE' }),
      requestH2(h2, { ...good, ':authority': 'other.test' }),
      requestH2(h2, { ...good, host: 'evil.test' }),
      requestH2(h2, { ...good, ':path': '/../x' }),
      requestH2(h2, { ...good, ':scheme': 'ftp' }),
    ])
    expect(replies.map(({ status }) => status)).toEqual([200, 403, 421, 400, 400, 400])
    expect(on.world.sent).toMatchObject([{ head: { path: '/a%2Fb', query: '?c' } }])
    expect((await on.records(6)).map(({ protocol }) => protocol)).toEqual(Array(6).fill('h2'))
    h2.destroy()
  })

  it('sends the pieces of its cookie as one (RFC 9113 section 8.2.3)', async () => {
    await using on = await stage()
    const h2 = await session(on)
    await requestH2(h2, { ...good, cookie: ['a=1', 'b=2', 'c=3'], 'x-twice': ['1', '2'] })
    expect(on.world.sent[0]?.headers.join('|')).toContain('cookie|a=1; b=2; c=3|x-twice|1|x-twice|2')
    h2.destroy()
  })

  it('with CONNECT is refused', async () => {
    await using on = await stage()
    const h2 = await session(on)
    const connect = h2.request({ ':method': 'CONNECT', ':authority': 'good.test:443' })
    const [headers] = (await once(connect, 'response')) as [Record<string, unknown>]
    expect(headers[':status']).toBe(400)
    expect((await on.records(1)).map((record) => record.code)).toEqual(['malformed_request'])
    h2.destroy()
  })

  it.each([
    ['HEAD', 200],
    ['GET', 204],
    ['GET', 304],
  ])('of %s %i has no body', async (method, status) => {
    await using on = await stage()
    on.world.send = (outbound, body, sink, signal) => replying('', ['x-kept', '1'], status)(outbound, body, sink, signal)
    const h2 = await session(on)
    const reply = await requestH2(h2, { ...good, ':method': method, te: 'trailers' })
    expect(reply).toMatchObject({ status, resetCode: 0 })
    expect(reply.headers['x-kept']).toBe('1')
    expect(reply.body).toHaveLength(0)
    h2.destroy()
  })

  it('of a denied HEAD has no body either', async () => {
    await using on = await stage()
    const h2 = await session(on, 'evil.test')
    expect(await requestH2(h2, { ':path': '/', ':authority': 'evil.test', ':method': 'HEAD' })).toMatchObject({
      status: 403,
      body: Buffer.alloc(0),
    })
    h2.destroy()
  })
})

describe('trailers', () => {
  const both: Send = async (_outbound, body, sink) => {
    await readAll(body)
    sink.head(200, ['content-type', 'application/grpc'])
    sink.data(Buffer.from('x'))
    sink.end(['grpc-status', '0', 'x-seen', String(body?.trailers().join('='))])
    return { address: '' }
  }

  it('pass both ways', async () => {
    await using on = await stage()
    on.world.send = both
    const h2 = await session(on)
    const stream = h2.request({ ...good, ':method': 'POST', te: 'trailers' }, { waitForTrailers: true })
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-up': 'sum' }))
    let trailers: Record<string, unknown> = {}
    stream.on('trailers', (received) => (trailers = { ...received }))
    stream.resume().end('body')
    await once(stream, 'close')
    expect(trailers).toMatchObject({ 'grpc-status': '0', 'x-seen': 'x-up=sum' })
    h2.destroy()
  })

  it('are left out for who did not ask', async () => {
    await using on = await stage()
    on.world.send = both
    const h2 = await session(on)
    expect(await requestH2(h2, good)).toMatchObject({ status: 200, trailers: {} })
    h2.destroy()
  })

  it('that HTTP/2 does not know break the stream and nothing else', async () => {
    await using on = await stage()
    on.world.send = (_outbound, _body, sink) => {
      sink.head(200, [])
      sink.data(Buffer.from('x'))
      sink.end(['http2-settings', 'x'])
      return { address: '' }
    }
    const h2 = await session(on)
    expect((await requestH2(h2, { ...good, te: 'trailers' })).resetCode).not.toBe(0)
    on.world.send = replying()
    expect((await requestH2(h2, good)).status).toBe(200)
    h2.destroy()
  })
})

describe('headers', () => {
  it('that a host sends twice, as HTTP/1.1 allows, pass', async () => {
    await using on = await stage()
    on.world.send = replying('', [
      'x-content-type-options',
      'nosniff',
      'X-Content-Type-Options',
      'nosniff',
      'set-cookie',
      'a',
      'set-cookie',
      'b',
    ])
    const h2 = await session(on)
    const { status, headers } = await requestH2(h2, good)
    expect([status, headers['set-cookie']]).toEqual([200, ['a', 'b']])
    h2.destroy()
  })
})

describe('breaking off', () => {
  it('by the agent stops the upstream, and is recorded', async () => {
    await using on = await stage()
    let signalled: StopSignal | undefined
    on.world.send = async (_outbound, _body, sink, signal) => {
      signalled = signal
      sink.head(200, [])
      sink.data(Buffer.from('some'))
      await stopped(signal)
      throw new ProxyError('client_closed')
    }
    const h2 = await session(on)
    const stream = h2.request(good)
    stream.on('error', () => {})
    await once(stream, 'data')
    stream.close(constants.NGHTTP2_CANCEL)
    expect(await on.records(1)).toMatchObject([{ code: 'client_closed', bytesDown: 4 }])
    expect(signalled?.aborted).toBe(true)
    h2.destroy()
  })

  it('of the whole connection stops every stream', async () => {
    await using on = await stage()
    on.world.send = async (_outbound, _body, _sink, signal) => {
      await stopped(signal)
      throw new ProxyError('client_closed')
    }
    const h2 = await session(on)
    for (let i = 0; i < 5; i += 1) h2.request(good).on('error', () => {})
    await until(() => on.world.sent.length === 5)
    h2.destroy()
    expect((await on.records(5)).map((record) => record.code)).toEqual(Array(5).fill('client_closed'))
    expect(on.world.live.size).toBe(0)
  })

  it('by the host cannot be taken for a whole reply', async () => {
    await using on = await stage()
    on.world.send = async (_outbound, _body, sink) => {
      sink.head(200, [])
      sink.data(Buffer.from('some'))
      await sleep(20)
      throw new ProxyError('upstream_reset')
    }
    const h2 = await session(on)
    expect(await requestH2(h2, good)).toMatchObject({ status: 200, resetCode: constants.NGHTTP2_INTERNAL_ERROR })
    h2.destroy()
  })

  it('before the reply is told as 502', async () => {
    await using on = await stage()
    on.world.send = () => Promise.reject(new ProxyError('upstream_reset'))
    const h2 = await session(on)
    const reply = await requestH2(h2, good)
    expect([reply.status, code(reply.body)]).toEqual([502, 'upstream_reset'])
    h2.destroy()
  })
})

describe('a body', () => {
  it('waits for 100 when the agent wants it, and a denial comes without one', async () => {
    await using on = await stage()
    const h2 = await session(on)
    const stream = h2.request({ ...good, ':method': 'POST', expect: '100-continue' })
    await once(stream, 'continue')
    stream.resume().end('body')
    await once(stream, 'close')
    expect(await on.records(1)).toMatchObject([{ status: 200, bytesUp: 4 }])
    let proceeded = false
    const denied = h2.request({ ...good, ':method': 'DELETE', expect: '100-continue' }, { endStream: false })
    denied.on('continue', () => (proceeded = true)).on('error', () => {})
    const [headers] = (await once(denied, 'response')) as [Record<string, unknown>]
    expect([headers[':status'], proceeded]).toEqual([403, false])
    h2.destroy()
  })

  it('may be answered early', async () => {
    await using on = await stage()
    on.world.send = (_outbound, _body, sink) => {
      sink.head(413, [])
      sink.end([])
      return { address: '' }
    }
    const h2 = await session(on)
    const stream = h2.request({ ...good, ':method': 'POST' })
    stream.on('error', () => {})
    stream.write(Buffer.alloc(1000))
    const [headers] = (await once(stream, 'response')) as [Record<string, unknown>]
    expect(headers[':status']).toBe(413)
    h2.destroy()
  })

  it('that is not as long as it says is never whole for the upstream', async () => {
    await using on = await stage()
    let ended: unknown = 'never begun'
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
    const h2 = await session(on)
    const reply = await requestH2(h2, { ...good, ':method': 'POST', 'content-length': '10' }, 'half')
    expect(reply.resetCode).not.toBe(0)
    await on.records(1)
    expect(ended).not.toBe('whole')
    h2.destroy()
  })
})

it('draining lets streams finish and takes no new ones', async () => {
  await using on = await stage()
  on.world.send = async (outbound, body, sink, signal) => {
    await sleep(60)
    return replying()(outbound, body, sink, signal)
  }
  const h2 = await session(on)
  const running = requestH2(h2, good)
  await until(() => on.world.sent.length === 1)
  on.doors.drain()
  expect((await running).status).toBe(200)
  await until(() => h2.closed)
})
