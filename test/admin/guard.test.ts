import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { Secret } from '#base/secret.ts'
import { holdsToken, isCrossSite, isLocalHost, isLoopback } from '#admin/guard.ts'

test.each([
  ['127.0.0.1', true],
  ['127.8.9.1', true],
  ['::1', true],
  ['::ffff:127.0.0.1', true],
  ['0.0.0.0', false],
  ['::', false],
  ['10.0.0.1', false],
  ['localhost', false],
  ['', false],
])('an address %j is loopback: %s', (address, expected) => {
  expect(isLoopback(address)).toBe(expected)
})

test.each([
  ['localhost', true],
  ['LocalHost:9465', true],
  ['127.0.0.1', true],
  ['127.0.0.1:9465', true],
  ['10.1.2.3:9465', true],
  ['[::1]', true],
  ['[::1]:9465', true],
  [undefined, false],
  ['', false],
  ['evil.example.com', false],
  ['evil.example.com:9465', false],
  ['127.0.0.1.evil.example.com', false],
  ['localhost.evil.example.com', false],
  ['0x7f.1', false],
  ['2130706433', false],
  ['::1', false],
  ['[127.0.0.1]', false],
  ['user@127.0.0.1', false],
  ['127.0.0.1:9465:1', false],
])('a Host of %j is this machine: %s', (host, expected) => {
  expect(isLocalHost(host)).toBe(expected)
})

test.each([
  [{ host: '127.0.0.1:1' }, false],
  [{ host: '127.0.0.1:1', origin: 'http://127.0.0.1:1' }, false],
  [{ host: '127.0.0.1:1', origin: 'http://127.0.0.1:2' }, true],
  [{ host: '127.0.0.1:1', origin: 'https://evil.example.com' }, true],
  [{ host: '127.0.0.1:1', origin: 'null' }, true],
])('%j comes from another site: %s', (headers, expected) => {
  expect(isCrossSite(headers)).toBe(expected)
})

describe('a token', () => {
  const value = randomBytes(24).toString('hex')
  const token = new Secret('admin token', value)
  test.each([
    [`Bearer ${value}`, true],
    [`bearer ${value}`, true],
    [`Bearer ${value}x`, false],
    [`Bearer ${value.slice(1)}`, false],
    [`Bearer ${value} more`, false],
    [`Basic ${value}`, false],
    [value, false],
    ['Bearer ', false],
    ['', false],
    [undefined, false],
  ])('in %j is accepted only whole', (authorization, expected) => {
    expect(holdsToken(authorization, token)).toBe(expected)
  })
})
