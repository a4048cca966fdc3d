import { mkdir, mkdtemp, rename, rm, symlink, unlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Watch } from '#config/watch.ts'

let folder: string
let policies: string
const seen = { told: 0 }
let watch: Watch

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'watch-'))
  policies = join(folder, 'policies')
  await mkdir(policies)
  await writeFile(join(policies, 'a.yaml'), 'one')
  seen.told = 0
  watch = new Watch(() => (seen.told += 1))
})

afterEach(async () => {
  watch[Symbol.dispose]()
  await rm(folder, { recursive: true })
})

/** Waits until a change was told, for at most the two seconds that are promised. */
async function isTold(): Promise<boolean> {
  for (let waited = 0; waited < 2000 && seen.told === 0; waited += 20) await sleep(20)
  return seen.told > 0
}

const edits: readonly (readonly [string, () => Promise<unknown>])[] = [
  ['an edit in place', () => writeFile(join(policies, 'a.yaml'), 'two')],
  ['a new file', () => writeFile(join(policies, 'b.yaml'), 'x')],
  ['a deleted file', () => unlink(join(policies, 'a.yaml'))],
  [
    'an atomic rename',
    async () => {
      await writeFile(join(folder, 'new'), 'two')
      await rename(join(folder, 'new'), join(policies, 'a.yaml'))
    },
  ],
  ['a deleted directory', () => rm(policies, { recursive: true })],
]

describe('what is watched', () => {
  it.each(edits)('tells of %s', async (_name, edit) => {
    await watch.set({ directories: [policies], files: [] })
    await edit()
    expect(await isTold()).toBe(true)
  })

  it('tells of each swap of a ..data link', async () => {
    const mount = join(folder, 'mount')
    const swap = async (version: string): Promise<void> => {
      await mkdir(join(mount, version), { recursive: true })
      await writeFile(join(mount, version, 'a.yaml'), version)
      await symlink(version, join(mount, '..tmp'))
      await rename(join(mount, '..tmp'), join(mount, '..data'))
    }
    await swap('..v1')
    await symlink('..data/a.yaml', join(mount, 'a.yaml'))
    const watched = { directories: [mount], files: [] }
    await watch.set(watched)
    for (const version of ['..v2', '..v3']) {
      seen.told = 0
      await swap(version)
      expect(await isTold(), version).toBe(true)
      await watch.set(watched)
    }
  })

  it('tells of a directory that comes later', async () => {
    const later = join(folder, 'later')
    await watch.set({ directories: [later], files: [] })
    await mkdir(later)
    await writeFile(join(later, 'a.yaml'), 'x')
    expect(await isTold()).toBe(true)
  })

  it('tells of a single file outside, such as a secret', async () => {
    const secret = join(folder, 'secret')
    await writeFile(secret, 'one')
    await watch.set({ directories: [policies], files: [secret] })
    await writeFile(join(folder, 'beside'), 'nobody asked')
    await sleep(400)
    expect(seen.told).toBe(0)
    await writeFile(secret, 'two')
    expect(await isTold()).toBe(true)
  })

  it('tells of an edit that fell between reading and watching', async () => {
    const watched = { directories: [policies], files: [] }
    await watch.set(watched)
    // Whoever was told reads now, the file is edited once more, and only then is the watch set anew.
    await writeFile(join(policies, 'a.yaml'), 'two, which nobody has read')
    await watch.set(watched)
    expect(await isTold()).toBe(true)
  })

  it('tells nothing when nothing changed, and nothing once disposed', async () => {
    await watch.set({ directories: [policies], files: [] })
    await sleep(1300)
    expect(seen.told).toBe(0)
    watch[Symbol.dispose]()
    await writeFile(join(policies, 'a.yaml'), 'two')
    await sleep(500)
    expect(seen.told).toBe(0)
  })
})
