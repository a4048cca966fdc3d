import { z } from 'zod'

/** What every audit line has; the rest of it depends on what happened, and may grow. */
const lineSchema = z.looseObject({
  id: z.string(),
  time: z.iso.datetime(),
  type: z.enum(['request', 'upgrade', 'tunnel', 'tls', 'dns', 'credential', 'budget', 'run', 'policy', 'operator']),
  event: z.string(),
  agent: z.string().nullable(),
  verdict: z.enum(['allow', 'deny', 'would_deny', 'error']),
  host: z.string().optional(),
  method: z.string().optional(),
  path: z.string().optional().meta({ description: 'Without query' }),
  git: z.enum(['fetch', 'push']).optional().meta({ description: 'What a clone or a push asks about first' }),
  rule: z.string().optional(),
  code: z.string().optional().meta({ description: 'Of the error table' }),
  reason: z.string().optional(),
  status: z.int().optional(),
  budget: z.string().optional(),
  credential: z.string().optional().meta({ description: 'Its name, never its value' }),
  runId: z.string().optional(),
  traceId: z.string().optional().meta({ description: 'Of the agent’s `traceparent`' }),
  policyHash: z.string().optional(),
})

/** An event as `audit.nats` publishes it: CloudEvents 1.0, structured, with an audit line as its data. */
export const eventSchema = z
  .strictObject({
    specversion: z.literal('1.0'),
    id: z.string().meta({ description: 'Also the Nats-Msg-Id' }),
    source: z.literal('iron-proxy'),
    type: z.string().meta({ description: 'Also the subject' }),
    subject: z.string().optional().meta({ description: 'The agent' }),
    time: z.iso.datetime(),
    datacontenttype: z.literal('application/json'),
    data: lineSchema,
  })
  .meta({ title: 'iron-proxy event' })

/** The same as JSON Schema, for subscribers. */
export function eventJsonSchema(): object {
  return z.toJSONSchema(eventSchema, { target: 'draft-7' })
}
