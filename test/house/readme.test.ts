import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { errorTable } from '#base/errors.ts'
import { commands } from '#cli/index.ts'
import { loadPolicies } from '#config/load.ts'
import { credentialKinds } from '#credentials/index.ts'
import { textOf } from './sources.ts'

const readme = textOf('README.md')
const blocks = [...readme.matchAll(/^```(\w*)\n([^]*?)^```$/gm)].map(([, language = '', text = '']) => ({ language, text }))

describe('README', () => {
  it('has the error table of the code', () => {
    const rows = [...readme.matchAll(/^\| `(\w+)` \| (\d+|–) \| (.+) \| (.+) \|$/gm)].map(([, code, status, message, hint]) => [
      code,
      status,
      message,
      hint,
    ])
    const expected = Object.entries(errorTable).map(([code, { status, message, hint }]) => [
      code,
      status === 0 ? '–' : String(status),
      message,
      hint,
    ])
    expect(rows).toEqual(expected)
  })

  it('names every credential kind', () => {
    for (const { kind } of credentialKinds) expect(readme).toMatch(new RegExp(`^\\| .*\`${kind}\`.* \\|`, 'm'))
  })

  it('shows policies that load', async () => {
    const examples = blocks.filter(({ language }) => language === 'yaml')
    expect(examples.length).toBeGreaterThan(0)
    for (const { text } of examples) {
      const directory = mkdtempSync(join(tmpdir(), 'iron-proxy-readme-'))
      try {
        mkdirSync(join(directory, 'secrets'))
        writeFileSync(join(directory, 'readme.yaml'), text)
        const { snapshot, issues } = await loadPolicies(directory)
        expect(issues.filter(({ severity }) => severity === 'error')).toEqual([])
        expect(snapshot).toBeDefined()
      } finally {
        rmSync(directory, { recursive: true })
      }
    }
  })

  it('calls only commands that there are; test/cli runs them', () => {
    const called = [...readme.matchAll(/npx iron-proxy ([a-z]+)/g)].map(([, name]) => name)
    const known = new Set(commands.map(({ name }) => name))
    expect(called.length).toBeGreaterThan(3)
    expect(called.filter((name) => !known.has(name ?? ''))).toEqual([])
  })
})
