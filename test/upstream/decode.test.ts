import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { brotliCompressSync, constants, createGzip, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { MemoryAccount } from '#base/memory-account.ts'
import { Decoder } from '#upstream/decode.ts'
import { Sink } from './parts.ts'

const text = `${'the quick brown fox '.repeat(200)}${randomBytes(300).toString('hex')}`

function decoder(sink: Sink, memory = new MemoryAccount({ bytes: 128 << 20 })): Decoder {
  return new Decoder(sink, memory, 'agent')
}

/** Feeds a coded body in pieces; answers the sink once it has its end, or the code of what broke. */
async function decoded(coding: string, body: Uint8Array, { size = 1000, status = 200 } = {}): Promise<Sink | string> {
  const sink = new Sink()
  const outer = decoder(sink)
  try {
    outer.head(status, ['Content-Encoding', coding, 'Content-Length', String(body.length), 'x', 'y'])
    for (let at = 0; at < body.length; at += size) outer.data(body.subarray(at, at + size))
    outer.end(['x-sum', '1'])
    await outer.done
    return sink
  } catch (error) {
    return (error as { code: string }).code
  }
}

describe('a coded reply', () => {
  it.each([
    ['gzip', gzipSync(text)],
    ['x-gzip', gzipSync(text)],
    ['GZIP', gzipSync(text)],
    ['br', brotliCompressSync(text)],
    ['zstd', zstdCompressSync(text)],
    ['deflate', deflateSync(text)],
    ['deflate', deflateRawSync(text)],
    ['gzip, br', brotliCompressSync(gzipSync(text))],
    ['deflate, gzip, zstd', zstdCompressSync(gzipSync(deflateRawSync(text)))],
    ['gzip, identity', gzipSync(text)],
    ['identity', Buffer.from(text)],
    ['gzip', Buffer.concat([gzipSync(text.slice(0, 500)), gzipSync(text.slice(500))])],
  ])('in %s comes out as it was, in pieces of any size', async (coding, body) => {
    for (const size of [1, 7, 100_000]) {
      const sink = await decoded(coding, body, { size })
      if (typeof sink === 'string') throw new Error(sink)
      expect(sink.text).toBe(text)
      expect(sink.trailers).toEqual(['x-sum', '1'])
      if (coding !== 'identity') expect(sink.headers).toEqual(['x', 'y'])
    }
  })

  it.each([
    ['cut short', 'gzip', gzipSync(text).subarray(0, -10)],
    ['cut short in br', 'br', brotliCompressSync(text).subarray(0, -10)],
    ['cut short in zstd', 'zstd', zstdCompressSync(text).subarray(0, -10)],
    ['cut short in deflate', 'deflate', deflateSync(text).subarray(0, -10)],
    ['cut short in raw deflate', 'deflate', deflateRawSync(text).subarray(0, -10)],
    ['not coded at all', 'gzip', Buffer.from(text)],
    ['damaged', 'gzip', gzipSync(text).fill(0xff, 30, 40)],
    ['coded otherwise', 'br', gzipSync(text)],
  ])('that is %s is broken and never taken for whole', async (_name, coding, body) => {
    expect(await decoded(coding, body)).toBe('upstream_protocol')
  })

  it.each([
    ['an unknown coding', 'exi', 200],
    ['an unknown coding among known ones', 'gzip, exi', 200],
    ['more codings than anyone uses', 'gzip, gzip, gzip, gzip', 200],
    ['a part of a coded reply', 'gzip', 206],
  ])('with %s is refused before a byte of it', async (_name, coding, status) => {
    expect(await decoded(coding, gzipSync(text), { status })).toBe('reply_undecodable')
  })

  it.each([204, 304])('%i has no body to decode, and keeps its headers', async (status) => {
    const sink = await decoded('gzip', Buffer.alloc(0), { status })
    expect(sink).toMatchObject({ status, headers: ['Content-Encoding', 'gzip', 'Content-Length', '0', 'x', 'y'] })
  })

  it('gives each event as it comes', async () => {
    const sink = new Sink()
    const outer = decoder(sink)
    outer.head(200, ['content-encoding', 'gzip'])
    const gzip = createGzip()
    gzip.on('data', (chunk: Buffer) => outer.data(chunk))
    for (const event of ['data: 1\n\n', 'data: 2\n\n']) {
      gzip.write(event)
      await new Promise<void>((resolve) => gzip.flush(constants.Z_SYNC_FLUSH, resolve))
      for (let turn = 0; turn < 50 && !sink.text.endsWith(event); turn += 1) await sleep(2)
      expect(sink.text.endsWith(event)).toBe(true)
    }
    gzip.destroy()
  })
})

// What earlier tests left must not be counted, nor be taken off what this one uses.
setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void
const plain = Buffer.alloc(32 << 20)

/** Bytes of buffers that are still in use. Freed ones are given back a little after they were found. */
async function bytesInUse(): Promise<number> {
  for (let turn = 0; turn < 4; turn += 1) {
    collect()
    await sleep(10)
  }
  return process.memoryUsage().arrayBuffers
}

/** A frame of one raw block (RFC 8878 section 3.1.1) that asks for a window of 2 to the power `log`. */
function zstdFrame(log: number): Buffer {
  return Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, (log - 10) << 3, 0x11, 0x00, 0x00, 0x68, 0x69])
}

