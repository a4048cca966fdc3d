import { execFileSync } from 'node:child_process'
import { createHash, generateKeyPairSync, X509Certificate, type KeyObject } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseHost, type Host } from '#base/host.ts'
import { Secret } from '#base/secret.ts'
import { createAuthority, openAuthority, type Authority } from '#ca/authority.ts'
import { encode, positive, time } from '#ca/der.ts'
import { issueLeaf, longestLifeMs } from '#ca/leaf.ts'
import { authorityExtensions, distinguishedName, issue, pem, subjectKey } from '#ca/x509.ts'
import { have } from '../kit/clients.ts'

const dayMs = 86_400_000
const now = Date.now()
const short = parseHost('api.example.com') as Host
const long = parseHost(`${'a'.repeat(60)}.${'b'.repeat(30)}.example.com`) as Host

const roots: Record<string, Authority> = {
  'P-256': ours(),
  'P-384': foreign(generateKeyPairSync('ec', { namedCurve: 'P-384' })),
  RSA: foreign(generateKeyPairSync('rsa', { modulusLength: 2048 })),
}

function ours(): Authority {
  return openAuthority({ ...createAuthority({ commonName: 'Test CA', days: 10, now }), now })
}

/** A root whose key is not one of ours, as an operator might bring. */
function foreign({ publicKey, privateKey }: { publicKey: KeyObject; privateKey: KeyObject }): Authority {
  const subject = distinguishedName('Überfirma root')
  const key = subjectKey(publicKey)
  const extensions = authorityExtensions(key.id)
  const der = issue({
    subject,
    issuer: subject,
    key,
    signingKey: privateKey,
    notBefore: now - 1000,
    notAfter: now + dayMs,
    extensions,
  })
  const keyPem = new Secret('key', privateKey.export({ type: 'pkcs8', format: 'pem' }))
  return openAuthority({ certPem: pem(der), keyPem, now })
}

function leafOf(authority: Authority, host: Host, lifetimeMs = 3 * dayMs): string {
  return issueLeaf(authority, { hosts: [host], key: freshKey(), now, lifetimeMs }).certPem
}

function freshKey() {
  return subjectKey(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey)
}

