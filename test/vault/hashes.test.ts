import { expect, it } from 'vitest'
import { hashes } from '#vault/hashes.ts'

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

it('hashes as FIPS 180-4 and RFC 4231 section 4.3 have it', () => {
  expect(hex(hashes.sha256(Buffer.from('abc')))).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
  const signed = '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843'
  expect(hex(hashes.hmacSha256('Jefe', Buffer.from('what do ya want for nothing?')))).toBe(signed)
  expect(hex(hashes.hmacSha256(Buffer.from('Jefe'), Buffer.from('what do ya want for nothing?')))).toBe(signed)
})
