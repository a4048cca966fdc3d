import { cp, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createAuthority } from '#ca/authority.ts'
import { writeAuthority } from '#ca/files.ts'
import { activate, stage } from '#ca/rotate.ts'
import { have, run } from '../kit/clients.ts'

const bin = join(import.meta.dirname, '..', '..', 'src', 'bin.js')
const now = Date.now()
const mounts = have('unshare') && (await run('unshare', ['--mount', 'true'])).code === 0

let top: string
/** A CA at each of its stages, by folder. */
const folders = ['empty', 'settled', 'staged', 'activated'] as const

beforeAll(async () => {
  top = await mkdtemp(join(tmpdir(), 'ca-'))
  const placeIn = (folder: string) => ({ certPath: join(top, folder, 'ca.crt'), keyPath: join(top, folder, 'ca.key'), now })
  await cp(await mkdtemp(join(top, 'nothing-')), join(top, 'empty'), { recursive: true })
  await writeAuthority(createAuthority({ commonName: 'First CA', days: 30, now }), placeIn('settled'))
  await cp(join(top, 'settled'), join(top, 'staged'), { recursive: true })
  await stage(placeIn('staged'), { commonName: 'Next CA', days: 30 })
  await cp(join(top, 'staged'), join(top, 'activated'), { recursive: true })
  await activate(placeIn('activated'), false)
})
afterAll(() => rm(top, { recursive: true }))

describe.skipIf(!mounts)('a CA that is mounted read-only (skipped without the right to mount)', () => {
  test.each<[(typeof folders)[number], readonly string[]]>([
    ['empty', ['init']],
    ['settled', ['rotate', '--stage']],
    ['staged', ['rotate', '--activate']],
    ['activated', ['rotate', '--retire']],
  ])('%s: `ca %j` says where to do it, and changes nothing', async (name, command) => {
    const folder = join(top, name)
    const before = await readdir(folder)
    const script = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
    const files = ['--ca-cert', join(folder, 'ca.crt'), '--ca-key', join(folder, 'ca.key')]
    const done = await run('unshare', ['--mount', 'sh', '-c', script, folder, process.execPath, bin, 'ca', ...command, ...files])
    expect(done.code).toBe(78)
    expect(done.stderr).toMatch(
      /^iron-proxy: \S+: is read-only for us \(EROFS\); a Secret that is mounted is changed where it comes from/,
    )
    expect(await readdir(folder)).toEqual(before)
  })
})
