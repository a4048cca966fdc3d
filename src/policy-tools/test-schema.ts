/** What a `*.test.yaml` may say. The descriptions are the help that editors show, through `policies/test.schema.json`. */
import { z } from 'zod'
import { errorTable } from '#base/errors.ts'
import type { ErrorCode } from '#base/errors.ts'
import { idField, nonEmpty } from '#base/fields.ts'

const verdicts = ['allow', 'deny', 'would_deny', 'inspect', 'splice'] as const

const expectedSchema = z.strictObject({
  verdict: z
    .enum(verdicts)
    .meta({ description: 'allow, deny, or would_deny for an agent in report mode; of a name also inspect or splice' }),
  code: z
    .enum(Object.keys(errorTable) as [ErrorCode, ...ErrorCode[]])
    .optional()
    .meta({ description: 'The error code that the agent reads' }),
  rule: idField.nullable().optional().meta({ description: 'The rule that decides; null: no rule' }),
  credentials: z.array(idField).optional().meta({
    description: 'Exactly the credentials that are swapped in; without a stub in the request: those that it may use',
  }),
  meter: z.string().nullable().optional().meta({ description: 'The provider whose usage is counted; null: none' }),
})

const headerField = z.union([
  z.string(),
  z.strictObject({ credential: idField.meta({ description: 'The stub of this credential, as an agent sends it' }) }),
])

function oneOrMore<Item extends z.ZodType>(item: Item) {
  return z.union([item, nonEmpty(item, 'an empty list tests nothing; leave it out')])
}

const askFields = {
  agent: oneOrMore(idField).optional().meta({ description: 'Who asks, or several; not needed where the policy has one agent' }),
  method: oneOrMore(z.string()).optional().meta({ description: 'Methods, each a case of its own; default GET' }),
  url: oneOrMore(z.string()).optional().meta({ description: 'A URL, or several, each a case of its own' }),
  name: oneOrMore(z.string()).optional().meta({
    description: 'In place of a URL: a host name, or several, as DNS, SNI and CONNECT ask for it',
  }),
  headers: z.record(z.string(), headerField).optional().meta({
    description: 'Headers by name: text, or {credential: ID} for the stub of that credential',
  }),
  expect: z
    .union([z.enum(verdicts), expectedSchema])
    .optional()
    .meta({ description: 'What the proxy must do; left out, it is deny' }),
}

const rowSchema = z.strictObject({
  case: z.string().min(1).max(200).optional().meta({ description: 'What this case shows, in a sentence' }),
  ...askFields,
})

export const testFileSchema = z
  .strictObject({
    version: z.literal(1).meta({ description: 'Version of the test language' }),
    policy: z.string().min(1).optional().meta({
      description: 'The policy under test, a file or a directory relative to this file; default: the directory of this file',
    }),
    cases: nonEmpty(
      rowSchema
        .extend({
          table: nonEmpty(rowSchema, 'an empty table tests nothing').optional().meta({
            description: 'Rows that share what stands beside the table; a row may say any of it anew',
          }),
        })
        .meta({ description: 'A case, or several: one for each agent, method and URL or name' }),
      'a file without cases tests nothing',
    ).meta({ description: 'Requests, and what the proxy must do with them' }),
  })
  .meta({
    title: 'iron-proxy policy test',
    description: 'What a policy must allow and what it must refuse',
    examples: [
      { version: 1, cases: [{ agent: 'coder', url: 'https://api.github.com/user', expect: 'allow' }, { name: ['example.com'] }] },
    ],
  })

export type TestFile = z.output<typeof testFileSchema>
export type TestRow = z.output<typeof rowSchema>
export type ExpectedVerdict = z.output<typeof expectedSchema>

/** JSON Schema, draft 7: what YAML editors read. It describes what is written, before defaults. */
export function testJsonSchema(): Record<string, unknown> {
  const { $schema, ...schema } = z.toJSONSchema(testFileSchema, { io: 'input', target: 'draft-7', unrepresentable: 'any' })
  return { $schema, $id: 'urn:iron-proxy:policy-test:1', ...schema }
}
