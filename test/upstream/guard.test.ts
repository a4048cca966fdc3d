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
    '4000::1',
    '8000::1',
    'fe00::1',
    '100:0:0:1::1',
    '1::1',
    '200::1',
    '1fff:ffff::1',
    '5f00::1',
    '6000::1',
    'a000::1',
    'c000::1',
    'e000::1',
    'fbff::1',
    'febf::1',
    '100::1',
    '::ffff:0:7f00:1',
    '::ffff:169.254.169.254',
    '64:ff9b::a9fe:a9fe',
    '64:ff9b::808:808',
    '64:ff9b:2::1',
    '2002:a9fe:a9fe::1',
    '2002:808:808::1',
    '2001:0:7f00:1::1',
    '2001:2::1',
    '2001:20::1',
    '2001:1ff::1',
    '3fff::1',
    '2620:4f:8000::1',
    '192.0.2.1',
    '192.31.196.1',
    '192.52.193.1',
    '192.88.99.1',
    '192.175.48.1',
    '198.51.100.1',
    '203.0.113.1',
    '168.63.129.16',
  ])('%s is not dialled', (text) => {
    expect(dialled([text])).toBe('destination_denied')
  })

  it.each([
    '1.1.1.1',
    '8.8.8.8',
    '172.32.0.1',
    '100.128.0.1',
    '168.63.129.17',
    '2000::1',
    '2001:200::1',
    '2003::1',
    '2606:4700::1111',
    '2a00:1450::1',
    '3ffe:ffff::1',
    '::ffff:1.1.1.1',
  ])('%s is dialled', (text) => {
    expect(dialled([text])).toEqual([addressOf(text)])
  })

  it('that is private is dialled inside an allowed range, and only there', () => {
    expect(dialled(['10.1.2.3'], ['10.0.0.0/8'])).toEqual(['10.1.2.3'])
    expect(dialled(['10.1.2.3'], ['10.2.0.0/16'])).toBe('destination_denied')
    expect(dialled(['::ffff:10.1.2.3'], ['10.0.0.0/8'])).toEqual(['10.1.2.3'])
  })

  it.each([
    ['64:ff9b::808:808', '64:ff9b::/96'],
    ['64:ff9b:1::808:808', '64:ff9b:1::/48'],
    ['2002:808:808::1', '2002::/16'],
  ])('%s is dialled inside the allowed range %s, as the IPv4 address in it is public', (text, range) => {
    expect(dialled([text], [range])).toEqual([text])
  })

  it.each([
    ['64:ff9b::a9fe:a9fe', '64:ff9b::/96'],
    ['64:ff9b:1::7f00:1', '64:ff9b:1::/48'],
    ['2002:a00:1::1', '2002::/16'],
    ['::ffff:0:a9fe:a9fe', '::ffff:0:0:0/96'],
    ['2001:0:808:808::f5ff:fffe', '2001::/32'],
    ['::7f00:1', '::/96'],
  ])('%s is not dialled inside the allowed range %s, as the IPv4 address in it is not', (text, range) => {
    expect(dialled([text], [range])).toBe('destination_denied')
  })

  it('with an IPv4 address in it is dialled where both are allowed', () => {
    expect(dialled(['64:ff9b::a01:203'], ['64:ff9b::/96', '10.0.0.0/8'])).toEqual(['64:ff9b::a01:203'])
  })

  it('that may not be dialled is left out beside one that may', () => {
    expect(dialled(['127.0.0.1', '1.1.1.1', '10.0.0.1', '8.8.8.8'])).toEqual(['1.1.1.1', '8.8.8.8'])
  })

  it('that is our own socket is a loop, though others stand beside it', () => {
    const own = { has: (address: string): boolean => address === '8.8.4.4' }
    expect(dialled(['1.1.1.1', '8.8.4.4'], [], own)).toBe('proxy_loop')
  })
})
