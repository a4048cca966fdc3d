import { rootCertificates } from 'node:tls'
import { expect, test } from 'vitest'
import { bundlePem, certificatesIn } from '#ca/bundle.ts'
import { createAuthority } from '#ca/authority.ts'

const made = createAuthority({ commonName: 'Test CA', days: 2, now: Date.now() })

test('the bundle holds our CA first and every public root after it', () => {
  const certificates = certificatesIn(bundlePem(made.certPem))
  expect(certificates).toHaveLength(1 + rootCertificates.length)
  expect(certificates[0]).toBe(made.certPem.trim())
})

test('the bundle can be ours alone', () => {
  expect(bundlePem(made.certPem, { only: 'ours' })).toBe(made.certPem)
})

test('a key in the same file is never handed out', () => {
  const key = made.keyPem.expose()
  for (const mixed of [key + made.certPem, made.certPem + key, made.certPem + key + made.certPem]) {
    expect(bundlePem(mixed)).not.toContain('PRIVATE')
    expect(bundlePem(mixed)).not.toContain(key.split('\n')[1])
  }
})
