import fc from 'fast-check'
import { beforeAll, describe, expect, it, vi } from 'vitest'
import { HelloReader, mostHelloBytes, readClientHello } from '#listeners/client-hello.ts'
import { recorded } from './hello.ts'

const names: Record<string, string | undefined> = {
  'TLS 1.3': 'good.test',
  'TLS 1.2': 'other.test',
  'no name': undefined,
  'a long name': `${'a'.repeat(63)}.${'b'.repeat(63)}.test`,
}
const hellos: Record<string, Buffer> = {}

beforeAll(async () => {
  hellos['TLS 1.3'] = await recorded({ servername: 'good.test', ALPNProtocols: ['h2', 'http/1.1'] })
  hellos['TLS 1.2'] = await recorded({ servername: 'other.test', maxVersion: 'TLSv1.2' })
  hellos['no name'] = await recorded({})
  hellos['a long name'] = await recorded({ servername: names['a long name'] ?? '' })
})

describe('a ClientHello of OpenSSL', () => {
  it.each(Object.keys(names))('says its name, with %s', (which) => {
    expect(readClientHello(hellos[which] ?? Buffer.alloc(0))).toEqual({ kind: 'hello', serverName: names[which] })
  })

  it.each(Object.keys(names))('is not known before its last byte, with %s', (which) => {
    const bytes = hellos[which] ?? Buffer.alloc(0)
    for (let cut = 0; cut < bytes.length; cut += 1)
      expect(readClientHello(bytes.subarray(0, cut)).kind, `${cut} bytes`).toBe('more')
  })

  it('says the same in two records, wherever it is cut', () => {
    const message = (hellos['TLS 1.3'] ?? Buffer.alloc(0)).subarray(5)
    for (let cut = 1; cut < message.length; cut += 1) {
      const bytes = Buffer.concat([record(message.subarray(0, cut)), record(message.subarray(cut))])
      expect(readClientHello(bytes), `cut at ${cut}`).toEqual({ kind: 'hello', serverName: 'good.test' })
    }
  })

  it('says the same in records of one byte', () => {
    const message = (hellos['TLS 1.3'] ?? Buffer.alloc(0)).subarray(5)
    const bytes = Buffer.concat([...message].map((byte) => record(Buffer.of(byte))))
    expect(readClientHello(bytes)).toEqual({ kind: 'hello', serverName: 'good.test' })
    expect(readClientHello(bytes.subarray(0, -1))).toEqual({ kind: 'more' })
  })

  it.each([1, 2, 3, 7, 200])('says the same while it comes in, in records of %i bytes, segment by segment', (size) => {
    const message = (hellos['TLS 1.3'] ?? Buffer.alloc(0)).subarray(5)
    const cuts = Array.from({ length: Math.ceil(message.length / size) }, (_, index) => index * size)
    const bytes = Buffer.concat(cuts.map((cut) => record(message.subarray(cut, cut + size))))
    for (const step of [1, 4, 5, 6, 1000]) {
      const reader = new HelloReader()
      for (let have = step; have < bytes.length; have += step) expect(reader.read(bytes.subarray(0, have)).kind).toBe('more')
      expect(reader.read(bytes)).toEqual({ kind: 'hello', serverName: 'good.test' })
    }
  })

  it.each([
    ['records of one byte that end before the message does', record(Buffer.of(0)), 6],
    ['records of one byte, a byte at a time', record(Buffer.of(0)), 1],
    [
      'one record of a byte and nothing but headers of long ones',
      Buffer.concat([record(Buffer.of(0)), record(Buffer.alloc(9))]),
      20,
    ],
  ])('costs no more than its bytes with %s', (_name, piece, step) => {
    const start = Buffer.concat([Buffer.of(1, 0, 0xff, 0)].map(record))
    const whole = Buffer.concat([start, ...Array.from({ length: mostHelloBytes / piece.length }, () => piece)])
    const bytes = new Proxy(whole, {
      get(target, key) {
        if (typeof key === 'string' && /^\d+$/.test(key)) looked += 1
        const value: unknown = Reflect.get(target, key, target)
        return typeof value === 'function' ? value.bind(target) : value
      },
    })
    let looked = 0
    const reader = new HelloReader()
    for (let have = 5; have < mostHelloBytes; have += step) {
      const grown = new Proxy(bytes, { get: (target, key) => (key === 'length' ? have : (Reflect.get(target, key) as unknown)) })
      expect(reader.read(grown).kind).toBe('more')
    }
    // Each look reads the first byte of all and the header that it waits behind; each record once more.
    expect(looked).toBeLessThan(8 * (mostHelloBytes / step) + 8 * (mostHelloBytes / piece.length) + 100)
  })

  it('may be followed by anything', () => {
    const bytes = Buffer.concat([hellos['TLS 1.3'] ?? Buffer.alloc(0), Buffer.from('GET / HTTP/1.1')])
    expect(readClientHello(bytes)).toEqual({ kind: 'hello', serverName: 'good.test' })
  })
})

