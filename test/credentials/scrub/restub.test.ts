import { createHash } from 'node:crypto'
import { inspect } from 'node:util'
import { gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { Secret } from '#base/secret.ts'
import { compileScrub, Scrubber } from '#credentials/scrub/restub.ts'
import { canary } from '../../kit/credentials.ts'

const stub = 'stub-for-the-agent'
const real = canary()
const scrub = (value: string, credential = 'mine', as = stub) => ({ credential, stub: as, secret: new Secret(credential, value) })
const patterns = compileScrub([scrub(real)])

/** Runs chunks through one scrubber. */
function run(chunks: readonly (string | Uint8Array)[], scrubber = new Scrubber(patterns)): string {
  const out = chunks.map((chunk) => scrubber.push(typeof chunk === 'string' ? Buffer.from(chunk) : chunk))
  return Buffer.concat([...out, scrubber.end()]).toString('utf8')
}

const base64 = (text: string) => Buffer.from(text).toString('base64')

/** A value like a canary, but the same in every run. */
function seeded(seed: number): string {
  const drawn = createHash('sha256').update(`value ${seed}`).digest('base64url')
  return `${drawn.slice(0, 16)}+/="${drawn.slice(16, 32)}`
}

/** The text scrubbed whole, once it came out the same cut in two at each place and byte by byte. */
function runAtEachEdge(text: string, of = patterns): string {
  const whole = run([text], new Scrubber(of))
  const cuts = Array.from({ length: text.length + 1 }, (_, cut) => [text.slice(0, cut), text.slice(cut)])
  for (const chunks of [...cuts, text.split('')]) {
    const out = run(chunks, new Scrubber(of))
    // Only a difference is worth the price of a matcher.
    if (out !== whole) expect({ chunks, out }).toEqual({ chunks, out: whole })
  }
  return whole
}

describe('Scrubber', () => {
  it.each([
    ['as it is', `a ${real} b`, `a ${stub} b`],
    ['twice without anything between', real + real, stub + stub],
    ['in JSON', JSON.stringify({ authorization: `Bearer ${real}` }), JSON.stringify({ authorization: `Bearer ${stub}` })],
    ['in a query', `?a=${encodeURIComponent(real)}&b`, `?a=${stub}&b`],
    ['in HTML', `<b>${real.replaceAll('"', '&quot;')}</b>`, `<b>${stub}</b>`],
    ['in hex', Buffer.from(real).toString('hex'), Buffer.from(stub).toString('hex')],
  ])('puts the stub in place of a value %s', (_how, text, expected) => {
    expect(run([text])).toBe(expected)
  })

  it.each(['', 'u', 'us', 'use', 'user'])(
    'puts the stub into Basic behind the username "%s", and both sides decode as before',
    (user) => {
      for (const after of ['', 'x', 'xy', 'xyz']) {
        const sent = `Basic ${base64(`${user}:${real}${after}`)}`
        const back = run([`"${sent}"`])
        expect(back.length).toBe(sent.length + 2)
        const decoded = Buffer.from(back.slice(7, -1), 'base64').toString('latin1')
        expect(decoded).toBe(`${user}:${stub.repeat(9).slice(0, real.length)}${after}`)
      }
    },
  )

  it('keeps bytes on both sides whole that are no text, in both base64 alphabets', () => {
    const neighbours = [0x00, 0x7f, 0x80, 0xbf, 0xc0, 0xff]
    for (let seed = 0; seed < 40; seed += 1) {
      const value = seeded(seed).slice(0, 8 + (seed % 9))
      const known = compileScrub([scrub(value)])
      for (const encoding of ['base64', 'base64url'] as const) {
        for (const before of [[], [0xff], [0xff, 0xfe]]) {
          for (const byte of neighbours) {
            const sent = Buffer.concat([Buffer.from(before), Buffer.from(value), Buffer.of(byte)]).toString(encoding)
            const filler = Buffer.from(stub.repeat(2).slice(0, value.length))
            const expected = Buffer.concat([Buffer.from(before), filler, Buffer.of(byte)]).toString('hex')
            expect(Buffer.from(run([sent], new Scrubber(known)), 'base64').toString('hex')).toBe(expected)
          }
        }
      }
    }
  })

  it('does the same at each chunk edge, in each spelling', () => {
    const texts = [
      real,
      JSON.stringify(real),
      encodeURIComponent(real),
      base64(real),
      base64(`:${real}`),
      base64(`x:${real}y`),
      Buffer.from(real).toString('hex'),
    ]
    for (const text of texts.map((each) => `<${each}>`)) expect(runAtEachEdge(text)).not.toBe(text)
  })

  // Of these values two spellings begin with one character, and only the later one takes the byte before with it.
  it.each([7, 9, 16, 22, 49, 61, 86])('does the same at each chunk edge where two spellings may have begun: value %i', (seed) => {
    const value = seeded(seed)
    const known = compileScrub([scrub(value)])
    const filler = stub.repeat(2).slice(0, value.length)
    expect(runAtEachEdge(`<${base64(`:${value}`)}>`, known)).toBe(`<${base64(`:${filler}`)}>`)
    expect(runAtEachEdge(`<${base64(`x:${value}y`)}>`, known)).toBe(`<${base64(`x:${filler}y`)}>`)
  })

  it.each([':', 'x:'])('does the same at each chunk edge where a match behind "%s" waits for a longer one', (before) => {
    for (let seed = 0; seed < 20; seed += 1) {
      const value = seeded(seed)
      const filler = stub.repeat(2).slice(0, value.length)
      // What base64 makes of the value without its edges, as the beginning of another value.
      const within = base64(before + value).slice(before.length + 1, -4)
      const both = compileScrub([scrub(value), scrub(`${within}-and-more`, 'longer', 'stub-of-the-longer')])
      expect(runAtEachEdge(`<${base64(`${before}${value}y`)}>`, both)).toBe(`<${base64(`${before}${filler}y`)}>`)
      expect(runAtEachEdge(`<${within}-and-more>`, both)).toBe('<stub-of-the-longer>')
    }
  })

  it('passes a chunk without values through uncopied and at once', () => {
    const scrubber = new Scrubber(patterns)
    for (const text of ['data: {"text":"hello"}\n\n', 'event: ping\n\n', '{"a":1}\n']) {
      const chunk = Buffer.from(text)
      expect(scrubber.push(chunk)).toBe(chunk)
      expect(scrubber.held).toBe(0)
    }
  })

  it('keeps back no more than the beginning of a value, and only for as long as it is one', () => {
    const scrubber = new Scrubber(patterns)
    expect(Buffer.from(scrubber.push(Buffer.from(`>> ${real.slice(0, 5)}`))).toString()).toBe('>> ')
    expect(scrubber.held).toBe(5)
    expect(Buffer.from(scrubber.push(Buffer.from('\n'))).toString()).toBe(`${real.slice(0, 5)}\n`)
    expect(scrubber.held).toBe(0)
  })

  it('gives what it kept back when the stream ends within a value', () => {
    expect(run([real.slice(0, -1)])).toBe(real.slice(0, -1))
    expect(run([])).toBe('')
  })

  it('gives what it kept back when asked, and still takes out the rest of a value', () => {
    const scrubber = new Scrubber(patterns)
    expect(scrubber.push(Buffer.from(real.slice(0, 3))).length).toBe(0)
    expect(Buffer.from(scrubber.flush()).toString()).toBe(real.slice(0, 3))
    expect(scrubber.held).toBe(0)
    expect(scrubber.flush().length).toBe(0)
    expect(scrubber.push(Buffer.from(real.slice(3, 6))).length).toBe(0)
    expect(scrubber.held).toBe(3)
    expect(Buffer.from(scrubber.push(Buffer.from(`${real.slice(6)}!\n`))).toString()).toBe(`${stub}!\n`)
    expect(scrubber.hits).toEqual(new Map([['mine', 1]]))
  })

  it('loses and doubles no byte when what was given on demand was no value', () => {
    const scrubber = new Scrubber(patterns)
    const out = [
      scrubber.push(Buffer.from(`a${real.slice(0, 4)}`)),
      scrubber.flush(),
      scrubber.push(Buffer.from('zz\n')),
      scrubber.flush(),
      scrubber.end(),
    ]
    expect(Buffer.concat(out).toString()).toBe(`a${real.slice(0, 4)}zz\n`)
  })

  it('lets a host that drips a value byte by byte get no more than a coincidence through', () => {
    const scrubber = new Scrubber(patterns)
    const out = [...Buffer.from(`<${real}>`)].flatMap((byte) => [scrubber.push(Uint8Array.of(byte)), scrubber.flush()])
    out.push(scrubber.end())
    expect(Buffer.concat(out).toString()).toBe(`<${real.slice(0, 4)}${stub}>`)
  })

  it('takes the longer of two values that begin alike, also when the shorter is complete first', () => {
    const longer = `${real}-and-more`
    const both = compileScrub([scrub(real), scrub(longer, 'longer', 'stub-of-the-longer')])
    for (let cut = 1; cut < longer.length; cut += 1) {
      const out = run([`(${longer}`.slice(0, cut), `(${longer}`.slice(cut), ')'], new Scrubber(both))
      expect(out).toBe('(stub-of-the-longer)')
    }
    expect(run([`(${real}`, '-and-less)'], new Scrubber(both))).toBe(`(${stub}-and-less)`)
    const flushed = new Scrubber(both)
    expect(Buffer.concat([flushed.push(Buffer.from(real)), flushed.flush()]).toString()).toBe(stub)
  })

  it('counts what it took out, by credential', () => {
    const other = canary()
    const scrubber = new Scrubber(compileScrub([scrub(real), scrub(other, 'other', 'stub-of-the-other')]))
    run([real, other, base64(other), 'x'], scrubber)
    expect(scrubber.hits).toEqual(
      new Map([
        ['mine', 1],
        ['other', 2],
      ]),
    )
  })

  it('copies what it keeps, so the caller may use its chunk again', () => {
    const scrubber = new Scrubber(patterns)
    const chunk = Buffer.from(real.slice(0, 6))
    scrubber.push(chunk)
    chunk.fill(0)
    expect(Buffer.concat([scrubber.push(Buffer.from(real.slice(6))), scrubber.end()]).toString()).toBe(stub)
  })

  it('leaves binary data as it is', () => {
    const packed = gzipSync(Buffer.from('some text '.repeat(500)))
    const scrubber = new Scrubber(patterns)
    expect(Buffer.concat([scrubber.push(packed), scrubber.end()])).toEqual(packed)
  })

  it('cleans header values without touching the stream', () => {
    const scrubber = new Scrubber(patterns)
    scrubber.push(Buffer.from(real.slice(0, 5)))
    expect(scrubber.scrubText(`Bearer ${real}`)).toBe(`Bearer ${stub}`)
    expect(scrubber.scrubText(`https://x.test/?t=${encodeURIComponent(real)}&caf\xe9`)).toBe(`https://x.test/?t=${stub}&caf\xe9`)
    expect(scrubber.scrubText('nothing here')).toBe('nothing here')
    expect(Buffer.from(scrubber.push(Buffer.from(real.slice(5)))).toString() + Buffer.from(scrubber.end()).toString()).toBe(stub)
    expect(scrubber.hits.get('mine')).toBe(3)
  })

  it('passes everything when there is nothing to look for', () => {
    expect(run([real], new Scrubber(compileScrub([])))).toBe(real)
  })

  it('does not print what it looks for, nor what it keeps back', () => {
    const scrubber = new Scrubber(patterns)
    scrubber.push(Buffer.from(real.slice(0, -1)))
    const printed =
      inspect(scrubber, { showHidden: true, depth: 9 }) + JSON.stringify(scrubber) + JSON.stringify(patterns) + inspect(patterns)
    expect(printed).not.toContain(real.slice(0, 8))
  })
})
