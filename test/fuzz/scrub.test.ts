import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Secret } from '#base/secret.ts'
import { compileScrub, Scrubber } from '#credentials/scrub/restub.ts'

const stub = 'stub-in-its-place'
const bytes = (text: string) => Buffer.from(text, 'utf8')

/** A value with marks that every encoding treats in its own way, and long enough to be searched for. */
const secret = fc
  .tuple(
    fc.string({ unit: fc.constantFrom(...'+/="&<>\'%\\ .-_~abcXYZ019'.split('')), maxLength: 30 }),
    fc.stringMatching(/^[A-Za-z0-9]{12}$/),
  )
  .map(([marks, core]) => core.slice(0, 4) + marks + core.slice(4))

const encodings: Readonly<Record<string, (value: string) => string>> = {
  raw: (value) => value,
  percent: encodeURIComponent,
  'percent in small letters': (value) => encodeURIComponent(value).replace(/%../g, (octet) => octet.toLowerCase()),
  form: (value) => new URLSearchParams([['', value]]).toString().slice(1),
  json: (value) => JSON.stringify(value).slice(1, -1),
  'json with slashes': (value) => JSON.stringify(value).slice(1, -1).replaceAll('/', '\\/'),
  html: (value) =>
    value.replace(/[&<>"']/g, (mark) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[mark] ?? '&#39;'),
  hex: (value) => bytes(value).toString('hex'),
  'hex in capitals': (value) => bytes(value).toString('hex').toUpperCase(),
  base64: (value) => bytes(value).toString('base64').replace(/=+$/, ''),
  'base64 behind one byte': (value) => bytes(`:${value}`).toString('base64').replace(/=+$/, ''),
  'base64 behind two bytes': (value) => bytes(`u:${value}`).toString('base64').replace(/=+$/, ''),
  base64url: (value) => bytes(`user:${value}`).toString('base64url'),
}

/** Text between values: the characters of no value's beginning, so that what surrounds one can be told from it. */
const around = fc.string({ unit: fc.constantFrom('\n', '{', '}', '|', '\u00a0', '[', ']'), maxLength: 12 })

/** Cuts at random places; also empty chunks and single bytes. */
function cut(data: Uint8Array, places: readonly number[]): Uint8Array[] {
  const edges = [0, ...places.map((place) => place % (data.length + 1)).toSorted((a, b) => a - b), data.length]
  return edges.slice(1).map((edge, i) => data.subarray(edges[i], edge))
}

function scrub(chunks: readonly Uint8Array[], scrubber: Scrubber): Buffer {
  return Buffer.concat([...chunks.map((chunk) => scrubber.push(Uint8Array.from(chunk))), scrubber.end()])
}

const cuts = fc.array(fc.nat(), { maxLength: 12 })
const patternsOf = (value: string) => compileScrub([{ credential: 'c', stub, secret: new Secret('c', value) }])

describe('a scrubbed stream', () => {
  it.each(Object.entries(encodings))('never holds the value: %s', (_name, encode) => {
    fc.assert(
      fc.property(secret, around, around, cuts, (value, before, after, places) => {
        const scrubber = new Scrubber(patternsOf(value))
        const out = scrub(cut(bytes(before + encode(value) + after), places), scrubber).toString('utf8')
        expect(out.includes(encode(value))).toBe(false)
        expect(out.startsWith(before) && out.endsWith(after)).toBe(true)
        expect(scrubber.hits.get('c')).toBe(1)
      }),
      { numRuns: 60 },
    )
  })

  it('is the same however it was cut, whole or in pieces', () => {
    const part = fc.oneof(around, fc.constantFrom(...Object.keys(encodings)), fc.constant('half'))
    fc.assert(
      fc.property(secret, fc.array(part, { maxLength: 6 }), cuts, (value, parts, places) => {
        const patterns = patternsOf(value)
        const data = bytes(
          parts
            .map((each) => (each === 'half' ? value.slice(0, value.length / 2) : (encodings[each]?.(value) ?? each)))
            .join('|'),
        )
        expect(scrub(cut(data, places), new Scrubber(patterns))).toEqual(scrub([data], new Scrubber(patterns)))
      }),
      { numRuns: 200 },
    )
  })

  it('is the same however it was cut, also where one value looks like a spelling of another', () => {
    const piece = fc.tuple(
      fc.constantFrom(...Object.keys(encodings)),
      fc.nat(6),
      fc.string({ unit: fc.constantFrom('A', 'Q', 'g', 'w', '+', '/', '-', '_', '=', '.'), maxLength: 3 }),
    )
    const part = fc.tuple(fc.nat(3), fc.constantFrom(...Object.keys(encodings)), fc.nat(2), fc.nat(2))
    fc.assert(
      fc.property(
        secret,
        fc.array(piece, { maxLength: 3 }),
        fc.array(part, { maxLength: 4 }),
        cuts,
        (value, pieces, parts, places) => {
          const values = [value, ...pieces.map(([name, from, more]) => (encodings[name]?.(value) ?? '').slice(from) + more)]
          const patterns = compileScrub(
            values.map((each, i) => ({ credential: `c${i}`, stub, secret: new Secret(`c${i}`, each) })),
          )
          const written = parts.map(([which, name, from, less]) => {
            const text = encodings[name]?.(values[which % values.length] ?? '') ?? ''
            return text.slice(from, text.length - less)
          })
          const data = bytes(written.join(''))
          const whole = scrub([data], new Scrubber(patterns))
          expect(scrub(cut(data, places), new Scrubber(patterns))).toEqual(whole)
          expect(scrub(cut(data, [...data.keys()]), new Scrubber(patterns))).toEqual(whole)
        },
      ),
      { numRuns: 100 },
    )
  })

  it('is byte for byte what came when there is no value in it', () => {
    fc.assert(
      fc.property(secret, fc.uint8Array({ maxLength: 200 }), cuts, (value, data, places) => {
        const out = scrub(cut(data, places), new Scrubber(patternsOf(value)))
        expect(out).toEqual(Buffer.from(data))
      }),
    )
  })

  it('keeps nothing back at the end of an event or a line', () => {
    fc.assert(
      fc.property(secret, fc.string({ unit: 'binary' }), (value, text) => {
        const scrubber = new Scrubber(patternsOf(value))
        const chunk = bytes(`${text}\n\n`)
        expect(Buffer.from(scrubber.push(chunk))).toEqual(chunk)
        expect(scrubber.held).toBe(0)
      }),
    )
  })

  it('loses no byte however often it is asked for what it keeps back', () => {
    fc.assert(
      fc.property(secret, fc.array(fc.tuple(fc.nat(30), fc.boolean()), { maxLength: 20 }), (value, steps) => {
        const scrubber = new Scrubber(patternsOf(value))
        const sent: Buffer[] = []
        const out: Uint8Array[] = []
        for (const [length, flush] of steps) {
          // Beginnings of the value that never go on to be one.
          const chunk = Buffer.concat([bytes(value).subarray(0, Math.min(length, value.length - 1)), bytes(flush ? '' : '\n')])
          sent.push(chunk, bytes('\n'))
          out.push(scrubber.push(chunk))
          if (flush) out.push(scrubber.flush())
          out.push(scrubber.push(bytes('\n')))
        }
        out.push(scrubber.end())
        expect(Buffer.concat(out)).toEqual(Buffer.concat(sent))
      }),
    )
  })
})
