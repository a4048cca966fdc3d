import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createAuthority } from '#ca/authority.ts'
import { loadAuthority, writeAuthority, type AuthorityPaths } from '#ca/files.ts'

const now = Date.now()
const made = createAuthority({ commonName: 'Test CA', days: 2, now })

let directory = ''
let paths: AuthorityPaths
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'ca-'))
  paths = { certPath: join(directory, 'deep/certs/ca.crt'), keyPath: join(directory, 'deep/keys/ca.key') }
})
afterEach(() => rm(directory, { recursive: true }))

test('an authority that was written can be loaded, and only its owner can read the key', async () => {
  await writeAuthority(made, paths)
  expect((await stat(paths.keyPath)).mode & 0o777).toBe(0o600)
  expect((await stat(paths.certPath)).mode & 0o077).toBe(0o044)
  const authority = await loadAuthority({ ...paths, now })
  expect(authority.certPem).toBe(made.certPem)
})

test.each(['certPath', 'keyPath'] as const)(
  'what stands at %s is never written over, and nothing is left behind',
  async (which) => {
    await mkdir(join(directory, 'deep/certs'), { recursive: true })
    await mkdir(join(directory, 'deep/keys'), { recursive: true })
    await writeFile(paths[which], 'precious')
    await expect(writeAuthority(made, paths)).rejects.toMatchObject({
      code: 'ca_exists',
      message: expect.stringContaining(paths[which]),
    })
    expect(await readFile(paths[which], 'utf8')).toBe('precious')
    const other = which === 'certPath' ? paths.keyPath : paths.certPath
    await expect(stat(other)).rejects.toMatchObject({ code: 'ENOENT' })
  },
)

test('of two writers at once one wins, and the pair on disk belongs together', async () => {
  const other = createAuthority({ commonName: 'Other', days: 2, now })
  const results = await Promise.allSettled([writeAuthority(made, paths), writeAuthority(other, paths)])
  expect(results.map((each) => each.status).toSorted()).toEqual(['fulfilled', 'rejected'])
  await loadAuthority({ ...paths, now })
})

test.each([0o640, 0o604, 0o644, 0o660, 0o610])('a key of mode %o is refused with the command that mends it', async (mode) => {
  await writeAuthority(made, paths)
  await chmod(paths.keyPath, mode)
  await expect(loadAuthority({ ...paths, now })).rejects.toMatchObject({
    code: 'ca_key_mode',
    message: expect.stringContaining(`chmod 600 ${paths.keyPath}`),
  })
})

test('a key may come through its group only when another user owns it, and never for writing or for all', async () => {
  await writeAuthority(made, paths)
  const { uid } = await stat(paths.keyPath)
  await chmod(paths.keyPath, 0o440)
  await expect(loadAuthority({ ...paths, now, uid })).rejects.toMatchObject({ code: 'ca_key_mode' })
  await loadAuthority({ ...paths, now, uid: uid + 1 })
  for (const mode of [0o460, 0o444]) {
    await chmod(paths.keyPath, mode)
    await expect(loadAuthority({ ...paths, now, uid: uid + 1 })).rejects.toMatchObject({ code: 'ca_key_mode' })
  }
})

test('a missing file and one that cannot be read are told apart', async () => {
  await expect(loadAuthority({ ...paths, now })).rejects.toMatchObject({
    code: 'ca_missing',
    message: expect.stringContaining('ca init'),
  })
  await mkdir(paths.certPath, { recursive: true })
  await expect(loadAuthority({ ...paths, now })).rejects.toMatchObject({
    code: 'ca_unreadable',
    message: expect.stringContaining('EISDIR'),
  })
})

test('a file where a directory should be is not taken for an authority', async () => {
  await writeFile(join(directory, 'deep'), '')
  await expect(writeAuthority(made, paths)).rejects.toMatchObject({ code: 'ca_unreadable' })
})
