import { writeFile } from 'node:fs/promises'
import { mkdtempDisposable } from 'node:fs/promises'
import { rootCertificates } from 'node:tls'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { bundlePem } from '#ca/bundle.ts'
import { javaTrustStore, storePassword } from '#ca/java-store.ts'
import { testAuthority } from '../kit/ca.ts'
import { have, run } from '../kit/clients.ts'

it.skipIf(!have('keytool'))('a Java trust store has the whole bundle (needs keytool)', async () => {
  await using made = await mkdtempDisposable(join(tmpdir(), 'java-'))
  const file = join(made.path, 'bundle.jks')
  await writeFile(file, javaTrustStore(bundlePem(testAuthority().certPem), Date.now()))
  const { stdout, code } = await run('keytool', ['-list', '-keystore', file, '-storepass', storePassword])
  expect(code).toBe(0)
  expect(stdout).toContain(`contains ${rootCertificates.length + 1} entries`)
  const broken = await run('keytool', ['-list', '-keystore', file, '-storepass', 'another'])
  expect(broken.code).not.toBe(0)
})

it('begins as every such store does, and an empty bundle is an empty store', () => {
  const store = javaTrustStore('', 0)
  expect(store.subarray(0, 12).toString('hex')).toBe('feedfeed0000000200000000')
  expect(store).toHaveLength(12 + 20)
})
