import { assert, property, string } from 'fast-check'
import { expect, test } from 'vitest'
import { asciiJson, bounded } from '#observe/text.ts'

test.each([
  ['short', 10, 'short'],
  ['exactly te', 10, 'exactly te'],
  ['one more than', 10, 'one more …'],
])('%j within %d characters is %j', (text, limit, expected) => {
  expect(bounded(text, limit)).toBe(expected)
})

test('any text becomes printable ASCII on one line, and means the same', () => {
  assert(
    property(string({ unit: 'binary', maxLength: 30 }), (value) => {
      const json = asciiJson(JSON.stringify({ value }))
      expect(json).toMatch(/^[\x20-\x7e]*$/)
      expect(JSON.parse(json)).toEqual({ value })
    }),
  )
})
