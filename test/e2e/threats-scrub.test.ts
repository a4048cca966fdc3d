/** The threat list, part D: real values never come back, and a host that fails tells no more than that. */
import { setTimeout as sleep } from 'node:timers/promises'
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { formsOf } from '../kit/canary.ts'
import type { RawUpstream } from '../kit/raw-upstream.ts'
import type { Wire } from '../kit/wire.ts'
import { scripted } from './threat-floods.ts'
import { bob, fieldOf, startRig, type Heard, type Rig, type SayOptions, type Verdict } from './threat-rig.ts'

let rig: Rig<{ raw: RawUpstream }>
/** What the raw host does when it has read a request head. */
let onRequest: (wire: Wire) => void | Promise<void> = () => {}

beforeAll(async () => {
  rig = await startRig<{ raw: RawUpstream }>({
    credentials: `
  raw: {kind: bearer, stub: proxy-token-raw, secret: {file: secrets/raw}, hosts: [raw.test]}
  gone: {kind: bearer, stub: proxy-token-gone, secret: {file: secrets/gone}, hosts: [refused.test, unknown.zone2.test]}`,
    rules: `
  - {id: raw, hosts: [raw.test], credentials: [raw]}
  - {id: gone, hosts: [refused.test, unknown.zone2.test], credentials: [gone]}`,
    secrets: ['raw', 'gone'],
    // Nothing listens on port 1 of loopback.
    settings: { upstream: { hosts: { 'refused.test': '127.0.0.1:1' } } },
    upstreams: {
      raw: scripted('raw.test', (wire) => onRequest(wire)),
    },
  })
})
afterAll(() => rig[Symbol.asyncDispose]())

const head = (host: string, lines: string, target = '/x', method = 'GET'): string =>
  `${method} ${target} HTTP/1.1\r\nHost: ${host}\r\n${lines}\r\n`
const ask = (host: string, lines: string, target = '/x', options: SayOptions = {}): Promise<Heard> =>
  rig.say('https', head(host, lines, target), { name: host, ...options })
const bearer = (token: string): string => `Authorization: Bearer ${token}\r\n`

