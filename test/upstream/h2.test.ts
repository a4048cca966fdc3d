import { createSecureServer } from 'node:http2'
import type { Http2SecureServer, ServerHttp2Session, ServerHttp2Stream } from 'node:http2'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { ProxyError } from '#base/errors.ts'
import { bodyOf, valueOf } from '../journey/parts.ts'
import { testAuthority } from '../kit/ca.ts'
import { closer, listen } from '../kit/listen.ts'
import { startUpstream } from '../kit/upstream.ts'
import { dialing, got, outboundOf, sender } from './parts.ts'

const certificate = testAuthority().leaf('good.test', 'other.test')
const grpc = (some: Parameters<typeof outboundOf>[0] = {}) =>
  outboundOf({ method: 'POST', headers: ['content-type', 'application/grpc', 'te', 'trailers'], ...some })

interface Scripted extends AsyncDisposable {
  readonly port: number
  readonly sessions: ServerHttp2Session[]
}

/** An HTTP/2 server whose streams are answered by a script. */
async function scripted(script: (stream: ServerHttp2Stream, sessions: ServerHttp2Session[]) => void): Promise<Scripted> {
  const server: Http2SecureServer = createSecureServer({
    cert: certificate.certPem,
    key: certificate.keyPem,
    strictSingleValueFields: false,
  } as never)
  const sessions: ServerHttp2Session[] = []
  server.on('session', (session) => {
    sessions.push(session)
    session.on('error', () => {})
  })
  server.on('stream', (stream: ServerHttp2Stream) => {
    stream.on('error', () => {})
    script(stream, sessions)
  })
  const close = closer(server)
  return { port: await listen(server), sessions, [Symbol.asyncDispose]: close }
}

describe('HTTP/2 to a host', () => {
  it('is spoken where nothing else is, body and all, and remembered', async () => {
    await using server = await startUpstream({ certificate, protocol: 'h2' })
    await using client = sender(dialing(server.port))
    const first = await got(client, outboundOf({ method: 'POST', path: '/upload' }), bodyOf(['one', ' two']))
    expect(first.sink.status).toBe(200)
    await got(client, outboundOf({ path: '/a%2Fb', query: '?c', headers: ['x-kept', '1'] }))
    expect(server.requests).toMatchObject([{ version: '2.0', body: Buffer.from('one two') }, { target: '/a%2Fb?c' }])
    expect(valueOf(server.requests[1]?.rawHeaders ?? [], ':authority')).toBe('good.test')
    // One handshake found out, one serves.
    expect(server.connections).toHaveLength(2)
  })

  it('is spoken for gRPC, with trailers both ways', async () => {
    await using server = await scripted((stream) => {
      let seen: unknown
      stream.on('trailers', (headers) => (seen = headers['x-up']))
      stream.on('end', () => {
        stream.respond({ ':status': 200 }, { waitForTrailers: true })
        stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0', 'x-seen': String(seen) }))
        stream.end('reply')
      })
      stream.resume()
    })
    await using client = sender(dialing(server.port))
    const { sink } = await got(client, grpc(), bodyOf(['ask'], ['x-up', 'sum']))
    expect(sink).toMatchObject({ status: 200, text: 'reply', trailers: ['grpc-status', '0', 'x-seen', 'sum'] })
  })

  it('fails where a host does not speak it, when gRPC needs it', async () => {
    await using server = await startUpstream({ certificate, protocol: 'h1' })
    await using client = sender(dialing(server.port))
    expect(await got(client, grpc(), bodyOf(['x']))).toMatchObject({ code: 'upstream_protocol' })
  })

  it('keeps credentials apart, and shares a session else', async () => {
    await using server = await startUpstream({ certificate, protocol: 'h2' })
    await using client = sender(dialing(server.port))
    const send = (credentials: readonly string[]) => got(client, { ...grpc(), credentials }, bodyOf(['x']))
    await send([])
    await Promise.all([send(['key']), send(['key']), send([])])
    expect(new Set(server.requests.map(({ connection }) => connection)).size).toBe(2)
    expect(server.connections).toHaveLength(2)
  })

  it('opens a new session after GOAWAY', async () => {
    await using server = await scripted((stream) => {
      stream.respond({ ':status': 200 })
      stream.end('ok', () => stream.session?.goaway(0))
    })
    await using client = sender(dialing(server.port))
    for (let i = 0; i < 3; i += 1) {
      expect((await got(client, grpc(), bodyOf(['x']))).sink.text).toBe('ok')
      await sleep(20)
    }
    expect(server.sessions).toHaveLength(3)
  })

  it('survives a session that is destroyed under its streams', async () => {
    await using server = await scripted((stream, sessions) => {
      if (sessions.length === 1) {
        stream.session?.destroy()
        return
      }
      stream.respond({ ':status': 200 })
      stream.end('ok')
    })
    await using client = sender(dialing(server.port))
    expect(await got(client, grpc(), bodyOf(['x']))).toMatchObject({ code: 'upstream_reset' })
    expect((await got(client, grpc(), bodyOf(['x']))).sink.text).toBe('ok')
  })
})

