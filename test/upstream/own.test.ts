import { networkInterfaces } from 'node:os'
import { describe, expect, it } from 'vitest'
import { ownSockets } from '#upstream/own.ts'
import { addressOf } from '../journey/parts.ts'

const set = ownSockets(
  () => [
    { address: addressOf('127.0.0.1'), port: 9090 },
    { address: addressOf('0.0.0.0'), port: 8443 },
    { address: addressOf('::'), port: 8444 },
  ],
  addressOf('10.0.0.53'),
)

describe('our own sockets', () => {
  it.each([
    ['127.0.0.1', 9090, true],
    ['127.0.0.2', 9090, false],
    ['127.0.0.1', 9091, false],
    ['127.0.0.1', 8443, true],
    ['127.9.9.9', 8443, true],
    ['0.0.0.0', 8443, true],
    ['::1', 8444, true],
    ['::ffff:127.0.0.1', 8443, true],
    ['192.0.2.1', 8443, false],
    ['10.0.0.53', 443, true],
    ['10.0.0.53', 80, true],
    ['10.0.0.53', 8080, false],
  ])('%s port %i: %s', (address, port, own) => {
    expect(set.has(addressOf(address), port)).toBe(own)
  })

  it('are on every address of this machine when they listen on all', () => {
    for (const { address } of Object.values(networkInterfaces()).flatMap((each) => each ?? [])) {
      if (!address.startsWith('fe80')) expect(set.has(addressOf(address), 8443)).toBe(true)
    }
  })
})