describe('a host that sends the real value back: the agent reads the stub', () => {
  const own = 'proxy-token-raw'
  const chunked = (parts: readonly (string | Buffer)[], more = ''): Buffer =>
    Buffer.concat([
      Buffer.from(`HTTP/1.1 200 OK\r\n${more}Transfer-Encoding: chunked\r\n\r\n`),
      ...parts.flatMap((part) =>
        part.length > 0 ? [Buffer.from(`${part.length.toString(16)}\r\n`), Buffer.from(part), Buffer.from('\r\n')] : [],
      ),
      Buffer.from('0\r\n\r\n'),
    ])
  const replying = (bytes: Buffer): void => void (onRequest = (wire) => wire.write(bytes))

  test.each(Object.keys(formsOf('x')))('%s, cut at each byte', async (form) => {
    const text = formsOf(rig.real('raw'))[form] ?? ''
    const parts = Array.from({ length: text.length - 1 }, (_, i) => [`<${text.slice(0, i + 1)}`, `${text.slice(i + 1)}>`]).flat()
    replying(chunked(parts))
    const { value, records } = await rig.watched(['allow'], () => ask('raw.test', bearer(own)))
    expect(value.replies[0]?.complete).toBe(true)
    expect(records[0]?.scrubbed).toEqual({ raw: text.length - 1 })
  })

  test('one byte in each chunk, and each on its own', async () => {
    onRequest = async (wire) => {
      wire.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
      for (const byte of rig.real('raw')) {
        wire.write(`1\r\n${byte}\r\n`)
        await sleep(1)
      }
      wire.write('0\r\n\r\n')
    }
    const { value } = await rig.watched(['allow'], () => ask('raw.test', bearer(own)))
    // The first bytes may be a coincidence and are not kept waiting; past four of them they are.
    expect(value.replies[0]?.body.toString()).toMatch(new RegExp(`^c?a?n?a?${own}$`))
  })

  test.each<[string, (bytes: Buffer) => Buffer]>([
    ['gzip', gzipSync],
    ['x-gzip', gzipSync],
    ['deflate', deflateSync],
    ['deflate', deflateRawSync],
    ['br', brotliCompressSync],
    ['zstd', zstdCompressSync],
    ['gzip, br', (bytes) => brotliCompressSync(gzipSync(bytes))],
    ['identity', (bytes) => bytes],
  ])('coded as %s', async (coding, encode) => {
    const bytes = encode(Buffer.from(`token=${rig.real('raw')};`))
    replying(
      chunked(
        Array.from({ length: Math.ceil(bytes.length / 7) }, (_, i) => bytes.subarray(i * 7, i * 7 + 7)),
        `Content-Encoding: ${coding}\r\n`,
      ),
    )
    const { value } = await rig.watched(['allow'], () =>
      ask('raw.test', `${bearer(own)}Accept-Encoding: gzip, br, zstd, deflate, exotic\r\n`),
    )
    expect(value.replies[0]?.body.toString()).toMatch(new RegExp(`^token=c?a?n?a?${own};$`))
  })

  test.each<[string, string]>([
    ['a coding that cannot be undone', 'Content-Encoding: exotic\r\n'],
    ['compress', 'Content-Encoding: compress\r\n'],
    ['four codings on each other', 'Content-Encoding: gzip, gzip, gzip, gzip\r\n'],
    ['a coding hidden in a second line', 'Content-Encoding: identity\r\nContent-Encoding: exotic\r\n'],
  ])('%s: refused, since it cannot be searched', async (_, line) => {
    replying(chunked([rig.real('raw')], line))
    const { value } = await rig.watched(['reply_undecodable'], () => ask('raw.test', bearer(own)))
    expect(value.status).toBe(502)
  })

  test.each<[string, (real: string) => string]>([
    ['a header', (real) => `HTTP/1.1 200 OK\r\nX-Echo: Bearer ${real}\r\nContent-Length: 2\r\n\r\nok`],
    ['a header’s name', (real) => `HTTP/1.1 200 OK\r\nX-${Buffer.from(real).toString('hex')}: 1\r\nContent-Length: 2\r\n\r\nok`],
    [
      'Location',
      (real) => `HTTP/1.1 302 Found\r\nLocation: https://evil.test/?t=${encodeURIComponent(real)}\r\nContent-Length: 2\r\n\r\nok`,
    ],
    ['Set-Cookie', (real) => `HTTP/1.1 200 OK\r\nSet-Cookie: t=${real}\r\nContent-Length: 2\r\n\r\nok`],
    [
      'WWW-Authenticate',
      (real) =>
        `HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer realm="${Buffer.from(real).toString('base64')}"\r\nContent-Length: 2\r\n\r\nok`,
    ],
    ['the reason', (real) => `HTTP/1.1 200 ${real}\r\nContent-Length: 2\r\n\r\nok`],
    [
      'an interim reply',
      (real) => `HTTP/1.1 103 Early Hints\r\nLink: <https://x/?${real}>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok`,
    ],
    [
      'a trailer',
      (real) => `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-t\r\n\r\n2\r\nok\r\n0\r\nX-T: ${real}\r\n\r\n`,
    ],
    [
      'a trailer’s name',
      (real) =>
        `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-${Buffer.from(real).toString('hex')}: 1\r\n\r\n`,
    ],
    [
      'an event stream',
      (real) =>
        `HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n${`data: ${real}\n\n`.length.toString(16)}\r\ndata: ${real}\n\n\r\n0\r\n\r\n`,
    ],
    ['an error page', (real) => `HTTP/1.1 500 Oops\r\nContent-Length: ${`bad token ${real}`.length}\r\n\r\nbad token ${real}`],
    [
      'a switch of protocols',
      (real) => `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Echo: ${real}\r\n\r\n`,
    ],
  ])('in %s, over HTTP/1.1 and h2', async (place, write) => {
    onRequest = (wire) => {
      wire.write(write(rig.real('raw')))
      if (place.startsWith('a switch')) wire.socket.end()
    }
    if (place.startsWith('a switch')) {
      const upgrade =
        'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n'
      await rig.watched([], () => ask('raw.test', bearer(own) + upgrade, '/ws', { until: () => false }))
      return
    }
    const { value } = await rig.watched(['allow', 'allow'], async () => {
      const h1 = await ask('raw.test', bearer(own))
      const h2 = await rig.h2({ ':authority': 'raw.test', ':path': '/x', authorization: `Bearer ${own}` }, { name: 'raw.test' })
      return { h1, h2 }
    })
    expect(value.h1.status).toBe(value.h2.status)
    // A host that knows the value could mint a session from it.
    expect(
      value.h1.replies
        .flatMap(({ rawHeaders }) => rawHeaders)
        .join('\n')
        .toLowerCase(),
    ).not.toContain('set-cookie')
  })

  test('to an agent that sent no credential, and to one that may not use it: scrubbed all the same', async () => {
    replying(Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${rig.real('raw').length}\r\n\r\n${rig.real('raw')}`))
    const { value } = await rig.watched(['allow', 'allow'], async () => [
      await ask('raw.test', ''),
      await ask('raw.test', '', '/x', { from: bob }),
    ])
    expect(value.map(({ replies }) => replies[0]?.body.toString())).toEqual([own, own])
  })

  test('a redirect is passed on and never followed', async () => {
    replying(Buffer.from('HTTP/1.1 302 Found\r\nLocation: https://evil.test/\r\nContent-Length: 0\r\n\r\n'))
    const before = [rig.scene.upstreams.trap.connections.length, rig.scene.resolver.packets.length]
    const { value } = await rig.watched(['allow'], () => ask('raw.test', bearer(own)))
    expect(fieldOf(value.replies[0] ?? { rawHeaders: [] }, 'location')).toBe('https://evil.test/')
    expect([rig.scene.upstreams.trap.connections.length, rig.scene.resolver.packets.length]).toEqual(before)
  })
})

describe('when the host fails, the answer is a code and an id: no address, no stack, no value', () => {
  test.each<[string, string, Verdict, number]>([
    ['refuses the connection', 'refused.test', 'upstream_unreachable', 502],
    ['has no address', 'unknown.zone2.test', 'upstream_unresolved', 502],
  ])('it %s', async (_, host, code, status) => {
    const { value } = await rig.watched([code], () => ask(host, bearer('proxy-token-gone')))
    expect(value).toMatchObject({ status, code })
    expect(value.bytes.toString()).not.toMatch(/127\.0\.0\.1|ECONN|ENOTFOUND|at .*\.ts|node:/)
  })

  test('it resets after the head was sent: one attempt, and no second one', async () => {
    let heads = 0
    onRequest = (wire) => {
      heads += 1
      wire.socket.destroy()
    }
    const { value } = await rig.watched(['upstream_reset'], () =>
      rig.say('https', `${head('raw.test', `${bearer('proxy-token-raw')}Content-Length: 2\r\n`, '/x', 'POST')}ok`, {
        name: 'raw.test',
      }),
    )
    expect({ status: value.status, heads }).toEqual({ status: 502, heads: 1 })
  })
})
