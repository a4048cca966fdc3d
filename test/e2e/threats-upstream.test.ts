/** The threat list, part B: a host that answers with whatever it likes. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { frame } from '../kit/frames.ts'
import { onEachHead, startRawUpstream, type RawUpstream } from '../kit/raw-upstream.ts'
import { repliesOf } from '../kit/reply.ts'
import type { Wire } from '../kit/wire.ts'
import { fieldOf, startRig, told, type Heard, type Rig, type SayOptions, type Verdict } from './threat-rig.ts'

let rig: Rig<{ raw: RawUpstream }>
/** What the raw host does when it has read a request head. */
let onRequest: (wire: Wire) => void | Promise<void> = () => {}

beforeAll(async () => {
  rig = await startRig<{ raw: RawUpstream }>({
    rules: '  - {id: raw, hosts: [raw.test, scoped.raw.test], credentials: [raw]}',
    credentials: '  raw: {kind: bearer, stub: proxy-token-raw, secret: {file: secrets/raw}, hosts: [scoped.raw.test]}',
    secrets: ['raw'],
    upstreams: {
      raw: {
        hosts: ['raw.test', 'scoped.raw.test'],
        start: ({ certificate }) =>
          startRawUpstream(
            { certificate },
            onEachHead((wire) => onRequest(wire)),
          ),
      },
    },
  })
})
afterAll(() => rig[Symbol.asyncDispose]())

