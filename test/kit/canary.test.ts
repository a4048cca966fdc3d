import { expect, test } from 'vitest'
import { findLeaks, formsOf, makeCanary } from './canary.ts'

const secret = makeCanary()
const token = `git:${secret}`

test.each([
  ['raw', `x ${secret} y`],
  ['Basic', Buffer.from(token).toString('base64')],
  ['base64 after one byte', Buffer.from(`a${secret}bc`).toString('base64')],
  ['base64 after two bytes', Buffer.from(`ab${secret}`).toString('base64')],
  ['base64url', Buffer.from(`{"k":"${secret}"}`).toString('base64url')],
  ['percent', encodeURIComponent(secret)],
  ['JSON', JSON.stringify({ secret })],
  ['HTML', secret.replaceAll('"', '&quot;').replaceAll('>', '&gt;')],
  ['hex', Buffer.from(token).toString('hex')],
])('a canary is found as %s', (_, text) => {
  expect(findLeaks({ one: secret }, [{ name: 'log', bytes: Buffer.from(text) }])).toMatchObject([{ sink: 'log', secret: 'one' }])
})

test('a canary is not found where it is not, and differs from its encodings and from the next', () => {
  expect(findLeaks({ one: secret }, [{ name: 'log', bytes: Buffer.from(makeCanary()) }])).toEqual([])
  expect(new Set(Object.values(formsOf(secret))).size).toBe(Object.keys(formsOf(secret)).length)
})
