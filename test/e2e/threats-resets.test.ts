/** The threat list, part G: resets in any state, and floods of h2 frames. The process lives, nothing is left open, others are served. */
import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { buildClientHello } from '../kit/client-hello.ts'
import { block, flags, frame, greeting, pseudo, request } from '../kit/frames.ts'
import { connectThroughProxy, openTcp, openTls } from '../kit/raw.ts'
import type { RawUpstream } from '../kit/raw-upstream.ts'
import { wire, type Wire } from '../kit/wire.ts'
import { eventually, get, scripted, uncounted } from './threat-floods.ts'
import { bob, startRig, stub, type Rig, type Verdict } from './threat-rig.ts'

let rig: Rig<{ raw: RawUpstream }>
/** What the raw host does when it has read a request head. */
let onRequest: (wire: Wire) => void | Promise<void> = () => {}

beforeAll(async () => {
  rig = await startRig<{ raw: RawUpstream }>({
    rules: '  - {id: raw, hosts: [raw.test]}',
    upstreams: {
      raw: scripted('raw.test', (wire) => onRequest(wire)),
    },
  })
})
afterAll(() => rig[Symbol.asyncDispose]())

const servedToBob = async (): Promise<number> =>
  (await rig.say('https', get('other.test'), { name: 'other.test', from: bob })).status

const idle = async (): Promise<boolean> => !/^ironproxy_connections_active\{.*\} [1-9]/m.test(await rig.ask('/metrics'))

