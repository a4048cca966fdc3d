/** The policy language as JSON Schema, for editors: `policies/schema.json` is this, and a house test keeps it fresh. */
import { z } from 'zod'
import { policySchema } from './schema.ts'

/** JSON Schema, draft 7: what YAML editors read. It describes what is written, before defaults. */
export function policyJsonSchema(): Record<string, unknown> {
  const { $schema, ...schema } = z.toJSONSchema(policySchema, {
    io: 'input',
    target: 'draft-7',
    unrepresentable: 'any',
    // Examples are of what is written; the library drops them where a value is read into something else.
    override({ zodSchema, jsonSchema }) {
      const { examples } = z.globalRegistry.get(zodSchema) ?? {}
      if (Array.isArray(examples)) jsonSchema.examples = examples
    },
  })
  return { $schema, $id: 'urn:iron-proxy:policy:1', ...schema }
}