describe('a ClientHello made by hand', () => {
  const name = (text: string, type = 0): Buffer => Buffer.concat([Buffer.of(type), vector(2, Buffer.from(text, 'latin1'))])
  const sni = (...list: Buffer[]): Buffer => extension(0, vector(2, ...list))

  it.each([
    ['two names in one extension', [sni(name('good.test'), name('evil.test'))], 'malformed'],
    ['the same name twice', [sni(name('good.test'), name('good.test'))], 'malformed'],
    ['two extensions with a name each', [sni(name('good.test')), sni(name('evil.test'))], 'malformed'],
    ['a name of an unknown type before the host', [sni(name('x', 9), name('good.test'))], 'good.test'],
    ['an empty list', [extension(0, vector(2))], 'undefined'],
    ['an empty name', [sni(name(''))], ''],
    ['an extension without content', [extension(0)], 'malformed'],
    ['a name longer than its list', [extension(0, Buffer.from([0, 4, 0, 0, 200, 97]))], 'malformed'],
    ['a list longer than its extension', [extension(0, Buffer.from([0, 200, 0, 0, 1, 97]))], 'malformed'],
    ['a NUL in the name', [sni(name('good.test\0.evil.test'))], 'good.test\0.evil.test'],
    ['ECH with an outer name', [extension(0xfe0d, Buffer.alloc(100)), sni(name('outer.test'))], 'outer.test'],
    ['no extension', [], 'undefined'],
  ])('with %s', (_name, extensions, expected) => {
    const read = readClientHello(record(hello(extensions)))
    expect(read.kind === 'hello' ? String(read.serverName) : read.kind).toBe(expected)
  })

  it('may leave the extensions out altogether', () => {
    const message = handshake(
      Buffer.concat([Buffer.alloc(34), vector(1), vector(2, Buffer.of(0x13, 1)), vector(1, Buffer.of(0))]),
    )
    expect(readClientHello(record(message))).toEqual({ kind: 'hello', serverName: undefined })
  })

  it('may be 64 KiB long, and no longer', () => {
    const padded = (size: number): Buffer => {
      const empty = hello([extension(21), sni(name('good.test'))])
      return hello([extension(21, Buffer.alloc(size - empty.length)), sni(name('good.test'))])
    }
    const records = (message: Buffer): Buffer =>
      Buffer.concat(
        Array.from({ length: Math.ceil(message.length / 16_384) }, (_, i) =>
          record(message.subarray(i * 16_384, (i + 1) * 16_384)),
        ),
      )
    expect(readClientHello(records(padded(mostHelloBytes)))).toEqual({ kind: 'hello', serverName: 'good.test' })
    const past = Buffer.from(records(padded(mostHelloBytes)))
    past.writeUIntBE(mostHelloBytes - 3, 6, 3)
    expect(readClientHello(past)).toEqual({ kind: 'malformed' })
    expect(readClientHello(past.subarray(0, 9))).toEqual({ kind: 'malformed' })
  })

  it('is read once and not once a record', () => {
    // Quadratic work on records of one byte would hold up every other agent: 10,000 of them took two seconds.
    const bytes = Buffer.concat(Array.from({ length: 10_000 }, () => record(Buffer.of(0xff))))
    bytes[5] = 1
    bytes.set([0], 11)
    bytes.set([0xf0], 17)
    const concat = vi.spyOn(Buffer, 'concat')
    expect(readClientHello(bytes).kind).toBe('more')
    expect(concat.mock.calls.length).toBeLessThan(5)
    concat.mockRestore()
  })

  it.each([
    ['nothing', [], 'more'],
    ['an HTTP request', [...Buffer.from('GET / HTTP/1.1')], 'not-tls'],
    ['an SSH greeting', [...Buffer.from('SSH-2.0-x')], 'not-tls'],
    ['an SSLv2 hello', [0x80, 0x2e, 1, 3, 1], 'not-tls'],
    ['an alert', [21, 3, 3, 0, 2, 2, 40], 'not-tls'],
    ['application data', [23, 3, 3, 0, 1, 0], 'not-tls'],
    ['a record of another version', [22, 2, 0, 0, 4, 1, 0, 0, 0], 'malformed'],
    ['an empty record', [22, 3, 1, 0, 0], 'malformed'],
    ['a record that is too long', [22, 3, 1, 0xff, 0xff], 'malformed'],
    ['another handshake message', [22, 3, 3, 0, 4, 2, 0, 0, 0], 'malformed'],
    ['an empty ClientHello', [22, 3, 3, 0, 4, 1, 0, 0, 0], 'malformed'],
    ['another kind of record in between', [22, 3, 1, 0, 1, 1, 23, 3, 3, 0, 1, 0], 'malformed'],
  ])('is not %s', (_name, bytes, expected) => {
    expect(readClientHello(Uint8Array.from(bytes)).kind).toBe(expected)
  })
})

