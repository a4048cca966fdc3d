import { statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { have, run } from '../../kit/clients.ts'
import { filesBelow, textOf, top } from '../../house/sources.ts'

const files = filesBelow('deploy/agent', '').filter((file) => /^#!.*bash|^# shellcheck shell=bash/.test(textOf(file)))

describe('the scripts of an agent', () => {
  it('are found', () => {
    expect(files.length).toBeGreaterThan(9)
  })

  it.each(files)('%s is short enough to see whole, runs no Python and names no path of a user', (file) => {
    expect(textOf(file).split('\n').length).toBeLessThan(200)
    expect(textOf(file)).not.toMatch(/python|(?<![\w./])\/(?:root|home)\//)
  })

  it.each(files.filter((file) => textOf(file).startsWith('#!')))('%s can be run', (file) => {
    expect(statSync(join(top, file)).mode & 0o111).not.toBe(0)
  })

  it.skipIf(!have('shellcheck'))('have nothing shellcheck would say (skipped when it is not installed)', async () => {
    const done = await run(
      'shellcheck',
      files.map((file) => join(top, file)),
    )
    expect(done.stdout).toBe('')
    expect(done.code).toBe(0)
  })
})
