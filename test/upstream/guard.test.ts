import { describe, expect, it } from 'vitest'
import { permitted } from '#upstream/guard.ts'
import type { OwnSockets } from '#upstream/guard.ts'
import { addressOf } from '../journey/parts.ts'
import { cidrOf } from './parts.ts'

const nobody: OwnSockets = { has: () => false }

function dialled(texts: readonly string[], allowed: readonly string[] = [], own = nobody): readonly string[] | string {
  try {
    return permitted(texts.map(addressOf), 443, { allowPrivate: allowed.map(cidrOf), own })
  } catch (error) {
    return (error as { code: string }).code
  }
}

describe('an address', () => {
  it.each([
    '127.0.0.1',
    '127.8.8.8',
    '0.0.0.0',
    '0.1.2.3',
    '10.0.0.1',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.1.1',
    '100.64.0.1',
    '169.254.169.254',
    '192.0.0.1',
    '198.18.0.1',
    '224.0.0.1',
    '255.255.255.255',
    '240.0.0.1',
    '::',
    '::1',
    '::ffff:127.0.0.1',
    '::ffff:10.0.0.1',
    '::127.0.0.1',
    '64:ff9b::7f00:1',
    '64:ff9b:1::1',
    '2002:7f00:1::',
    '2001::1',
    'fe80::1',
    'fec0::1',
    'fc00::1',
    'fd00:ec2::254',
    'ff02::1',
    '2001:db8::1',
  ])('%s is not dialled', (text) => {
    expect(dialled([text])).toBe('destination_denied')
  })

  it.each(['1.1.1.1', '8.8.8.8', '172.32.0.1', '100.128.0.1', '2606:4700::1111', '::ffff:1.1.1.1'])('%s is dialled', (text) => {
    expect(dialled([text])).toEqual([addressOf(text)])
  })

  it('that is private is dialled inside an allowed range, and only there', () => {
    expect(dialled(['10.1.2.3'], ['10.0.0.0/8'])).toEqual(['10.1.2.3'])
    expect(dialled(['10.1.2.3'], ['10.2.0.0/16'])).toBe('destination_denied')
    expect(dialled(['::ffff:10.1.2.3'], ['10.0.0.0/8'])).toEqual(['10.1.2.3'])
  })

  it('that may not be dialled is left out beside one that may', () => {
    expect(dialled(['127.0.0.1', '1.1.1.1', '10.0.0.1', '8.8.8.8'])).toEqual(['1.1.1.1', '8.8.8.8'])
  })

  it('that is our own socket is a loop, though others stand beside it', () => {
    const own = { has: (address: string): boolean => address === '8.8.4.4' }
    expect(dialled(['1.1.1.1', '8.8.4.4'], [], own)).toBe('proxy_loop')
  })
})