describe('a host that answers out of order', () => {
  const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
  const poisoned = 'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned'
  const scoped: SayOptions = { name: 'scoped.raw.test' }
  const ask = (host: string): string =>
    `GET /r HTTP/1.1\r\nHost: ${host}\r\n${host === 'scoped.raw.test' ? 'Authorization: Bearer proxy-token-raw\r\n' : ''}Connection: close\r\n\r\n`

  /** Answers each request head with these bytes; `end` closes behind them. */
  function answering(bytes: string | Buffer, end = false): void {
    onRequest = (wire) => {
      wire.write(bytes)
      if (end) wire.socket.end()
    }
  }
  const askBoth = async (): Promise<readonly Heard[]> => [
    await rig.say('https', ask('raw.test'), { name: 'raw.test', until: () => false }),
    await rig.say('https', ask('scoped.raw.test'), { ...scoped, until: () => false }),
  ]

  test.each<[string, string, boolean?]>([
    ['both a length and chunks', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok'],
    ['two equal lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok'],
    ['a list of lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok'],
    ['gzip, chunked', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n'],
    [
      'gzip and chunked, a line each',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
    ],
    ['chunked, gzip', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\nok', true],
    ['deflate', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: deflate\r\n\r\nok', true],
    ['identity', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nok', true],
    ['chunked with a parameter', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked;q=1\r\n\r\n2\r\nok\r\n0\r\n\r\n'],
    ['chunked twice', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n'],
    [
      'chunked twice, a line each',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
    ],
    ['chunks in HTTP/1.0', 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n'],
    ['chunks under another spelling', 'HTTP/1.1 200 OK\r\nTransfer_Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n'],
    ['a 204 with a length', 'HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello'],
    ['a 204 with chunks', 'HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['an interim reply with a length', `HTTP/1.1 103 Early Hints\r\nContent-Length: 2\r\n\r\nok${ok}`],
    ['an interim reply with chunks', `HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${ok}`],
    ['a 304 with a coding', 'HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: gzip, chunked\r\n\r\n'],
    ['bare LFs', 'HTTP/1.1 200 OK\nContent-Length: 2\n\nok'],
    ['one bare LF', 'HTTP/1.1 200 OK\r\nX-A: b\nContent-Length: 2\r\n\r\nok'],
    ['a length below nought', 'HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok'],
    ['a folded line', 'HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 2\r\n\r\nok'],
    ['a bare CR in a header', 'HTTP/1.1 200 OK\r\nX-A: b\rX: c\r\nContent-Length: 2\r\n\r\nok'],
    ['NUL in a header', 'HTTP/1.1 200 OK\r\nX-A: b\0\r\nContent-Length: 2\r\n\r\nok'],
    ['a header name with a space', 'HTTP/1.1 200 OK\r\nX A: b\r\nContent-Length: 2\r\n\r\nok'],
    ['a status of four digits', 'HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok'],
    ['a status below 100', 'HTTP/1.1 099 No\r\nContent-Length: 2\r\n\r\nok'],
    ['another protocol', 'SSH-2.0-OpenSSH_9.2\r\n\r\n'],
    ['h2 frames', frame('settings', 0, 0).toString('latin1') + frame('goaway', 0, 0, Buffer.alloc(8)).toString('latin1')],
    ['a head that never ends', `HTTP/1.1 200 OK\r\nX-A: ${'a'.repeat(200_000)}`],
    [
      'a switch of protocols that nobody asked for',
      'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
    ],
    ['nothing', '', true],
    ['half a head', 'HTTP/1.1 200 OK\r\nContent-Le', true],
    ['interim replies without end', 'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n'.repeat(20_000)],
  ])('%s: 502 and nothing of it', async (_, bytes, end) => {
    answering(bytes, end)
    const { value } = await rig.watched(told, askBoth)
    for (const { status, code, replies } of value) {
      expect(status).toBe(502)
      expect(['upstream_protocol', 'upstream_reset']).toContain(code)
      expect(replies.length).toBeLessThan(20)
    }
  })

  test('a status beyond the known ones, and a reason with a control byte: passed on without the reason, or 502', async () => {
    answering('HTTP/1.1 999 N\x01o\r\nContent-Length: 2\r\n\r\nok')
    const { value } = await rig.watched(
      (all) => all.map(({ code }) => (code ?? 'allow') as Verdict),
      async () => [...(await askBoth()), await rig.h2({ ':authority': 'raw.test', ':path': '/r' }, { name: 'raw.test' })],
    )
    for (const { status } of value) expect([502, 999]).toContain(status)
    expect(value.map((each) => ('bytes' in each ? each.bytes.toString('latin1') : '')).join('')).not.toContain('\x01')
  })

  test.each<[string, string, boolean]>([
    ['a body cut short', 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes.', true],
    ['a chunk cut short', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nten bytes.', true],
    ['chunks without their last', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nten bytes.\r\n', true],
    ['a chunk size that is none', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nten bytes.\r\nzz\r\n', false],
    [
      'gzip that is not gzip',
      'HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\na\r\n\x1f\x8b\x08bytes..\r\n',
      true,
    ],
  ])('%s: never a clean end', async (_, bytes, end) => {
    answering(bytes, end)
    const { value } = await rig.watched(['upstream_reset', 'upstream_reset'], askBoth)
    for (const { replies, status } of value) expect(status === 502 || replies.at(-1)?.complete === false).toBe(true)
  })

  test.each<[string, string]>([
    ['a second reply at once', `${ok}HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned`],
    ['a body behind a 204', 'HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned'],
    ['a body behind a 304', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 8\r\n\r\npoisoned'],
    [
      'a body behind chunks of a 304',
      'HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n8\r\npoisoned\r\n0\r\n\r\n',
    ],
    ['a body behind an empty 205', 'HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\npoisoned'],
    [
      'a reply behind the chunks of a 205',
      `HTTP/1.1 205 Reset Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${poisoned}`,
    ],
    ['a reply behind the last chunk', `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n${poisoned}`],
    ['a reply behind trailers', `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 1\r\n\r\n${poisoned}`],
    ['more body than its length', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokpoisoned'],
    ['an interim reply behind the final one', `${ok}HTTP/1.1 103 Early Hints\r\nLink: poisoned\r\n\r\n`],
    ['one byte more', `${ok}p`],
  ])('%s: the next request gets its own answer', async (_, bytes) => {
    let answered = 0
    onRequest = (wire) => wire.write((answered += 1) === 1 ? bytes : ok)
    const { value } = await rig.watched(['allow', 'allow'], async () => [
      await rig.say('https', ask('raw.test'), { name: 'raw.test' }),
      await rig.say('https', ask('raw.test'), { name: 'raw.test' }),
    ])
    expect(value[0]?.bytes.toString()).not.toContain('poisoned')
    expect(value[1]?.replies.at(-1)?.body.toString()).toBe('ok')
  })

  test('a reply that comes while the connection idles: the next request gets its own', async () => {
    let answered = 0
    onRequest = async (wire) => {
      wire.write(ok)
      if ((answered += 1) > 1) return
      await sleep(30)
      wire.write('HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned')
    }
    const { value } = await rig.watched(['allow', 'allow'], async () => {
      await rig.say('https', ask('raw.test'), { name: 'raw.test' })
      await sleep(80)
      return rig.say('https', ask('raw.test'), { name: 'raw.test' })
    })
    expect(value.replies.at(-1)?.body.toString()).toBe('ok')
  })

  test('a switch to websocket with bytes at once: they come through, and nothing before the 101 does', async () => {
    answering(
      'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nAlt-Svc: h3=":443"\r\n\r\nframes',
      true,
    )
    const upgrade =
      'GET /ws HTTP/1.1\r\nHost: raw.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n'
    const { value, records } = await rig.watched([], () => rig.say('https', upgrade, { name: 'raw.test', until: () => false }))
    expect(value.bytes.toString()).toMatch(/^HTTP\/1\.1 101 [^]*\r\n\r\nframes$/)
    expect(value.bytes.toString()).not.toContain('h3')
    expect(records.map(({ event }) => event)).toEqual(['open', 'close'])
  })

  test('header fields that end at this hop, or lead around the proxy, do not come back', async () => {
    answering(
      'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: x-secret-hop\r\nX-Secret-Hop: 1\r\nAlt-Svc: h3=":443"\r\nProxy-Authenticate: Basic\r\nUpgrade: h2c\r\nKeep-Alive: timeout=1\r\n\r\nok',
    )
    const { value } = await rig.watched(['allow'], () =>
      rig.say('https', ask('raw.test'), { name: 'raw.test', until: repliesOf(1) }),
    )
    const [reply] = value.replies
    for (const name of ['x-secret-hop', 'alt-svc', 'proxy-authenticate', 'upgrade', 'keep-alive']) {
      expect(reply && fieldOf(reply, name), name).toBeUndefined()
    }
  })
})
