import { existsSync, mkdirSync, readFileSync, renameSync, rmdirSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { AuditQueue } from '#observe/audit-queue.ts'
import { fileSink } from '#observe/file-sink.ts'
import { within } from '../kit/within.ts'

let folder: string
let path: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'audit-'))
  path = join(folder, 'audit.log')
})
afterEach(() => rm(folder, { recursive: true }))

it('a file that was moved away is noticed within seconds, with no signal and no line lost', async () => {
  const log = new AuditQueue(fileSink(path))
  log.put('before')
  await log.flush()
  renameSync(path, `${path}.1`)
  let lines = 0
  await within(async () => {
    log.put(`line ${(lines += 1)}`)
    await log.flush()
    return existsSync(path)
  }, 10_000)
  await log.close()
  const all = readFileSync(`${path}.1`, 'utf8') + readFileSync(path, 'utf8')
  expect(all).toBe(['before', ...Array.from({ length: lines }, (_, i) => `line ${i + 1}`), ''].join('\n'))
})

it('a file that cannot be written is said once, and once when it can again', { timeout: 20_000 }, async () => {
  // A folder in its place can be opened for nothing.
  mkdirSync(path)
  const said: (string | undefined)[] = []
  const log = new AuditQueue(fileSink(path), {
    onTrouble: (error) => void said.push((error as NodeJS.ErrnoException | undefined)?.code),
  })
  log.put('one')
  expect(await within(() => said.length > 0, 5_000)).toBeDefined()
  log.put('two')
  await new Promise((resolve) => setTimeout(resolve, 2_500))
  expect(said).toEqual(['EISDIR'])
  rmdirSync(path)
  expect(await within(() => said.length > 1, 5_000)).toBeDefined()
  await log.close()
  expect([said, readFileSync(path, 'utf8')]).toEqual([['EISDIR', undefined], 'one\ntwo\n'])
})
