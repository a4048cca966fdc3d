import { policyJsonSchema } from '#config/json-schema.ts'
import { eventJsonSchema } from '#observe/event-schema.ts'
import { testJsonSchema } from '#policy-tools/test-schema.ts'
import { runEventJsonSchema } from '#timeline/run-event.ts'
import { exit, UsageError } from './command.ts'
import type { Command } from './command.ts'
import { writeNamed } from './files.ts'

export const schema: Command = {
  name: 'schema',
  summary: 'print the JSON Schema of policies, for editors, of their tests, or of events',
  usage: '[options]',
  options: {
    out: { type: 'string', short: 'o' },
    events: { type: 'boolean' },
    runs: { type: 'boolean' },
    tests: { type: 'boolean' },
  },
  help: {
    out: 'write to this file instead',
    events: 'of what `audit.nats` publishes',
    runs: 'of what agents’ hooks write of their runs',
    tests: 'of `*.test.yaml`, which `iron-proxy test` reads',
  },
  examples: ['iron-proxy schema --out policies/schema.json', 'iron-proxy schema --events'],
  async run({ values }, { stdout }) {
    const { events, runs, tests } = values
    if ([events, runs, tests].filter(Boolean).length > 1) throw new UsageError('give one of --events, --runs and --tests')
    const schema = events ? eventJsonSchema() : runs ? runEventJsonSchema() : tests ? testJsonSchema() : policyJsonSchema()
    const text = `${JSON.stringify(schema, null, 2)}\n`
    if (typeof values['out'] === 'string') await writeNamed(values['out'], text)
    else stdout.write(text)
    return exit.ok
  },
}