describe.each(Object.entries(roots))('a leaf of a %s authority', (_, authority) => {
  const root = new X509Certificate(authority.certPem)

  test.each([short, long])('is signed by it and covers %s and nothing else', (host) => {
    const leaf = new X509Certificate(leafOf(authority, host))
    expect(leaf.verify(root.publicKey)).toBe(true)
    expect(leaf.checkIssued(root)).toBe(true)
    expect(leaf.ca).toBe(false)
    expect(leaf.checkHost(host)).toBe(host)
    expect(leaf.checkHost(`x.${host}`)).toBeUndefined()
    expect(leaf.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1'])
  })

  test.skipIf(!have('openssl')).each([short, long])(
    'passes the strict check of OpenSSL for %s (skipped without openssl)',
    (host) => {
      writeFileSync(file('root.pem'), authority.certPem)
      writeFileSync(file('leaf.pem'), leafOf(authority, host))
      const strict = [
        'verify',
        '-x509_strict',
        '-purpose',
        'sslserver',
        '-verify_hostname',
        host,
        '-CAfile',
        file('root.pem'),
        file('leaf.pem'),
      ]
      expect(execFileSync('openssl', strict, { encoding: 'utf8' })).toContain('leaf.pem: OK')
    },
  )
})

test('the subject holds the name up to 64 characters, and is empty past that', () => {
  const authority = roots['P-256'] as Authority
  expect(new X509Certificate(leafOf(authority, short)).subject).toBe('CN=api.example.com')
  expect(new X509Certificate(leafOf(authority, long)).subject).toBeFalsy()
})

test.skipIf(!have('openssl'))(
  'the extensions are the ones clients ask for, critical where they must be (skipped without openssl)',
  () => {
    const authority = roots['P-256'] as Authority
    const shown = text(leafOf(authority, long))
    expect(shown).toMatch(/Version: 3/)
    expect(shown).toMatch(/Basic Constraints: critical\s+CA:FALSE/)
    expect(shown).toMatch(/Key Usage: critical\s+Digital Signature\n/)
    expect(shown).toMatch(/Extended Key Usage: *\n\s+TLS Web Server Authentication\n/)
    expect(shown).toMatch(/Subject Alternative Name: critical\s+DNS:a+\.b+\.example\.com\n/)
    expect(shown).toMatch(/Authority Key Identifier/)
    expect(shown).toMatch(/Signature Algorithm: ecdsa-with-SHA256/)
    expect(text(leafOf(authority, short))).toMatch(/Subject Alternative Name: *\n/)
    const root = text(authority.certPem)
    expect(root).toMatch(/Basic Constraints: critical\s+CA:TRUE, pathlen:2/)
    expect(root).toMatch(/Key Usage: critical\s+Certificate Sign, CRL Sign\n/)
    expect(root).toMatch(/Subject Key Identifier/)
  },
)

test('serials are positive, 128 bits and not repeated', () => {
  const serials = Array.from({ length: 50 }, () => new X509Certificate(leafOf(roots['P-256'] as Authority, short)).serialNumber)
  expect(new Set(serials).size).toBe(50)
  expect(serials.every((serial) => /^[0-9A-F]{24,32}$/.test(serial))).toBe(true)
})

test('a leaf begins an hour early at most, lives seven days at most, and ends before its authority', () => {
  const key = freshKey()
  const authority = roots['P-256'] as Authority
  const week = issueLeaf(authority, { hosts: [short], key, now, lifetimeMs: longestLifeMs })
  const seen = new X509Certificate(week.certPem)
  expect(now - seen.validFromDate.getTime()).toBeLessThanOrEqual(3_600_000 + 1000)
  expect(seen.validToDate.getTime() - seen.validFromDate.getTime()).toBeLessThanOrEqual(longestLifeMs)
  const late = authority.notAfter - 1000
  expect(issueLeaf(authority, { hosts: [short], key, now: late, lifetimeMs: dayMs }).notAfter).toBe(authority.notAfter)
  expect(() => issueLeaf(authority, { hosts: [short], key, now: authority.notAfter, lifetimeMs: dayMs })).toThrow(/expired/)
})

describe('a key is identified by its own bytes', () => {
  const identify = (bytes: Buffer) => createHash('sha256').update(bytes).digest().subarray(0, 20)

  test('when they happen to look like DER', () => {
    let key: KeyObject
    let point: Buffer
    // An uncompressed point begins with 4, the tag of an OCTET STRING; 63 would be its length.
    do {
      key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey
      const { x = '', y = '' } = key.export({ format: 'jwk' })
      point = Buffer.concat([Buffer.from([4]), Buffer.from(x, 'base64url'), Buffer.from(y, 'base64url')])
    } while (point[1] !== 63)
    expect(subjectKey(key).id).toEqual(identify(point))
    expect(encode(subjectKey(key).info)).toEqual(key.export({ type: 'spki', format: 'der' }))
  })

  test('when it is an RSA key, whose bytes are DER', () => {
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    expect(subjectKey(publicKey).id).toEqual(identify(publicKey.export({ type: 'pkcs1', format: 'der' })))
  })
})

test.each([
  ['zero', [0], '020100'],
  ['a leading zero that is not needed', [0, 1], '020101'],
  ['a high bit that needs a leading zero', [0x80], '02020080'],
])('an integer with %s is written in the shortest form', (_, bytes, hex) => {
  expect(encode(positive(Buffer.from(bytes))).toString('hex')).toBe(hex)
})

test('times from 2050 on are written as GeneralizedTime', () => {
  expect(encode(time(Date.UTC(2049, 11, 31, 23, 59, 59))).toString('latin1')).toBe('\x17\x0d491231235959Z')
  expect(encode(time(Date.UTC(2050, 0, 1))).toString('latin1')).toBe('\x18\x0f20500101000000Z')
})

let directory = ''
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'x509-'))
})
afterAll(() => rmSync(directory, { recursive: true }))

function file(name: string): string {
  return join(directory, name)
}

function text(certPem: string): string {
  writeFileSync(file('shown.pem'), certPem)
  return execFileSync('openssl', ['x509', '-noout', '-text', '-in', file('shown.pem')], { encoding: 'utf8' })
}
