import { generateKeyPairSync, X509Certificate, type KeyObject } from 'node:crypto'
import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { Secret } from '#base/secret.ts'
import { AuthorityError, createAuthority, openAuthority } from '#ca/authority.ts'
import { authorityExtensions, distinguishedName, issue, pem, subjectKey } from '#ca/x509.ts'
import { makeTestAuthority } from '../kit/ca.ts'

const now = Date.UTC(2026, 5, 1)
const made = createAuthority({ commonName: 'Test CA', days: 2, now })
const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })

test('a new authority is a CA for its days, begins an hour early, and can be opened', () => {
  const certificate = new X509Certificate(made.certPem)
  expect(certificate.ca).toBe(true)
  expect(certificate.subject).toBe('CN=Test CA')
  const authority = openAuthority({ ...made, now })
  expect(authority.notBefore).toBe(now - 3_600_000)
  expect(authority.notAfter).toBe(now + 2 * 86_400_000)
  expect(authority.fingerprint).toBe(certificate.fingerprint256)
  expect(authority.chainPem).toBe('')
})

test.each([
  [{ commonName: '', days: 1 }],
  [{ commonName: 'x'.repeat(65), days: 1 }],
  [{ commonName: 'x', days: 0 }],
  [{ commonName: 'x', days: 1.5 }],
  [{ commonName: 'x', days: Number.NaN }],
])('an authority is not made from %j', (order) => {
  expect(() => createAuthority({ ...order, now })).toThrow(RangeError)
})

const noExtensions = selfSigned(pair, [])
const leaf = makeTestAuthority('Another').leaf('api.example.com')

test.each([
  ['no certificate at all', 'nothing here', made.keyPem, now, 'ca_unreadable'],
  ['a broken certificate', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n', made.keyPem, now, 'ca_unreadable'],
  ['a leaf', leaf.certPem, new Secret('key', leaf.keyPem), Date.now(), 'ca_not_a_ca'],
  ['a certificate without basicConstraints', noExtensions, keyText(pair.privateKey), now, 'ca_not_a_ca'],
  ['no key', made.certPem, new Secret('key', 'nothing here'), now, 'ca_unreadable'],
  ['an encrypted key', made.certPem, new Secret('key', encrypted(pair.privateKey)), now, 'ca_unreadable'],
  ['the key of another', made.certPem, keyText(pair.privateKey), now, 'ca_key_mismatch'],
  ['an Ed25519 key', made.certPem, keyText(generateKeyPairSync('ed25519').privateKey), now, 'ca_key_unsupported'],
  [
    'a secp256k1 key',
    made.certPem,
    keyText(generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).privateKey),
    now,
    'ca_key_unsupported',
  ],
  [
    'a short RSA key',
    made.certPem,
    keyText(generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey),
    now,
    'ca_key_unsupported',
  ],
  ['an expired certificate', made.certPem, made.keyPem, now + 2 * 86_400_000, 'ca_expired'],
  ['a certificate of tomorrow', made.certPem, made.keyPem, now - 86_400_000, 'ca_not_yet_valid'],
])('%s is refused, and the message holds no secret', (_, certPem, keyPem, at, code) => {
  const error = caught(() => openAuthority({ certPem, keyPem, now: at }, { cert: 'some/ca.crt', key: 'some/ca.key' }))
  expect(error.code).toBe(code)
  expect(error.message).toMatch(/^some\/ca\.(crt|key): /)
  const middle = keyPem.expose().split('\n')[1]
  if (middle) expect(inspect(error, { depth: 10, showHidden: true })).not.toContain(middle)
})

describe('keys of other kinds sign', () => {
  test.each([
    ['SEC 1', 'ec', () => generateKeyPairSync('ec', { namedCurve: 'P-256' }), 'sec1'],
    ['PKCS #8 on P-521', 'ec', () => generateKeyPairSync('ec', { namedCurve: 'P-521' }), 'pkcs8'],
    ['PKCS #1', 'rsa', () => generateKeyPairSync('rsa', { modulusLength: 2048 }), 'pkcs1'],
  ] as const)('%s', (_, type, generate, format) => {
    const keys = generate()
    const certPem = selfSigned(keys, authorityExtensions(subjectKey(keys.publicKey).id))
    // The typings know which formats go with which key only when both are literals.
    const text = keys.privateKey.export({ type: format as 'pkcs8', format: 'pem' })
    expect(openAuthority({ certPem, keyPem: new Secret('key', text), now }).key.asymmetricKeyType).toBe(type)
  })
})

test('an authority below a root sends its own certificate along, and not the root', () => {
  const root = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const issuer = distinguishedName('Root')
  const subject = distinguishedName('Issuing')
  const times = { notBefore: now - 1000, notAfter: now + 86_400_000 }
  const rootPem = pem(
    issue({
      subject: issuer,
      issuer,
      key: subjectKey(root.publicKey),
      signingKey: root.privateKey,
      ...times,
      extensions: authorityExtensions(subjectKey(root.publicKey).id),
    }),
  )
  const certPem = pem(
    issue({
      subject,
      issuer,
      key: subjectKey(pair.publicKey),
      signingKey: root.privateKey,
      ...times,
      extensions: authorityExtensions(subjectKey(pair.publicKey).id),
    }),
  )
  const authority = openAuthority({ certPem: certPem + rootPem, keyPem: keyText(pair.privateKey), now })
  expect(authority.chainPem).toBe(certPem)
  expect(authority.certPem).toBe(certPem + rootPem)
})

test('an authority does not print its key', () => {
  const shown =
    inspect({ made, authority: openAuthority({ ...made, now }) }, { depth: 10, showHidden: true }) + JSON.stringify(made)
  const middle = made.keyPem.expose().split('\n')[1] as string
  expect(shown).not.toContain(middle)
  expect(shown).toContain('[secret CA key]')
})

function selfSigned(
  keys: { publicKey: KeyObject; privateKey: KeyObject },
  extensions: ReturnType<typeof authorityExtensions>,
): string {
  const subject = distinguishedName('Self')
  return pem(
    issue({
      subject,
      issuer: subject,
      key: subjectKey(keys.publicKey),
      signingKey: keys.privateKey,
      notBefore: now - 1000,
      notAfter: now + 86_400_000,
      extensions,
    }),
  )
}

function keyText(key: KeyObject): Secret {
  return new Secret('key', key.export({ type: 'pkcs8', format: 'pem' }))
}

function encrypted(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'open sesame' })
}

function caught(work: () => unknown): AuthorityError {
  try {
    work()
  } catch (error) {
    if (error instanceof AuthorityError) return error
    throw error
  }
  throw new Error('nothing was thrown')
}
