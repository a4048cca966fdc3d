import { revision, version as number } from './about.ts'
import { exit, line } from './command.ts'
import type { Command } from './command.ts'

export const version: Command = {
  name: 'version',
  summary: 'print the version',
  usage: '[options]',
  options: { json: { type: 'boolean' } },
  help: { json: 'for scripts' },
  examples: ['iron-proxy version --json'],
  async run({ values }, { stdout, node }) {
    line(
      stdout,
      values['json'] ? JSON.stringify({ version: number, revision, node }) : `iron-proxy ${number} (${revision}, node ${node})`,
    )
    return exit.ok
  },
}
