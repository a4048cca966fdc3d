import { once } from 'node:events'
import { createServer } from 'node:net'
import type { Server, Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { mostHelloBytes } from '#listeners/client-hello.ts'
import { sniff } from '#listeners/sniff.ts'
import { listen } from '../kit/listen.ts'
import { openTcp } from '../kit/raw.ts'
import { atLeast, wire } from '../kit/wire.ts'
import { recorded } from './hello.ts'

let server: Server
let port: number

beforeEach(async () => {
  server = createServer({ noDelay: true })
  port = await listen(server)
})

afterEach(() => void server.close())

/** Both ends of one connection. */
async function connected(): Promise<{ readonly client: Socket; readonly socket: Socket }> {
  const accepted = once(server, 'connection') as Promise<[Socket]>
  const client = await openTcp({ port })
  const [socket] = await accepted
  socket.on('error', () => {})
  return { client, socket }
}

describe('the first bytes', () => {
  it.each([
    ['GET / HTTP/1.1\r\n', 'http'],
    ['P', 'http'],
    ['get / HTTP/1.1\r\n', 'other'],
    ['SSH-2.0-client\r\n', 'http'],
    ['\x00\x01', 'other'],
    ['\x80\x2e\x01', 'other'],
    ['\x16\x02\x00\x00\x01\x01', 'malformed'],
    ['\x16\x03\x01\x00\x00', 'malformed'],
  ])('%j are %s, and whoever reads next reads them', async (bytes, kind) => {
    const { client, socket } = await connected()
    client.write(Buffer.from(bytes, 'latin1'))
    expect((await sniff(socket, 1000)).kind).toBe(kind)
    client.end(' and more')
    const { bytes: read } = await wire(socket).read(atLeast(bytes.length + 9))
    expect(read.toString('latin1')).toBe(`${bytes} and more`)
    client.destroy()
  })

  it('may be a ClientHello that comes byte by byte, of which nothing is lost', async () => {
    const hello = await recorded({ servername: 'good.test' })
    const { client, socket } = await connected()
    const sniffed = sniff(socket, 5000)
    for (const byte of hello) {
      client.write(Buffer.of(byte))
      await new Promise(setImmediate)
    }
    expect(await sniffed).toEqual({ kind: 'hello', serverName: 'good.test' })
    const { bytes } = await wire(socket).read(atLeast(hello.length))
    expect(bytes.equals(hello)).toBe(true)
    client.destroy()
  })

  it('may be a ClientHello with more behind it', async () => {
    const hello = await recorded({ servername: 'good.test' })
    const { client, socket } = await connected()
    client.write(Buffer.concat([hello, Buffer.from('early')]))
    expect(await sniff(socket, 1000)).toEqual({ kind: 'hello', serverName: 'good.test' })
    const { bytes } = await wire(socket).read(atLeast(hello.length + 5))
    expect(bytes.subarray(-5).toString()).toBe('early')
    client.destroy()
  })

  it('of which more than a ClientHello may have are malformed', async () => {
    const { client, socket } = await connected()
    const record = Buffer.of(22, 3, 1, 0, 4, 1, 0, 0xf0, 0)
    client.write(Buffer.concat(Array.from({ length: mostHelloBytes / record.length + 1 }, () => record)))
    expect((await sniff(socket, 1000)).kind).toBe('malformed')
    client.destroy()
  })
})

describe('a peer without first bytes', () => {
  it('that says nothing is silent after the deadline', async () => {
    const { client, socket } = await connected()
    expect(await sniff(socket, 30)).toEqual({ kind: 'silent' })
    client.destroy()
  })

  it('that dribbles is silent after the same deadline', async () => {
    const { client, socket } = await connected()
    const dribble = setInterval(() => client.write(Buffer.of(22)), 10)
    client.write(Buffer.of(22, 3, 1, 0x10, 0, 1, 0, 0x0f, 0))
    expect(await sniff(socket, 80)).toEqual({ kind: 'silent' })
    clearInterval(dribble)
    client.destroy()
  })

  it('that closes, half-way or at once, is gone', async () => {
    for (const bytes of ['', '\x16\x03\x01']) {
      const { client, socket } = await connected()
      client.end(Buffer.from(bytes, 'latin1'))
      expect(await sniff(socket, 5000)).toEqual({ kind: 'gone', began: bytes !== '' })
      client.destroy()
    }
  })

  it('that resets is gone', async () => {
    const { client, socket } = await connected()
    const sniffed = sniff(socket, 5000)
    client.resetAndDestroy()
    expect(await sniffed).toEqual({ kind: 'gone', began: false })
  })

  it('that is gone before anyone looks is silent', async () => {
    const { client, socket } = await connected()
    client.destroy()
    socket.destroy()
    await once(socket, 'close')
    expect(await sniff(socket, 50)).toEqual({ kind: 'silent' })
  })

  it('leaves no listener behind', async () => {
    const { client, socket } = await connected()
    client.write('GET ')
    await sniff(socket, 1000)
    expect(socket.listenerCount('readable') + socket.listenerCount('end')).toBeLessThanOrEqual(1)
    client.destroy()
  })
})

it('a TLS server takes over after the look', async () => {
  const hello = await recorded({ servername: 'good.test' })
  expect(hello[0]).toBe(22)
  const { client, socket } = await connected()
  const tls = connectTls({ socket: client, servername: 'good.test', rejectUnauthorized: false })
  tls.on('error', () => {})
  expect(await sniff(socket, 1000)).toEqual({ kind: 'hello', serverName: 'good.test' })
  tls.destroy()
  client.destroy()
})
