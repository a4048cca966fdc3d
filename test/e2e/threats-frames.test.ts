/** The threat list, part B: h2 that is not in order never becomes a request that somebody is sent. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { block, ended, flags, frame, greeting, parseFrames, pseudo, request } from '../kit/frames.ts'
import { exchange, openTls } from '../kit/raw.ts'
import { codeIn, smuggled, startRig, stub, type Rig, type Verdict } from './threat-rig.ts'

let rig: Rig

beforeAll(async () => {
  rig = await startRig()
})
afterAll(() => rig[Symbol.asyncDispose]())

describe('h2 that is not in order never becomes an HTTP/1.1 request', () => {
  const fields = (...more: readonly (readonly [string, string])[]): Buffer =>
    request(1, [...pseudo('good.test', '/h2-broken'), ...more])
  test.each<[string, Buffer]>([
    ['capitals in a name', fields(['X-A', 'b'])],
    ['Connection', fields(['connection', 'close'])],
    ['Transfer-Encoding', fields(['transfer-encoding', 'chunked'])],
    ['Upgrade', fields(['upgrade', 'websocket'])],
    ['Keep-Alive', fields(['keep-alive', '1'])],
    ['TE other than trailers', fields(['te', 'gzip'])],
    [':method twice', fields([':method', 'DELETE'])],
    [':path twice', request(1, [...pseudo('good.test', '/h2-broken'), [':path', '/other']])],
    [':authority twice', request(1, [...pseudo('good.test', '/h2-broken'), [':authority', 'evil.test']])],
    ['a pseudo-header behind an ordinary one', request(1, [['x-a', 'b'], ...pseudo('good.test', '/h2-broken')])],
    ['an unknown pseudo-header', request(1, [...pseudo('good.test', '/h2-broken'), [':protocol', 'websocket']])],
    ['a pseudo-header of replies', request(1, [...pseudo('good.test', '/h2-broken'), [':status', '200']])],
    ['no :path', request(1, pseudo('good.test').slice(0, 3))],
    ['no :method', request(1, pseudo('good.test').slice(1))],
    [
      'no :authority',
      request(
        1,
        pseudo('good.test').filter(([name]) => name !== ':authority'),
      ),
    ],
    ['an empty :path', request(1, pseudo('good.test', ''))],
    ['a space in :path', request(1, pseudo('good.test', '/h2-broken HTTP/1.1\r\nx: y'))],
    ['an absolute :path', request(1, pseudo('good.test', 'http://evil.test/h2-broken'))],
    [':path *', request(1, pseudo('good.test', '*', 'OPTIONS'))],
    [
      ':scheme ftp',
      request(1, [
        [':method', 'GET'],
        [':scheme', 'ftp'],
        [':authority', 'good.test'],
        [':path', '/h2-broken'],
      ]),
    ],
    [
      ':scheme http',
      request(1, [
        [':method', 'GET'],
        [':scheme', 'http'],
        [':authority', 'good.test'],
        [':path', '/h2-broken'],
      ]),
    ],
    [':method with a space', request(1, pseudo('good.test', '/h2-broken', 'GET /x'))],
    [
      ':method CONNECT',
      request(1, [
        [':method', 'CONNECT'],
        [':authority', 'good.test:443'],
      ]),
    ],
    [':method TRACE', request(1, pseudo('good.test', '/h2-broken', 'TRACE'))],
    ['userinfo in :authority', request(1, pseudo('x@good.test', '/h2-broken'))],
    ['Content-Length that is not one number', fields(['content-length', '1, 1'])],
    ['Content-Length twice', fields(['content-length', '0'], ['content-length', '1'])],
    ['a HEADERS frame on stream 0', frame('headers', 5, 0, block(...pseudo('good.test', '/h2-broken')))],
    ['a HEADERS frame on an even stream', request(2, pseudo('good.test', '/h2-broken'))],
    ['a header block that cannot be decoded', frame('headers', 5, 1, Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]))],
    ['DATA before HEADERS', frame('data', 1, 1, Buffer.from(smuggled))],
    [
      'a PUSH_PROMISE of a client',
      frame('pushPromise', 4, 1, Buffer.concat([Buffer.from([0, 0, 0, 2]), block(...pseudo('good.test', '/h2-broken'))])),
    ],
    ['padding longer than the frame', frame('headers', flags.padded | 5, 1, Buffer.from([255, 0]))],
    ['a frame larger than was agreed', frame('headers', 5, 1, Buffer.alloc(20_000))],
  ])('%s', async (_, bytes) => {
    const attack = async (): Promise<{ code: string | undefined; closed: boolean }> => {
      const socket = await openTls({ port: rig.scene.ports.https, servername: 'good.test', ca: rig.scene.files.ca, alpn: ['h2'] })
      const reading = await exchange(socket, Buffer.concat([greeting, bytes]), {
        until: ended(bytes.readUInt32BE(5)),
        timeout: 2000,
      })
      socket.destroy()
      rig.read('h2', reading.bytes)
      const data = parseFrames(reading.bytes)
        .filter(({ type }) => type === 'data')
        .map(({ payload }) => payload)
      return { code: codeIn(Buffer.concat(data)), closed: !reading.timedOut }
    }
    const before = rig.scene.upstreams.main.requests.length
    // What nghttp2 refuses is reset without becoming a request; what it lets pass is refused by name.
    const { value } = await rig.refused(({ code }) => (code === undefined ? [] : [code as Verdict]), attack)
    expect(value.closed).toBe(true)
    expect(rig.scene.upstreams.main.requests).toHaveLength(before)
  })

  test.each<[string, readonly [string, string]]>([
    ['CR LF in a value', ['x-a', 'b\r\nx-c: d']],
    ['LF in a value', ['x-a', 'b\nx-c: d']],
    ['NUL in a value', ['x-a', 'b\0']],
    ['CR in a value', ['x-a', 'b\rx-c: d']],
    ['DEL in a value', ['x-a', 'b\x7f']],
    ['a space in a name', ['x-a x-c', 'd']],
    ['CR LF in a name', ['x-a\r\nx-c', 'd']],
    ['a colon in a name', ['x-a: b\r\nx-c', 'd']],
    ['an empty name', ['', 'x-a']],
  ])('%s: nghttp2 leaves that field out, and nobody is sent any of it', async (_, field) => {
    await rig.watched(['allow'], async () => {
      const socket = await openTls({ port: rig.scene.ports.https, servername: 'good.test', ca: rig.scene.files.ca, alpn: ['h2'] })
      const bytes = request(1, [...pseudo('good.test', '/field-left-out'), field, ['x-kept', '1']])
      rig.read('h2', (await exchange(socket, Buffer.concat([greeting, bytes]), { until: ended(1) })).bytes)
      socket.destroy()
    })
    expect(rig.scene.upstreams.main.requests.at(-1)?.target).toBe('/field-left-out')
    expect(rig.scene.upstreams.main.requests.at(-1)?.rawHeaders).toEqual(['host', 'good.test', 'x-kept', '1'])
  })

  test.each<[string, readonly [string, string]]>([
    ['a space before a value', ['x-a', ' b']],
    ['a space behind a value', ['x-a', 'b ']],
    ['a tab before a value', ['x-a', '\tb']],
    ['a tab behind a value', ['x-a', 'b\t']],
    ['a space for a value', ['x-a', ' ']],
    ['a space around a credential', ['authorization', `Bearer ${stub} `]],
  ])('%s: refused', async (_, field) => {
    await rig.refused(['bad_header'], async () => {
      const socket = await openTls({ port: rig.scene.ports.https, servername: 'good.test', ca: rig.scene.files.ca, alpn: ['h2'] })
      const bytes = request(1, [...pseudo('good.test', '/padded'), field])
      rig.read('h2', (await exchange(socket, Buffer.concat([greeting, bytes]), { until: ended(1) })).bytes)
      socket.destroy()
    })
  })

  test.each<[string, string, string]>([
    ['a space before', 'before', ' b'],
    ['a space behind', 'behind', 'b '],
    ['a tab before', 'tab', '\tb'],
  ])('%s the value of a trailer: the host never sees a whole request', async (_, kind, value) => {
    const path = `/padded-trailer/${kind}`
    await rig.watched(['bad_header'], async () => {
      const socket = await openTls({ port: rig.scene.ports.https, servername: 'good.test', ca: rig.scene.files.ca, alpn: ['h2'] })
      const head = request(1, pseudo('good.test', path, 'POST'), flags.endHeaders)
      const bytes = Buffer.concat([greeting, head, frame('data', 0, 1, Buffer.from('hello')), request(1, [['x-sum', value]])])
      rig.read('h2', (await exchange(socket, bytes, { until: ended(1) })).bytes)
      socket.destroy()
    })
    await sleep(50)
    expect(rig.scene.upstreams.main.requests.filter(({ target, state }) => target === path && state === 'complete')).toEqual([])
  })

  test.each<[string, string, string]>([
    ['less', '10', 'hello'],
    ['more', '2', 'hello'],
  ])('%s data than Content-Length says: the host never sees a whole request', async (kind, length, body) => {
    const path = `/h2-length-${kind}`
    await rig.watched(
      (reply) => (reply.code ? [reply.code as Verdict] : ['client_closed']),
      () => rig.h2({ ':authority': 'good.test', ':method': 'POST', ':path': path, 'content-length': length }, { body }),
    )
    await sleep(50)
    expect(rig.scene.upstreams.main.requests.filter(({ target, state }) => target === path && state === 'complete')).toEqual([])
  })

  test.each<[string, number]>([
    ['RST_STREAM(NO_ERROR)', 0],
    ['RST_STREAM(STREAM_CLOSED)', 5],
    ['RST_STREAM(CANCEL)', 8],
  ])('a body that ends with %s: the host never sees a whole request', async (kind, code) => {
    const path = `/h2-reset/${encodeURIComponent(kind)}`
    await rig.watched(['client_closed'], async () => {
      const socket = await openTls({ port: rig.scene.ports.https, servername: 'good.test', ca: rig.scene.files.ca, alpn: ['h2'] })
      const begins = request(1, pseudo('good.test', path, 'POST'), flags.endHeaders)
      socket.write(Buffer.concat([greeting, begins, frame('data', 0, 1, Buffer.from('hello'))]))
      const seen = () => rig.scene.upstreams.main.requests.some(({ target, body }) => target === path && body.length > 0)
      for (let i = 0; i < 200 && !seen(); i += 1) await sleep(10)
      expect(seen()).toBe(true)
      socket.write(frame('rstStream', 0, 1, Buffer.from([0, 0, 0, code])))
      await sleep(50)
      socket.destroy()
    })
    expect(rig.scene.upstreams.main.requests.filter(({ target }) => target === path)).toMatchObject([{ state: 'aborted' }])
  })
})
