import { randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { Seal } from '#store/seal.ts'

const key = randomBytes(32)
const seal = new Seal(key)
const context = ['claude', 7, 'pair'] as const

test.each(['', 'a token', 'ключ \u{1f511}', 'long '.repeat(50_000)])(
  'what was sealed opens under the same key and context',
  (text) => {
    expect(new Seal(Buffer.from(key)).open(seal.seal(text, context), context)).toBe(text)
  },
)

test('nothing of the text can be seen, and no two seals of it are alike', () => {
  const text = randomBytes(30).toString('hex')
  const sealed = Array.from({ length: 50 }, () => Buffer.from(seal.seal(text, context)))
  expect(sealed.filter((bytes) => bytes.includes(text.slice(0, 8)))).toEqual([])
  expect(new Set(sealed.map((bytes) => bytes.subarray(1, 13).toString('hex'))).size).toBe(50)
})

test.each([
  ['another credential', ['codex', 7, 'pair']],
  ['another generation', ['claude', 8, 'pair']],
  ['another field', ['claude', 7, 'needs_login']],
  ['parts cut elsewhere', ['claude7', 'pair']],
  ['a generation that is text', ['claude', '7', 'pair']],
])('it does not open for %s', (_case, other) => {
  expect(seal.open(seal.seal('text', context), other)).toBeUndefined()
})

test('it does not open under another key', () => {
  expect(new Seal(randomBytes(32)).open(seal.seal('text', context), context)).toBeUndefined()
})

test('it does not open when any one bit of it is another', () => {
  const sealed = seal.seal('text', context)
  for (let bit = 0; bit < sealed.length * 8; bit += 1) {
    const flipped = Uint8Array.from(sealed)
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    expect(seal.open(flipped, context), `bit ${bit}`).toBeUndefined()
  }
})

test('it does not open when it is cut anywhere, or made longer', () => {
  const sealed = seal.seal('text', context)
  for (let length = 0; length < sealed.length; length += 1) expect(seal.open(sealed.subarray(0, length), context)).toBeUndefined()
  expect(seal.open(Buffer.concat([sealed, Uint8Array.of(0)]), context)).toBeUndefined()
})

test.each([0, 16, 31, 33, 64])('a key of %d bytes is refused', (bytes) => {
  expect(() => new Seal(randomBytes(bytes))).toThrow(RangeError)
})

test('it does not print its key', () => {
  const printed = inspect(seal, { depth: 9, showHidden: true }) + JSON.stringify(seal)
  for (const spelling of ['hex', 'base64', 'latin1'] as const) expect(printed).not.toContain(key.toString(spelling))
})
