/** The threat list, part G: exhaustion, as far as a short test can tell. Floods are bounded, and others are served meanwhile. */
import { randomBytes } from 'node:crypto'
import type { Duplex } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { buildClientHello } from '../kit/client-hello.ts'
import { block, flags, frame, greeting, parseFrames, pseudo } from '../kit/frames.ts'
import { exchange, openTcp, openTls } from '../kit/raw.ts'
import type { RawUpstream } from '../kit/raw-upstream.ts'
import { headerOf } from '../kit/upstream.ts'
import type { Wire } from '../kit/wire.ts'
import { eventually, get, scripted, uncounted } from './threat-floods.ts'
import { alice, bob, startRig, stub, type Rig } from './threat-rig.ts'

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

async function metric(pattern: RegExp): Promise<number> {
  return Number(pattern.exec(await rig.ask('/metrics'))?.[1] ?? 0)
}

describe('heads that are too much', () => {
  test.each<[string, string]>([
    ['16 KiB and one byte of headers', `X-A: ${'a'.repeat(16 * 1024)}\r\n`],
    ['ten thousand small headers', Array.from({ length: 10_000 }, (_, i) => `a${i}: b\r\n`).join('')],
    ['201 headers', Array.from({ length: 201 }, (_, i) => `a${i}: b\r\n`).join('')],
  ])('%s: 431', async (_, lines) => {
    const { value } = await rig.refused(['head_too_large'], () =>
      rig.say('https', get('good.test', '/x', lines), { until: () => false }),
    )
    // What is still on its way to a closed connection may reset the answer out of the agent's hands.
    expect([431, 0]).toContain(value.status)
    expect(value.ending).not.toBe('open')
  })

  test('a path of a mebibyte: 431; one of almost 16 KiB is cut short in the record', async () => {
    await rig.refused(['head_too_large'], () =>
      rig.say('https', get('good.test', `/${'a'.repeat(1 << 20)}`), { until: () => false }),
    )
    const { records } = await rig.refused(['misdirected'], () => rig.say('https', get('other.test', `/${'a'.repeat(15_000)}`)))
    expect(JSON.stringify(records[0]).length).toBeLessThan(6 * 1024)
    const denied = await rig.refused(['host_denied'], () =>
      rig.say('https', get('evil.test', `/${'b'.repeat(15_000)}`), { name: 'evil.test' }),
    )
    expect(JSON.stringify(denied.records[0]).length).toBeLessThan(6 * 1024)
  })

  test.each<[string, readonly (readonly [string, string])[]]>([
    ['three thousand cookie crumbs', Array.from({ length: 3000 }, () => ['cookie', 'a=b'] as const)],
    ['16 KiB and more in one field', [['x-a', 'a'.repeat(16 * 1024)]]],
    ['250 fields', Array.from({ length: 250 }, (_, i) => [`a${i}`, 'b'] as const)],
  ])('over h2, %s: refused or reset', async (_, fields) => {
    const encoded = block(...pseudo('good.test', '/h2-large'), ...fields)
    const frames = [frame('headers', flags.endStream, 1, encoded.subarray(0, 16_000))]
    for (let at = 16_000; at < encoded.length; at += 16_000)
      frames.push(frame('continuation', 0, 1, encoded.subarray(at, at + 16_000)))
    frames.push(frame('continuation', flags.endHeaders, 1))
    await rig.refused(
      (closed) => (closed.includes('head_too_large') ? ['head_too_large'] : []),
      async () => {
        const socket = await openTls({
          port: rig.scene.ports.https,
          servername: 'good.test',
          ca: rig.scene.files.ca,
          alpn: ['h2'],
        })
        const { bytes } = await exchange(socket, Buffer.concat([greeting, ...frames]), {
          until: (got) =>
            parseFrames(got).some(
              ({ type, stream }) => type === 'goaway' || (stream === 1 && (type === 'rstStream' || type === 'data')),
            ),
        })
        socket.destroy()
        return bytes.toString('latin1')
      },
    )
  })
})

