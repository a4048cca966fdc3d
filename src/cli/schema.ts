import { writeFile } from 'node:fs/promises'
import { policyJsonSchema } from '#config/json-schema.ts'
import { exit } from './command.ts'
import type { Command } from './command.ts'

export const schema: Command = {
  name: 'schema',
  summary: 'print the JSON Schema of policies, for editors',
  usage: '[options]',
  options: { out: { type: 'string', short: 'o' } },
  help: { out: 'write to this file instead' },
  examples: ['iron-proxy schema --out policies/schema.json'],
  async run({ values }, { stdout }) {
    const text = `${JSON.stringify(policyJsonSchema(), null, 2)}\n`
    if (typeof values['out'] === 'string') await writeFile(values['out'], text)
    else stdout.write(text)
    return exit.ok
  },
}
