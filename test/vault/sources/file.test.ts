import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { file } from '#vault/sources/file.ts'

it('a file is read each time, and watched by its path', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'secret-'))
  const path = join(folder, 'token')
  await writeFile(path, 'first\n')
  expect([file.owns({ file: path }), file.owns({ env: 'X' })]).toEqual([true, false])
  expect([file.path({ file: path }), file.path({ env: 'X' })]).toEqual([path, undefined])
  expect(file.read({ file: path })).toBe('first\n')
  await writeFile(path, 'second\n')
  expect(file.read({ file: path })).toBe('second\n')
  await rm(folder, { recursive: true })
  expect(() => file.read({ file: path })).toThrow(expect.objectContaining({ code: 'ENOENT' }))
})