describe('damaged bytes', () => {
  it('never throw, and never give a name that is not in them', () => {
    const bases = Object.values(hellos)
    const damage = fc.array(fc.tuple(fc.nat({ max: 2000 }), fc.nat({ max: 255 })), { minLength: 1, maxLength: 6 })
    fc.assert(
      fc.property(fc.nat({ max: bases.length - 1 }), damage, fc.nat({ max: 2000 }), (which, edits, cut) => {
        const bytes = Buffer.from(bases[which] ?? Buffer.alloc(0))
        for (const [at, value] of edits) bytes[at % bytes.length] = value
        const read = readClientHello(bytes.subarray(0, cut))
        if (read.kind === 'hello' && read.serverName) expect(bytes.includes(read.serverName, 0, 'latin1')).toBe(true)
      }),
      { seed: 1, numRuns: 3000 },
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => void readClientHello(Uint8Array.of(22, 3, 1, ...bytes))),
      { seed: 2, numRuns: 3000 },
    )
  })
})

function record(content: Uint8Array): Buffer {
  return Buffer.concat([Buffer.of(22, 3, 1), vector(2, content)])
}

function hello(extensions: readonly Buffer[]): Buffer {
  return handshake(
    Buffer.concat([
      Buffer.of(3, 3),
      Buffer.alloc(32),
      vector(1),
      vector(2, Buffer.of(0x13, 1)),
      vector(1, Buffer.of(0)),
      vector(2, ...extensions),
    ]),
  )
}

function handshake(body: Uint8Array): Buffer {
  return Buffer.concat([Buffer.of(1), vector(3, body)])
}

function extension(type: number, ...content: readonly Uint8Array[]): Buffer {
  return Buffer.concat([Buffer.of(type >> 8, type & 0xff), vector(2, ...content)])
}

/** A vector of RFC 8446 section 3.4: its length in `width` bytes, then its content. */
function vector(width: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts)
  const length = Buffer.alloc(width)
  length.writeUIntBE(content.length, 0, width)
  return Buffer.concat([length, content])
}
