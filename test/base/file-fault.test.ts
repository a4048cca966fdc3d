import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { fileFault } from '#base/file-fault.ts'

test.each([
  ['what is not there', () => readFile('/no/such/file'), 'it is not there (ENOENT)'],
  ['a directory', () => readFile('/'), 'it is a directory (EISDIR)'],
  ['a code without words', () => Promise.reject(Object.assign(new Error('broken'), { code: 'EIO' })), 'EIO'],
  ['an error of our own', () => Promise.reject(new Error('it holds nothing')), 'it holds nothing'],
  ['no error at all', () => Promise.reject(undefined as never), 'unknown error'],
])('%s is told in words', async (_, use, words) => {
  expect(await use().catch(fileFault)).toBe(words)
})
