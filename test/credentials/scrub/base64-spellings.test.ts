import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { base64Spellings } from '#credentials/scrub/base64-spellings.ts'

const stub = 'stub-in-base64'

describe('base64Spellings', () => {
  it.each([0, 1, 2, 3, 4, 5])('find a value behind %i other bytes, whatever they and the ones after it are', (before) => {
    for (let length = 8; length < 20; length += 1) {
      for (let after = 0; after < 4; after += 1) {
        const value = randomBytes(length)
        const whole = Buffer.concat([randomBytes(before), value, randomBytes(after)])
        const found = base64Spellings(value, stub).map(({ bytes }) => Buffer.from(bytes).toString('latin1'))
        expect(found.some((text) => whole.toString('base64').includes(text))).toBe(true)
        expect(found.some((text) => whole.toString('base64url').includes(text))).toBe(true)
      }
    }
  })

  it('are as long as what takes their place', () => {
    for (const { bytes, stub: fill } of base64Spellings(Buffer.from('abcdefgh-ijk'), stub).filter(
      (each) => !Buffer.from(each.bytes).includes('%'),
    )) {
      expect(fill.length).toBe(bytes.length)
    }
  })

  it('cover base64 text that stands in JSON or in a URL', () => {
    const value = Buffer.from([0xff, 0xff, 0xff, 0xfb, 0xef, 0xbe, 0xfb, 0xef, 0xbe])
    const text = value.toString('base64')
    expect(text).toMatch(/\/.*\+/)
    const found = base64Spellings(value, stub).map(({ bytes }) => Buffer.from(bytes).toString('latin1'))
    const small = text.replaceAll('+', '%2b').replaceAll('/', '%2f')
    expect(found).toEqual(expect.arrayContaining([text.replaceAll('/', '\\/'), encodeURIComponent(text), small]))
  })
})
