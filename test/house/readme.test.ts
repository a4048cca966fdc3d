import { existsSync, mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { errorTable } from '#base/errors.ts'
import { exit } from '#cli/command.ts'
import { commands } from '#cli/index.ts'
import { loadPolicies } from '#config/load.ts'
import { credentialKinds } from '#credentials/index.ts'
import { textOf, top } from './sources.ts'

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

  it('names every field of an audit record', () => {
    const record = textOf('src/observe/audit-line.ts')
    const fields = [...record.matchAll(/^ {2}(?:else )?(?:\w+\(line, |line\.raw\()'[{,]"(\w+)":/gm)].map(([, name]) => name)
    const table = /^\| of a record \|[^]*?\n\n/m.exec(readme)?.[0] ?? ''
    expect(fields).toContain('verdict')
    expect(fields.filter((name) => !table.includes(`\`${name}\``))).toEqual([])
  })

  it('names every exit code', () => {
    const told = /^Exit codes: [^]*?\n\n/m.exec(readme)?.[0] ?? ''
    for (const code of Object.values(exit)) expect(told).toMatch(new RegExp(`\\b${code} `))
  })

  it('leads nowhere but to its own sections and to files that are there', () => {
    const titles = [...readme.matchAll(/^#+ (.+)$/gm)].map(([, title = '']) => title.toLowerCase())
    const anchors = new Set(titles.map((title) => title.replaceAll(/[^\w -]/g, '').replaceAll(' ', '-')))
    const links = [...readme.matchAll(/\]\(([^)]+)\)/g)].map(([, to = '']) => to)
    expect(links.filter((to) => (to.startsWith('#') ? !anchors.has(to.slice(1)) : !existsSync(join(top, to))))).toEqual([])
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
