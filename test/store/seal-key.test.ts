import { randomBytes } from 'node:crypto'
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openSeal } from '#store/seal-key.ts'
import { asNobody, thrownBy } from './files.ts'

let folder = ''
let path = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'seal-'))
  path = join(folder, 'deep/state/seal.key')
})
afterEach(() => {
  chmodSync(folder, 0o700)
  rmSync(folder, { recursive: true })
})

function give(text: string, mode = 0o600): void {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text, { mode })
  chmodSync(path, mode)
}

test('the first run makes a key for us alone, and later runs open with it', () => {
  const sealed = openSeal({ path, make: true }).seal('text', ['x'])
  expect(statSync(path).mode & 0o777).toBe(0o600)
  expect([dirname(path), dirname(dirname(path))].map((each) => statSync(each).mode & 0o777)).toEqual([0o700, 0o700])
  expect(Buffer.from(readFileSync(path, 'utf8'), 'base64')).toHaveLength(32)
  expect(readdirSync(dirname(path))).toEqual(['seal.key'])
  expect(openSeal({ path, make: true }).open(sealed, ['x'])).toBe('text')
  expect(openSeal({ path, make: false }).open(sealed, ['x'])).toBe('text')
})

test('two keys that are made are two keys', () => {
  const other = join(folder, 'other.key')
  openSeal({ path, make: true })
  openSeal({ path: other, make: true })
  expect(readFileSync(path, 'utf8')).not.toBe(readFileSync(other, 'utf8'))
})

test.each([
  ['padded, with a line end', (key: Buffer) => `${key.toString('base64')}\n`],
  ['not padded', (key: Buffer) => key.toString('base64').replace('=', '')],
  ['with a Windows line end', (key: Buffer) => `${key.toString('base64')}\r\n`],
])('a key that is given, %s, is taken as it is', (_case, spell) => {
  const text = spell(randomBytes(32))
  give(text)
  openSeal({ path, make: true })
  expect(readFileSync(path, 'utf8')).toBe(text)
})

test.each([
  ['is empty', () => ''],
  ['is too short', () => randomBytes(31).toString('base64')],
  ['is too long', () => randomBytes(33).toString('base64')],
  ['is hex', () => randomBytes(32).toString('hex')],
  ['is raw bytes', () => randomBytes(32).toString('latin1')],
])('a key that %s is refused with the command that makes one, and stays', (_case, make) => {
  const text = make()
  give(text)
  const error = thrownBy(() => openSeal({ path, make: true }))
  expect(error).toMatchObject({ code: 'seal_key_bad' })
  expect(error.message).toContain(path)
  expect(error.message).toContain('openssl rand -base64 32')
  if (text !== '') expect(error.message).not.toContain(text.slice(0, 10))
  expect(readFileSync(path, 'utf8')).toBe(text)
})

test.each([0o640, 0o604, 0o660, 0o666, 0o610])('a key of mode %o is refused with the command that mends it', (mode) => {
  give(randomBytes(32).toString('base64'), mode)
  const error = thrownBy(() => openSeal({ path, make: true, uid: statSync(path).uid }))
  expect(error).toMatchObject({ code: 'seal_key_mode' })
  expect(error.message).toContain(`chmod 600 ${path}`)
})

test('a key may come through its group when another user owns it', () => {
  give(randomBytes(32).toString('base64'), 0o440)
  openSeal({ path, make: false, uid: statSync(path).uid + 1 })
})

test('a missing key is not made where a store is already sealed', () => {
  const error = thrownBy(() => openSeal({ path, make: false }))
  expect(error).toMatchObject({ code: 'seal_key_missing' })
  expect(error.message).toContain(path)
  expect(readdirSync(folder)).toEqual([])
})

test('a key that cannot be made leaves nothing behind', () => {
  chmodSync(folder, 0o555)
  const error = thrownBy(() => asNobody(() => openSeal({ path: join(folder, 'seal.key'), make: true })))
  expect(error).toMatchObject({ code: 'seal_key_missing' })
  expect(error.message).toMatch(/EACCES/)
  expect(readdirSync(folder)).toEqual([])
})

test('what cannot be read is no missing key', () => {
  mkdirSync(path, { recursive: true })
  chmodSync(path, 0o700)
  expect(thrownBy(() => openSeal({ path, make: true }))).toMatchObject({ code: 'seal_key_bad' })
})