describe('a reply over HTTP/2', () => {
  it.each(['/truncate', '/truncate-chunked', '/reset'])('that ends too soon (%s) is never taken for whole', async (path) => {
    await using server = await startUpstream({ certificate, protocol: 'h2' })
    await using client = sender(dialing(server.port))
    const { code, sink } = await got(client, outboundOf({ path }))
    expect([code, sink.trailers]).toEqual([expect.stringMatching(/^upstream_/), undefined])
  })

  it('with too many interim replies fails', async () => {
    await using server = await startUpstream({ certificate, protocol: 'h2' })
    await using client = sender(dialing(server.port))
    expect(await got(client, outboundOf({ path: '/many-1xx/200' }))).toMatchObject({ code: 'upstream_protocol' })
  })

  it.each(['informational', 'head', 'data', 'end'] as const)('whose %s the sink cannot take fails alone', async (what) => {
    await using server = await startUpstream({ certificate, protocol: 'h2' })
    await using client = sender(dialing(server.port))
    const { Sink } = await import('./parts.ts')
    const sink = Object.assign(new Sink(), {
      [what]: () => {
        throw new TypeError('not this')
      },
    })
    const path = what === 'informational' ? '/103' : '/json'
    await expect(client.send(outboundOf({ path }), undefined, sink, new AbortController().signal)).rejects.toMatchObject({
      code: 'upstream_protocol',
    })
    expect((await got(client)).sink.status).toBe(200)
  })
})

describe('a request over HTTP/2', () => {
  it.each([
    ['a refusal', new ProxyError('real_value_seen'), 'real_value_seen'],
    ['an agent that left', new Error('gone'), 'upstream_reset'],
  ])('whose body is broken off by %s is never whole for the host', async (_name, error, code) => {
    const seen = { ended: 'reading' }
    // What comes first counts: a reset after the end comes too late.
    const end = (how: string) => (seen.ended = seen.ended === 'reading' ? how : seen.ended)
    await using server = await scripted((stream) => {
      stream.on('end', () => end(stream.aborted ? 'aborted' : 'whole'))
      stream.on('aborted', () => end('aborted'))
      stream.resume()
    })
    await using client = sender(dialing(server.port))
    async function* chunks(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('half')
      await sleep(30)
      throw error
    }
    expect(await got(client, grpc(), { chunks: chunks(), length: undefined, trailers: () => [] })).toMatchObject({ code })
    for (let i = 0; i < 50 && seen.ended === 'reading'; i += 1) await sleep(5)
    expect(seen.ended).toBe('aborted')
  })

  it('with trailers that HTTP/2 does not know fails alone', async () => {
    await using server = await startUpstream({ certificate, protocol: 'h2' })
    await using client = sender(dialing(server.port))
    expect((await got(client, grpc(), bodyOf(['x'], ['connection', 'close']))).code).toBe('malformed_request')
    expect((await got(client, grpc(), bodyOf(['x'], ['content-type', 'a', 'content-type', 'b']))).sink.status).toBe(200)
  })

  it('ends when the agent goes', async () => {
    await using server = await startUpstream({ certificate, protocol: 'h2' })
    await using client = sender(dialing(server.port))
    const controller = new AbortController()
    const hanging = got(client, outboundOf({ path: '/hang' }), undefined, controller.signal)
    for (let i = 0; i < 100 && server.requests.length === 0; i += 1) await sleep(5)
    controller.abort()
    expect((await hanging).code).toBeDefined()
  })
})
