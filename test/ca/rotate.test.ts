import { X509Certificate } from 'node:crypto'
import { existsSync } from 'node:fs'
import { copyFile, mkdtemp, readFile, rename, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createAuthority, type Authority } from '#ca/authority.ts'
import { writeAuthority } from '#ca/files.ts'
import { issueIntermediate, mayHaveIntermediate } from '#ca/intermediate.ts'
import { activate, retire, stage } from '#ca/rotate.ts'
import { loadTrust, rotationPaths } from '#ca/trust.ts'
import { run } from '../kit/clients.ts'
import { leafBelow, shallowAuthority, verified } from './chains.ts'

const now = Date.now()
const order = { commonName: 'Next CA', days: 30 }
let folder: string
let place: { certPath: string; keyPath: string; now: number }
let first: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ca-'))
  place = { certPath: join(folder, 'ca.crt'), keyPath: join(folder, 'ca.key'), now }
  const made = createAuthority({ commonName: 'First CA', days: 30, now })
  first = made.certPem
  await writeAuthority(made, place)
})
afterEach(() => rm(folder, { recursive: true }))

const subjects = async (): Promise<readonly string[]> =>
  ((await loadTrust(place)).ours.match(/-----BEGIN[^]*?-----END CERTIFICATE-----/g) ?? []).map((each) =>
    new X509Certificate(each).subject.replace('CN=', ''),
  )
const issuerNow = async (): Promise<Authority> => issueIntermediate((await loadTrust(place)).active, now)

describe('a rotation', () => {
  test('hands out both roots while it lasts, the one in force first', async () => {
    expect(await subjects()).toEqual(['First CA'])
    expect(await stage(place, order)).toEqual({ crossSigned: true })
    expect(await subjects()).toEqual(['First CA', 'Next CA'])
    await activate(place, false)
    expect(await subjects()).toEqual(['Next CA', 'First CA'])
    await retire(place)
    expect(await subjects()).toEqual(['Next CA'])
    expect(Object.values(rotationPaths(place)).filter((path) => existsSync(path))).toEqual([])
  })

  test('is believed at each step by whoever holds the old root, the new one, or both', async () => {
    await stage(place, order)
    const next = await readFile(rotationPaths(place).nextCert, 'utf8')
    const table: string[] = []
    const tell = async (step: string): Promise<void> => {
      const chain = leafBelow(await issuerNow(), 'good.test', now)
      for (const [name, bundle] of Object.entries({ old: first, new: next, both: first + next }))
        table.push(`${step} ${name} ${(await verified(chain, bundle, folder)) ? 'ok' : 'no'}`)
    }
    await tell('staged')
    await activate(place, false)
    await tell('activated')
    await retire(place)
    await tell('retired')
    expect(table).toEqual([
      'staged old ok',
      'staged new no',
      'staged both ok',
      'activated old ok',
      'activated new ok',
      'activated both ok',
      'retired old no',
      'retired new ok',
      'retired both ok',
    ])
  })

  test('keeps keys to their owner', async () => {
    await stage(place, order)
    const paths = rotationPaths(place)
    expect((await stat(paths.nextKey)).mode & 0o777).toBe(0o600)
    await activate(place, false)
    expect((await stat(place.keyPath)).mode & 0o777).toBe(0o600)
    expect((await stat(paths.oldKey)).mode & 0o777).toBe(0o600)
  })

  test.each<[string, () => Promise<unknown>, string]>([
    ['activated before it is staged', () => activate(place, false), 'ca_missing'],
    ['retired before it is activated', () => retire(place), 'ca_missing'],
    ['staged twice', () => stage(place, order).then(() => stage(place, order)), 'ca_exists'],
    ['retired while one is staged', () => stage(place, order).then(() => retire(place)), 'ca_missing'],
    [
      'staged before the last is over',
      () =>
        stage(place, order)
          .then(() => activate(place, false))
          .then(() => stage(place, order)),
      'ca_exists',
    ],
  ])('cannot be %s', async (_, act, code) => {
    await expect(act()).rejects.toMatchObject({ code })
  })

  test('goes on after a crash between any two of its renames', async () => {
    await stage(place, order)
    const paths = rotationPaths(place)
    // As it stands when the key is in place and the certificate is not.
    await copyFile(place.certPath, paths.oldCert)
    await rename(paths.nextCross, paths.cross)
    await rename(paths.nextKey, place.keyPath)
    await expect(loadTrust(place)).rejects.toThrow(/go on with `iron-proxy ca rotate --activate`/)
    await expect(retire(place)).rejects.toMatchObject({ code: 'ca_key_mismatch' })
    await activate(place, false)
    expect(await subjects()).toEqual(['Next CA', 'First CA'])
    expect(await verified(leafBelow(await issuerNow(), 'good.test', now), first, folder)).toBe(true)
  })

  test('from a CA that may have none below it needs every agent to have the bundle, and says so', async () => {
    await rm(place.certPath)
    await rm(place.keyPath)
    const old = shallowAuthority(now)
    await writeAuthority(old, place)
    expect(mayHaveIntermediate((await loadTrust(place)).active)).toBe(false)
    expect(await stage(place, order)).toEqual({ crossSigned: false })
    await expect(activate(place, false)).rejects.toThrow(/add --force/)
    await activate(place, true)
    expect(await subjects()).toEqual(['Next CA', 'Shallow CA'])
  })

  test('that brings a word for another key is not sent', async () => {
    await stage(place, order)
    await rename(rotationPaths(place).nextCross, rotationPaths(place).cross)
    expect((await loadTrust(place)).active.chainPem).toBe('')
  })
})

test('an intermediate passes the strict checks of OpenSSL', async () => {
  const chain = leafBelow(await issuerNow(), 'good.test', now)
  expect(await verified(chain, first, folder, ['-x509_strict', '-purpose', 'sslserver', '-verify_hostname', 'good.test'])).toBe(
    true,
  )
  const text = (await run('openssl', ['x509', '-noout', '-text'], { input: chain.chainPem })).stdout
  expect(text).toMatch(/CA:TRUE, pathlen:0/)
  expect(text).toMatch(/Authority Key Identifier/)
})
