import { existsSync, mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { errorTable } from '#base/errors.ts'
import { exit } from '#cli/command.ts'
import { commands } from '#cli/index.ts'
import { loadPolicies } from '#config/load.ts'
import { credentialKinds } from '#credentials/index.ts'
import { readTests } from '#policy-tools/test-file.ts'
import { filesBelow, textOf, top } from './sources.ts'

/** Every page of the documentation. What a test looks for stands in one of them. */
const pages = [
  'README.md',
  ...['src', 'policies', 'certs', 'deploy', 'bench', 'test', '.github'].flatMap((folder) => filesBelow(folder, '.md')),
]
  .filter((file) => !/\/(?:agents|fixtures)\//.test(file))
  .map((file) => ({ file, text: textOf(file) }))
const readme = pages.map(({ text }) => text).join('\n')
const blocks = [...readme.matchAll(/^```(\w*)\n([^]*?)^```$/gm)].map(([, language = '', text = '']) => ({ language, text }))
const anchorsOf = (text: string): ReadonlySet<string> =>
  new Set(
    [...text.matchAll(/^#+ (.+)$/gm)].map(([, title = '']) =>
      title
        .toLowerCase()
        .replaceAll(/[^\w -]/g, '')
        .replaceAll(' ', '-'),
    ),
  )

describe('the pages', () => {
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

  it('has a first page of at most 150 lines', () => {
    expect(textOf('README.md').split('\n').length).toBeLessThanOrEqual(150)
  })

  it.each(pages)('$file links to sections and files that exist', ({ file, text }) => {
    const links = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, to = '']) => to).filter((to) => !/^https?:/.test(to))
    const dead = links.filter((to) => {
      const [path = '', anchor] = to.split('#')
      const target = path === '' ? file : join(dirname(file), path)
      if (!existsSync(join(top, target))) return true
      return anchor !== undefined && !anchorsOf(textOf(target)).has(anchor)
    })
    expect(dead).toEqual([])
  })

  it('names every credential kind', () => {
    for (const { kind } of credentialKinds) expect(readme).toMatch(new RegExp(`^\\| .*\`${kind}\`.* \\|`, 'm'))
  })

  it('shows policies that load', async () => {
    const examples = blocks.filter(
      ({ language, text }) => language === 'yaml' && !/^(?:cases|jobs|repos|apiVersion):/m.test(text),
    )
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

  it('shows tests that can be read', () => {
    const examples = blocks.filter(({ language, text }) => language === 'yaml' && /^cases:/m.test(text))
    expect(examples.length).toBeGreaterThan(0)
    for (const { text } of examples) expect(readTests('readme.test.yaml', Buffer.from(text)).issues).toEqual([])
  })

  it('calls only commands that there are; test/cli runs them', () => {
    const called = [...readme.matchAll(/npx iron-proxy ([a-z]+)/g)].map(([, name]) => name)
    const known = new Set(commands.map(({ name }) => name))
    expect(called.length).toBeGreaterThan(3)
    expect(called.filter((name) => !known.has(name ?? ''))).toEqual([])
  })
})
