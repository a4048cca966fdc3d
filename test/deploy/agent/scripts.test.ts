import { existsSync, statSync } from 'node:fs'
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

  it('are all that README, hooks and manifests name', () => {
    const texts = ['README.md', ...filesBelow('deploy/agent', '.md', '.json', '.yaml', '.tpl', 'Dockerfile')]
      .map(textOf)
      .join('\n')
    const named = [...texts.matchAll(/(?:deploy\/agent|\$AGENT_SCRIPTS\\?"|\$\{AGENT_SCRIPTS\})\/([\w./-]*\w)/g)].map(
      ([, name = '']) => name,
    )
    expect(new Set(named).size).toBeGreaterThan(10)
    expect(named.filter((name) => !existsSync(join(top, 'deploy/agent', name)))).toEqual([])
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