describe('names of one’s own choosing', () => {
  test('__proto__, constructor and their like are ordinary words in headers and queries', async () => {
    const names = ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', '__defineGetter__']
    const target = `/x?${names.map((name) => `${name}=1&${name}[a]=2`).join('&')}`
    await rig.watched(['allow', 'allow'], async () => [
      await rig.say('https', get('other.test', target, names.map((name) => `${name}: polluted\r\n`).join('')), {
        name: 'other.test',
      }),
      await rig.h2(
        { ':authority': 'other.test', ':path': target, constructor: 'polluted', tostring: 'polluted' },
        { name: 'other.test' },
      ),
    ])
    const [h1, h2] = rig.scene.upstreams.main.requests.slice(-2)
    for (const name of names) expect(headerOf(h1?.rawHeaders ?? [], name.toLowerCase()), name).toBe('polluted')
    expect(headerOf(h2?.rawHeaders ?? [], 'constructor')).toBe('polluted')
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
  })

  test('a reply with such headers passes too, over HTTP/1.1 and h2', async () => {
    onRequest = (accepted) =>
      void accepted.socket.end('HTTP/1.1 200 OK\r\n__proto__: a\r\nconstructor: b\r\nContent-Length: 2\r\n\r\nok')
    const { value } = await rig.watched(['allow', 'allow'], async () => [
      (await rig.say('https', get('raw.test'), { name: 'raw.test' })).status,
      (await rig.h2({ ':authority': 'raw.test', ':path': '/x' }, { name: 'raw.test' })).status,
    ])
    expect(value).toEqual([200, 200])
  })

  test('three hundred made-up hosts, paths and methods add no series', async () => {
    const session = async (i: number): Promise<void> => {
      const host = `${randomBytes(6).toString('hex')}.evil.test`
      await rig.say('proxy', get(host, `http://${host}/${randomBytes(6).toString('hex')}`))
      await rig.sayInside(`${host}:443`)
      await rig.say('http', `${'ABCDEFGHIJ'[i % 10]}${randomBytes(4).toString('hex')} / HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
    }
    // Past the allowance of certificates for denied names a CONNECT is refused outright: a series of its own.
    await rig.refused([], () => Promise.all(Array.from({ length: 40 }, (_, i) => session(i))), uncounted)
    const before = await rig.series()
    await rig.refused([], () => Promise.all(Array.from({ length: 100 }, (_, i) => session(i))), uncounted)
    expect(await rig.series()).toBe(before)
  })
})

describe('floods of names', () => {
  test('two hundred denied names by SNI: few leaves are made, the rest is closed, and the other agent is served', async () => {
    const minted = (): Promise<number> => metric(/tls_leafs_minted_total\{result="denied"\} (\d+)/)
    const before = await minted()
    const { value } = await rig.watched(
      [],
      async () => {
        const greetings = Array.from({ length: 200 }, () =>
          rig.greet('https', buildClientHello({ names: [`${randomBytes(8).toString('hex')}.evil.test`] }), {
            from: alice,
            until: (got) => got.length > 5,
          }),
        )
        const status = await servedToBob()
        return { status, closed: (await Promise.all(greetings)).filter(({ bytes }) => bytes.length === 0).length }
      },
      uncounted,
    )
    expect(value.status).toBe(200)
    expect([rig.scene.upstreams.trap.connections.length, rig.scene.resolver.packets.length]).toEqual([0, 0])
    expect((await minted()) - before).toBeLessThanOrEqual(25)
    expect(value.closed).toBeGreaterThan(150)
    expect(await metric(/tls_leafs_minted_total\{result="refused"\} (\d+)/)).toBeGreaterThan(150)
  })

  test('a flood below an allowed wildcard keeps a bounded number of leaves, and nothing is asked of a resolver', async () => {
    await rig.refused(
      [],
      async () => {
        for (let i = 0; i < 12; i += 1) {
          await Promise.all(
            Array.from({ length: 100 }, () =>
              rig.greet('https', buildClientHello({ names: [`${randomBytes(8).toString('hex')}.zone.test`] }), {
                until: (got) => got.length > 5,
              }),
            ),
          )
        }
      },
      uncounted,
    )
    expect(await metric(/tls_leaf_cache_entries (\d+)/)).toBeLessThanOrEqual(1100)
  })
})

describe('connections that go nowhere', () => {
  test('two hundred slow and silent ones on each door: others are served, and all are let go', async () => {
    await rig.watched(
      [],
      async () => {
        const { ports } = rig.scene
        const sockets: Duplex[] = []
        for (let i = 0; i < 50; i += 1) {
          const [http, https, silent, proxy] = await Promise.all([
            openTcp({ port: ports.http }),
            openTcp({ port: ports.https }),
            openTcp({ port: ports.https }),
            openTcp({ port: ports.proxy }),
          ])
          http.write('GET / HTTP/1.1\r\nHost: pla')
          https.write(buildClientHello({ names: ['good.test'] }).subarray(0, 50))
          proxy.write('CONNECT good.test:443 HT')
          sockets.push(http, https, silent, proxy)
        }
        expect(await servedToBob()).toBe(200)
        for (const socket of sockets) socket.destroy()
        expect(await eventually(idle)).toBe(true)
      },
      uncounted,
    )
  })

  test('three hundred aborted handshakes leave nothing open', async () => {
    await rig.refused(
      [],
      async () => {
        await Promise.all(
          Array.from({ length: 300 }, async (_, i) => {
            const socket = await openTcp({ port: rig.scene.ports.https })
            socket.write(buildClientHello({ names: ['good.test'], alpn: [i % 2 ? 'h2' : 'unknown'] }))
            if (i % 3 === 0) await sleep(5)
            socket.resetAndDestroy()
          }),
        )
        expect(await eventually(idle)).toBe(true)
      },
      uncounted,
    )
  })

  test('one agent with a hundred hanging requests and unread replies: the other is served', async () => {
    await rig.watched(
      [],
      async () => {
        const sockets = await Promise.all(
          Array.from({ length: 100 }, async (_, i) => {
            const socket = await rig.open('https', { name: 'good.test', from: alice })
            socket.pause()
            socket.write(get('good.test', i % 2 ? '/hang' : '/download/50000000', `Authorization: Bearer ${stub}\r\n`))
            return socket
          }),
        )
        for (let i = 0; i < 5; i += 1) expect(await servedToBob()).toBe(200)
        for (const socket of sockets) socket.destroy()
        expect(await eventually(idle)).toBe(true)
      },
      uncounted,
    )
  })
})
