import { policyJsonSchema } from '#config/json-schema.ts'
import { eventJsonSchema } from '#observe/event-schema.ts'
import { exit } from './command.ts'
import type { Command } from './command.ts'
import { writeNamed } from './files.ts'

export const schema: Command = {
  name: 'schema',
  summary: 'print the JSON Schema of policies, for editors, or of events',
  usage: '[options]',
  options: { out: { type: 'string', short: 'o' }, events: { type: 'boolean' } },
  help: { out: 'write to this file instead', events: 'of what `audit.nats` publishes' },
  examples: ['iron-proxy schema --out policies/schema.json', 'iron-proxy schema --events'],
  async run({ values }, { stdout }) {
    const text = `${JSON.stringify(values['events'] ? eventJsonSchema() : policyJsonSchema(), null, 2)}\n`
    if (typeof values['out'] === 'string') await writeNamed(values['out'], text)
    else stdout.write(text)
    return exit.ok
  },
}