describe('a reset in any state leaves nothing behind', () => {
  const auth = `Authorization: Bearer ${stub}\r\n`
  const reset = (socket: Socket): void => void socket.resetAndDestroy()
  const states: Readonly<Record<string, () => Promise<void>>> = {
    'after connecting': async () => {
      for (const port of [rig.scene.ports.http, rig.scene.ports.https, rig.scene.ports.proxy]) reset(await openTcp({ port }))
    },
    'in the greeting': async () => {
      const socket = await openTcp({ port: rig.scene.ports.https })
      socket.write(buildClientHello({ names: ['good.test'] }).subarray(0, 100))
      await sleep(10)
      reset(socket)
    },
    'after the greeting': async () => resetBelow(await openTcp({ port: rig.scene.ports.https }), ''),
    'in the head': async () => resetBelow(await openTcp({ port: rig.scene.ports.https }), 'GET / HTTP/1.1\r\nHo'),
    'after the head': async () => resetBelow(await openTcp({ port: rig.scene.ports.https }), get('good.test', '/hang', auth)),
    'in the body': async () =>
      resetBelow(
        await openTcp({ port: rig.scene.ports.https }),
        `POST /upload HTTP/1.1\r\nHost: good.test\r\nContent-Length: 100000\r\n\r\npart`,
      ),
    'in the reply': async () =>
      resetBelow(await openTcp({ port: rig.scene.ports.https }), get('good.test', '/download/50000000', auth)),
    'behind a refusal': async () => resetBelow(await openTcp({ port: rig.scene.ports.https }), get('evil.test')),
    'with replies in the queue': async () =>
      resetBelow(
        await openTcp({ port: rig.scene.ports.https }),
        get('good.test', '/slow/200', auth) + get('good.test') + get('evil.test'),
      ),
    'in a websocket': async () =>
      resetBelow(
        await openTcp({ port: rig.scene.ports.https }),
        get(
          'good.test',
          '/ws',
          'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n',
        ),
      ),
    'after a CONNECT': async () => reset(await connectThroughProxy(rig.scene.ports.proxy, 'good.test:443')),
    'in TLS inside a CONNECT': async () =>
      resetBelow(await connectThroughProxy(rig.scene.ports.proxy, 'good.test:443'), get('good.test', '/hang', auth)),
    'with h2 streams open': async () =>
      resetBelow(
        await openTcp({ port: rig.scene.ports.https }),
        Buffer.concat([
          greeting,
          request(1, pseudo('good.test', '/hang')),
          request(3, pseudo('good.test', '/download/50000000')),
        ]),
        'h2',
      ),
  }

  async function resetBelow(tcp: Socket, bytes: string | Buffer, protocol = 'http/1.1'): Promise<void> {
    const secure = await openTls({ port: 0, over: tcp, servername: 'good.test', ca: rig.scene.files.ca, alpn: [protocol] })
    if (bytes.length > 0) secure.write(bytes)
    await sleep(30)
    tcp.resetAndDestroy()
    secure.destroy()
  }

  test.each(Object.keys(states))('%s', async (state) => {
    await rig.watched(
      [],
      async () => {
        await Promise.all(Array.from({ length: 5 }, async () => states[state]?.()))
        expect(await eventually(idle)).toBe(true)
      },
      uncounted,
    )
  })

  test.each<[string, string]>([
    ['before its head', ''],
    ['in its head', 'HTTP/1.1 200 OK\r\nConte'],
    ['in its body', 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart'],
    ['in an interim reply', 'HTTP/1.1 103 Early Hints\r\nLi'],
  ])('of the host, %s', async (_, bytes) => {
    onRequest = (accepted) => {
      accepted.write(bytes)
      setTimeout(() => (accepted.socket as Socket).destroy(), 20)
    }
    const { value } = await rig.watched(['upstream_reset', 'upstream_reset'] satisfies Verdict[], async () => [
      await rig.say('https', get('raw.test'), { name: 'raw.test' }),
      await rig.h2({ ':authority': 'raw.test', ':path': '/x' }, { name: 'raw.test' }),
    ])
    const [h1, h2] = value
    expect(h1?.status === 502 || (h1 && 'replies' in h1 && h1.replies.at(-1)?.complete === false)).toBe(true)
    expect(h2?.status === 502 || (h2 && 'resetCode' in h2 && h2.resetCode !== 0)).toBe(true)
  })
})

describe('floods of h2 frames end their session, and nothing else', () => {
  let floods = 0
  const many = (count: number, make: (i: number) => Buffer): Buffer =>
    Buffer.concat(Array.from({ length: count }, (_, i) => make(i)))
  const id = (i: number): number => 2 * i + 1
  const uint32 = (value: number): Buffer => {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32BE(value)
    return bytes
  }
  test.each<[string, () => Buffer]>([
    [
      'rapid reset',
      () =>
        many(20_000, (i) =>
          Buffer.concat([request(id(i), pseudo('good.test', '/flood')), frame('rstStream', 0, id(i), uint32(8))]),
        ),
    ],
    [
      'resets that we are made to send (MadeYouReset)',
      () =>
        many(5000, (i) =>
          Buffer.concat([request(id(i), pseudo('good.test', '/flood')), frame('windowUpdate', 0, id(i), uint32(0))]),
        ),
    ],
    ['SETTINGS', () => many(50_000, () => frame('settings', 0, 0))],
    [
      'SETTINGS of ten thousand entries',
      () =>
        many(30, () =>
          frame(
            'settings',
            0,
            0,
            many(2000, (i) => Buffer.concat([Buffer.from([0, 200]), uint32(i)])),
          ),
        ),
    ],
    ['PING', () => many(50_000, () => frame('ping', 0, 0, Buffer.alloc(8)))],
    [
      'CONTINUATION without end',
      () =>
        Buffer.concat([
          frame('headers', 0, 1, block(...pseudo('good.test', '/flood'))),
          many(5000, (i) => frame('continuation', 0, 1, block([`x-${i}`, 'y'.repeat(500)]))),
        ]),
    ],
    [
      'CONTINUATION of nothing',
      () =>
        Buffer.concat([
          frame('headers', 0, 1, block(...pseudo('good.test', '/flood'))),
          many(50_000, () => frame('continuation', 0, 1)),
        ]),
    ],
    [
      'empty DATA',
      () =>
        Buffer.concat([
          request(1, pseudo('good.test', '/hang', 'POST'), flags.endHeaders),
          many(50_000, () => frame('data', 0, 1)),
        ]),
    ],
    ['windows past their limit', () => many(10, () => frame('windowUpdate', 0, 0, uint32(0x7fffffff)))],
    ['headers that are refused', () => many(5000, (i) => request(id(i), [...pseudo('good.test', '/flood'), [':method', 'X']]))],
    // One entry of 4 KiB in the table, named 4000 times in each request (RFC 7541 section 7.3).
    [
      'small blocks that swell',
      () =>
        Buffer.concat([
          frame(
            'headers',
            5,
            1,
            Buffer.concat([
              block(...pseudo('good.test', '/flood')),
              Buffer.from([0x40]),
              block(['x-a', 'a'.repeat(4000)]).subarray(1),
            ]),
          ),
          many(100, (i) =>
            frame('headers', 5, id(i + 1), Buffer.concat([block(...pseudo('good.test', '/flood')), Buffer.alloc(4000, 0xbe)])),
          ),
        ]),
    ],
  ])('%s', async (_, make) => {
    const before = { memory: process.memoryUsage().rss, connections: rig.scene.upstreams.main.connections.length }
    floods += 1
    await rig.watched(
      [],
      async () => {
        const socket = await openTls({
          port: rig.scene.ports.https,
          // Another address of alice: what one flood has used up is not missing from the next.
          from: `127.0.1.${floods}`,
          servername: 'good.test',
          ca: rig.scene.files.ca,
          alpn: ['h2'],
        })
        const line = wire(socket)
        line.write(Buffer.concat([greeting, make()]))
        expect(await servedToBob()).toBe(200)
        await line.read(undefined, 500)
        socket.destroy()
        expect(await eventually(idle)).toBe(true)
      },
      uncounted,
    )
    // What was taken back in the same breath costs nobody a connection.
    expect(rig.scene.upstreams.main.connections.length - before.connections).toBeLessThan(200)
    expect((process.memoryUsage().rss - before.memory) / 2 ** 20).toBeLessThan(300)
  })
})
