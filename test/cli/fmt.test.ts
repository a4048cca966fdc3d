import { mkdtempDisposable, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { dispatched } from '../kit/dispatched.ts'

const untidy = 'version: 1\nrules:\n  - {hosts: [x.test], id: x}\n'
const tidy = 'version: 1\nrules:\n  - {id: x, hosts: [x.test]}\n'

describe('iron-proxy fmt', () => {
  it('names and writes what is out of order, and with --check writes nothing', async () => {
    await using made = await mkdtempDisposable(join(tmpdir(), 'iron-proxy-fmt-'))
    const file = join(made.path, 'a.yaml')
    await writeFile(file, untidy)
    await writeFile(join(made.path, 'b.test.yaml'), 'version: 1\ncases: [{name: x.test}]\n')
    expect(await dispatched(['fmt', '--check', made.path])).toEqual({ code: 1, stdout: `${file}\n`, stderr: '' })
    expect(await readFile(file, 'utf8')).toBe(untidy)
    expect(await dispatched(['fmt', made.path])).toEqual({ code: 0, stdout: `${file}\n`, stderr: '' })
    expect(await readFile(file, 'utf8')).toBe(tidy)
    expect(await dispatched(['fmt', '--check', file])).toEqual({ code: 0, stdout: '', stderr: '' })
    await writeFile(file, 'rules: [')
    expect(await dispatched(['fmt', made.path])).toMatchObject({ code: 78 })
    expect(await readFile(file, 'utf8')).toBe('rules: [')
  })

  it('formats standard input', async () => {
    expect(await dispatched(['fmt', '-'], { stdin: Readable.from([untidy]) })).toMatchObject({ code: 0, stdout: tidy })
    expect(await dispatched(['fmt', '--check', '-'], { stdin: Readable.from([untidy]) })).toMatchObject({ code: 1, stdout: '' })
    expect(await dispatched(['fmt', '-'], { stdin: Readable.from(['a: [']) })).toMatchObject({ code: 78 })
    expect(await dispatched(['fmt', 'none'])).toMatchObject({ code: 66 })
  })

  it('is a hook of pre-commit, as check and test are', async () => {
    const hooks = await readFile('.pre-commit-hooks.yaml', 'utf8')
    for (const id of ['iron-proxy-fmt', 'iron-proxy-check', 'iron-proxy-test']) expect(hooks).toContain(`- id: ${id}\n`)
  })
})