describe('a zstd window', () => {
  it('is decoded up to 8 MiB', async () => {
    for (const log of [10, 20, 23]) expect(await decoded('zstd', zstdFrame(log))).toMatchObject({ text: 'hi' })
  })

  it.each([24, 25, 27, 31])('of 2 to the power %i bytes breaks the reply off (RFC 9659)', async (log) => {
    expect(await decoded('zstd', zstdFrame(log))).toBe('upstream_protocol')
  })
})

describe('the windows of an agent’s replies', () => {
  /** Replies that begin and do not end, until one does not fit. */
  function heldOpen(
    coding: string,
    begin: Uint8Array,
    memory: MemoryAccount,
  ): { readonly count: number; readonly held: Decoder[] } {
    const held: Decoder[] = []
    for (let count = 0; count < 2000; count += 1) {
      const sink = new Sink()
      const outer = decoder(sink, memory)
      held.push(outer)
      try {
        outer.head(200, ['content-encoding', coding])
        outer.data(begin)
      } catch (error) {
        expect(error).toMatchObject({ code: 'reply_overloaded' })
        expect(sink.status).toBeUndefined()
        return { count, held }
      }
    }
    throw new Error('all of them fitted')
  }

  it.each([
    ['br', 'a window of 16 MiB', Buffer.of(0x0f), 3],
    ['br', 'a window of 4 MiB', Buffer.of(0x0b), 9],
    ['br', 'a window of 64 KiB', Buffer.of(0x00), 20],
    ['br', 'a window of 1 KiB', Buffer.of(0x21), 21],
    ['zstd', 'any window', Buffer.of(0x28), 7],
    ['gzip', 'a window of 32 KiB', Buffer.of(0x1f), 1024],
    ['br, gzip', 'a window inside that nobody knows', Buffer.of(0x1f), 3],
  ])('fit into its share: %s with %s', (coding, _window, begin, most) => {
    const memory = new MemoryAccount({ bytes: 128 << 20 })
    const { count, held } = heldOpen(coding, begin, memory)
    expect(count).toBe(most)
    const neighbour = new Decoder(new Sink(), memory, 'neighbour')
    expect(() => neighbour.head(200, ['content-encoding', 'gzip'])).not.toThrow()
    for (const each of [...held, neighbour]) each.close()
    expect(memory.held).toBe(0)
  })
})

describe('a reader that stops', () => {
  it.each([
    ['gzip', gzipSync],
    ['deflate', deflateSync],
    ['deflate', deflateRawSync],
    ['br', brotliCompressSync],
    ['zstd', zstdCompressSync],
  ] as const)('stops the decoder of %s too, and gets the rest when it goes on', async (coding, compress) => {
    const bomb = compress(plain)
    const sink = new Sink()
    sink.ready = false
    const outer = decoder(sink)
    outer.head(200, ['content-encoding', coding])
    const before = await bytesInUse()
    outer.data(bomb)
    outer.end([])
    await sleep(150)
    const after = await bytesInUse()
    expect(sink.length).toBeLessThan(1 << 20)
    expect(after - before).toBeLessThan(8 << 20)
    sink.ready = true
    sink.onDrain()
    await outer.done
    expect(sink.length).toBe(plain.length)
  })
})
