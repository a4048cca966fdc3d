import { generateKeyPairSync, randomBytes, verify } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { Secret } from '#base/secret.ts'
import { leaseTools, signJwt } from '#vault/leases/jwt.ts'

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const short = generateKeyPairSync('rsa', { modulusLength: 1024 })
const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' })

const pem = (key: KeyObject, type: 'pkcs8' | 'pkcs1' | 'sec1' = 'pkcs8') =>
  new Secret('the key', key.export({ type: type as 'pkcs8', format: 'pem' }))
const read = (part = ''): unknown => JSON.parse(Buffer.from(part, 'base64url').toString())

describe('a JWT', () => {
  test.each([
    ['RS256', rsa, pem(rsa.privateKey)],
    ['RS256', rsa, pem(rsa.privateKey, 'pkcs1')],
    ['ES256', p256, pem(p256.privateKey)],
    ['ES256', p256, pem(p256.privateKey, 'sec1')],
  ] as const)('signed with %s is verified with the public key', (alg, { publicKey }, key) => {
    const jwt = signJwt({ alg, kid: 'one' }, { iss: 'app', exp: 5 }, key)
    const [header, claims, signature] = jwt.split('.')
    expect(read(header)).toEqual({ typ: 'JWT', alg, kid: 'one' })
    expect(read(claims)).toEqual({ iss: 'app', exp: 5 })
    const check = (text: string) =>
      verify(
        'sha256',
        Buffer.from(text),
        { key: publicKey, dsaEncoding: 'ieee-p1363' },
        Buffer.from(signature ?? '', 'base64url'),
      )
    expect(check(`${header}.${claims}`)).toBe(true)
    expect(check(`${header}.${claims}x`)).toBe(false)
    expect(jwt).not.toMatch(/[^\w.-]/)
  })

  test.each([
    ['an EC key', 'RS256', pem(p256.privateKey)],
    ['an RSA key', 'ES256', pem(rsa.privateKey)],
    ['a key that is too short', 'RS256', pem(short.privateKey)],
    ['another curve', 'ES256', pem(p384.privateKey)],
    ['no key at all', 'RS256', new Secret('the key', randomBytes(40).toString('hex'))],
  ] as const)('is not made with %s for %s, and the error names the key alone', (_, alg, key) => {
    const fails = () => signJwt({ alg }, {}, key)
    expect(fails).toThrow(expect.objectContaining({ code: 'credential_unavailable' }) as Error)
    expect(fails).toThrow(/^the key is not /)
  })
})

test('a nonce is never the same', () => {
  const nonces = Array.from({ length: 100 }, () => leaseTools.nonce())
  expect(new Set(nonces).size).toBe(100)
  for (const nonce of nonces) expect(nonce).toMatch(/^[\w-]{22}$/)
})
