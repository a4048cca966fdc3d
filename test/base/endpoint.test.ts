import { describe, expect, it } from 'vitest'
import { parseEndpoint } from '#base/endpoint.ts'

describe('an address that may name a port', () => {
  it.each([
    ['10.0.0.1', { address: '10.0.0.1', port: undefined }],
    ['10.0.0.1:53', { address: '10.0.0.1', port: 53 }],
    ['fd00::1', { address: 'fd00::1', port: undefined }],
    ['[fd00::1]:8443', { address: 'fd00::1', port: 8443 }],
    ['0.0.0.0:65535', { address: '0.0.0.0', port: 65535 }],
  ])('%s is read', (text, expected) => {
    expect(parseEndpoint(text)).toEqual(expected)
  })

  it.each([
    '',
    'host:53',
    '10.0.0.1:',
    '10.0.0.1:0',
    '10.0.0.1:053',
    '10.0.0.1:65536',
    '127.1:53',
    'fd00::1]:53',
    '[10.0.0.1',
    ':53',
  ])('%j is refused', (text) => {
    expect(parseEndpoint(text)).toBeUndefined()
  })
})
