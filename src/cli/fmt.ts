import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { text as textOf } from 'node:stream/consumers'
import { fileFault } from '#base/file-fault.ts'
import { formatPolicy } from '#policy-tools/format.ts'
import { exit, CommandFailure, line } from './command.ts'
import type { Command } from './command.ts'
import { readNamed, writeNamed } from './files.ts'

export const fmt: Command = {
  name: 'fmt',
  summary: 'put the keys of policies and their tests in order; comments and columns stay',
  usage: '[options] [PATH…]',
  options: { check: { type: 'boolean' } },
  help: { check: 'change nothing; name the files that are out of order, and exit with 1' },
  words: 1000,
  examples: ['iron-proxy fmt policies/', 'iron-proxy fmt --check policies/', 'iron-proxy fmt - < policies/crew.yaml'],
  async run({ values, positionals }, { stdin, stdout, stderr }) {
    const { check } = values
    if (positionals.length === 1 && positionals[0] === '-') {
      const text = await textOf(stdin)
      const formatted = formatPolicy(text)
      if ('problem' in formatted) throw new CommandFailure(`standard input: ${formatted.problem}`, exit.config)
      if (!check) stdout.write(formatted.text)
      return check && formatted.text !== text ? exit.findings : exit.ok
    }
    const files = (await Promise.all((positionals.length > 0 ? positionals : ['policies']).map(yamlAt))).flat()
    let changed = 0
    let broken = false
    for (const file of files) {
      const text = String(await readNamed(file))
      const formatted = formatPolicy(text)
      if ('problem' in formatted) {
        line(stderr, `${file}: ${formatted.problem}`)
        broken = true
      } else if (formatted.text !== text) {
        changed += 1
        line(stdout, file)
        if (!check) await writeNamed(file, formatted.text)
      }
    }
    if (broken) return exit.config
    return check && changed > 0 ? exit.findings : exit.ok
  },
}

/** A file as it is named, or the YAML files directly in a directory. */
async function yamlAt(path: string): Promise<readonly string[]> {
  try {
    if ((await stat(path)).isFile()) return [path]
    const names = await readdir(path)
    return names
      .filter((name) => /^[^.].*\.ya?ml$/.test(name))
      .toSorted()
      .map((name) => join(path, name))
  } catch (error) {
    throw new CommandFailure(`${path}: cannot be read: ${fileFault(error)}`, exit.noInput)
  }
}
