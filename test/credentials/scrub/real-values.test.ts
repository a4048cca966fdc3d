import { inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import { Secret } from '#base/secret.ts'
import { RealValues } from '#credentials/scrub/real-values.ts'
import { canary } from '../../kit/credentials.ts'

const real = canary()
const other = canary()
const values = new RealValues([
  { credential: 'other', secret: new Secret('other', other) },
  { credential: 'mine', secret: new Secret('mine', real) },
])

describe('RealValues', () => {
  it.each([
    ['as it is', real],
    ['after a scheme', `Bearer ${real}`],
    ['within longer text', `x${real}y`],
    ['in Basic', `Basic ${Buffer.from(`user:${real}`).toString('base64')}`],
    ['in Basic, as username', `Basic ${Buffer.from(`${real}:`).toString('base64')}`],
    ['percent-encoded', encodeURIComponent(real)],
    [
      'percent-encoded in an unusual way',
      real.replace(/[a-z0-9]/g, (character, at: number) => (at % 2 ? character : `%${character.charCodeAt(0).toString(16)}`)),
    ],
    ['percent-encoded next to what is not', `100%&${encodeURIComponent(real)}%zz`],
    ['escaped for JSON', JSON.stringify({ token: real })],
    ['in hex', Buffer.from(real).toString('hex')],
  ])('finds a value %s and names its credential, in a text and in a head', (_how, text) => {
    expect(values.find(text)).toBe('mine')
    expect(values.findInHead({ path: `/${text}`, query: '', headers: [] })).toBe('mine')
    expect(values.findInHead({ path: '/', query: '?a=1', headers: ['x', text] })).toBe('mine')
  })

  it('finds a value that goes from the path into the query', () => {
    const marked = new RealValues([{ credential: 'marked', secret: new Secret('marked', 'before?after') }])
    expect(marked.findInHead({ path: '/before', query: '?after', headers: [] })).toBe('marked')
  })

  it('finds a value beyond ASCII as it arrives, one character a byte', () => {
    const accented = new RealValues([{ credential: 'é', secret: new Secret('é', 'pässwörd-é') }])
    expect(accented.find(Buffer.from('pässwörd-é').toString('latin1'))).toBe('é')
    expect(accented.find(encodeURIComponent('pässwörd-é'))).toBe('é')
  })

  it('finds nothing in a part of a value, and nothing without values', () => {
    expect(values.find(real.slice(0, -1))).toBeUndefined()
    expect(values.find(real.slice(1))).toBeUndefined()
    expect(new RealValues([]).find(real)).toBeUndefined()
  })

  it('does not search for values under eight bytes', () => {
    expect(new RealValues([{ credential: 'short', secret: new Secret('short', 'hunter2') }]).find('hunter2')).toBeUndefined()
  })

  it.each([
    ['path', { path: `/x/${encodeURIComponent(real)}` }],
    ['query', { query: `?a=${encodeURIComponent(real)}` }],
    ['headers', { headers: ['a', 'b', 'user-agent', `tool/${real}`] }],
    ['header names', { headers: ['a', 'b', real, 'x'] }],
  ])('finds a value anywhere in a request head: in its %s', (_part, part) => {
    expect(values.findInHead({ path: '/', query: '', headers: [], ...part })).toBe('mine')
  })

  it('makes no value up where two headers meet', () => {
    expect(values.findInHead({ path: '/', query: '', headers: ['x', real.slice(0, 9), real.slice(9), 'y'] })).toBeUndefined()
  })

  it('does not print', () => {
    const printed = [
      inspect(values, { showHidden: true, depth: 9 }),
      JSON.stringify(values),
      inspect(values.watch(), { showHidden: true, depth: 9 }),
    ]
    for (const text of printed) expect(text).not.toContain(real.slice(0, 8))
  })
})

describe('RealValueWatch', () => {
  it('finds a value cut at any byte, raw and in base64', () => {
    for (const text of [`--${real}--`, Buffer.from(`ab${real}c`).toString('base64')]) {
      const bytes = Buffer.from(text)
      for (let cut = 1; cut < bytes.length; cut += 1) {
        const watch = values.watch()
        expect(watch.feed(bytes.subarray(0, cut)) ?? watch.feed(bytes.subarray(cut))).toBe('mine')
      }
    }
  })

  it('finds a value sent byte by byte in a buffer that is used again', () => {
    const watch = values.watch()
    const one = new Uint8Array(1)
    const seen = [...Buffer.from(`x${real}x`)].map((byte) => {
      one[0] = byte
      return watch.feed(one)
    })
    expect(seen.filter((found) => found !== undefined)).toEqual(['mine'])
  })
})
