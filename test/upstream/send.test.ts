import { gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { testAuthority } from '../kit/ca.ts'
import { replying, startRawUpstream } from '../kit/raw-upstream.ts'
import { startUpstream } from '../kit/upstream.ts'
import { dialing, got, outboundOf, sender } from './parts.ts'

const certificate = testAuthority().leaf('good.test')

function coded(body: Uint8Array, coding = 'gzip'): Buffer {
  return Buffer.concat([
    Buffer.from(`HTTP/1.1 200 OK\r\nContent-Encoding: ${coding}\r\nContent-Length: ${body.length}\r\n\r\n`),
    body,
  ])
}

describe('a reply that is to be searched', () => {
  it.each(['h1', 'h2'] as const)('comes decoded over %s, and is sent only when all of it has come', async (protocol) => {
    await using server = await startUpstream({ certificate, protocol })
    await using client = sender(dialing(server.port))
    for (const coding of ['gzip', 'br', 'zstd', 'deflate']) {
      const { sink } = await got(client, outboundOf({ path: '/echo', query: `?enc=${coding}&cut=10` }, { decode: true }))
      expect(sink.trailers, coding).toEqual([])
      expect(JSON.parse(sink.text)).toMatchObject({ url: `/echo?enc=${coding}&cut=10` })
      expect(sink.headers).not.toContain('content-encoding')
    }
  })

  it('is left as it is when nothing is searched for, and for HEAD', async () => {
    const bytes = coded(gzipSync('hello'))
    await using server = await startRawUpstream({ certificate }, replying(bytes, { close: true }))
    await using client = sender(dialing(server.port))
    expect((await got(client)).sink.headers).toContain('gzip')
    expect((await got(client, outboundOf({ method: 'HEAD' }, { decode: true }))).sink.headers).toContain('gzip')
  })

  it.each([
    ['cut short inside', coded(gzipSync('x'.repeat(10_000)).subarray(0, -12)), 'upstream_protocol'],
    ['not coded at all', coded(Buffer.from('plain text, whatever the header says')), 'upstream_protocol'],
    ['coded as nobody knows', coded(gzipSync('x'), 'exi'), 'reply_undecodable'],
  ])('fails when it is %s, and does not hang', async (_name, bytes, code) => {
    await using server = await startRawUpstream({ certificate }, replying(bytes))
    await using client = sender(dialing(server.port))
    const answer = await got(client, outboundOf({}, { decode: true }))
    expect([answer.code, answer.sink.trailers]).toEqual([code, undefined])
  })

  it('is given up when the agent goes while the decoder still holds some of it', async () => {
    await using server = await startRawUpstream({ certificate }, replying(coded(gzipSync(Buffer.alloc(8 << 20)))))
    await using client = sender(dialing(server.port))
    const { Sink } = await import('./parts.ts')
    const sink = new Sink()
    sink.ready = false
    const controller = new AbortController()
    const sending = client.send(outboundOf({}, { decode: true }), undefined, sink, controller.signal)
    setTimeout(() => controller.abort(), 80)
    await expect(sending).rejects.toMatchObject({ code: 'client_closed' })
  })
})

describe('where it was sent', () => {
  it('is known by address', async () => {
    await using server = await startUpstream({ certificate })
    await using client = sender(dialing(server.port))
    expect((await got(client)).address).toBe(`127.0.0.1:${server.port}`)
  })

  it('is told by what failed', async () => {
    await using client = sender(dialing(1, { hosts: new Map(), resolve: async () => ['10.0.0.1' as never] }))
    expect(await got(client)).toMatchObject({ code: 'destination_denied' })
    await using plain = await startRawUpstream(
      { certificate, plain: true },
      replying('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'),
    )
    await using other = sender(dialing(plain.port))
    expect((await got(other, outboundOf({ scheme: 'http', port: 80 }))).sink.text).toBe('ok')
  })
})
