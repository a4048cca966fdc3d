import { expect, it } from 'vitest'
import { ulids } from '#observe/ids.ts'

it('ids are ULIDs: the time in front, random behind, and text that sorts by time', () => {
  let now = 0
  const ids = ulids(() => now)
  now = 1_469_918_176_385
  expect(ids.next()).toMatch(/^01ARYZ6S41[0-9A-HJKMNP-TV-Z]{16}$/)
  const made = Array.from({ length: 2000 }, () => {
    now += 1
    return ids.next()
  })
  expect(made.toSorted()).toEqual(made)
  now = 2 ** 48 - 1
  expect(ids.next()).toMatch(/^7ZZZZZZZZZ/)
})

it('no two ids of one moment are the same, and each character takes every value', () => {
  const ids = ulids(() => 1)
  const made = Array.from({ length: 2000 }, () => ids.next())
  expect(new Set(made).size).toBe(made.length)
  for (let at = 10; at < 26; at += 1) expect(new Set(made.map((id) => id[at])).size).toBe(32)
})
