/**
 * timeline/ answers: what happened in a run? It joins three kinds of lines by their run id: the proxy's audit, what the agent's hooks
 * saw (`run-event.ts`), and what the agent wrote into the crew's memory. Reads no file: lines come in, runs and steps go out.
 */
import { z } from 'zod'
import { headLength } from './head.ts'

const head = z.string().max(headLength)

/** What set a run off. */
export const causeSchema = z.strictObject({
  kind: z.enum(['message', 'schedule', 'order', 'person']),
  /** Its id where it came from: a Matrix event, a Slack timestamp. */
  message: head.optional(),
  room: head.optional(),
  sender: head.optional(),
  schedule: head.optional(),
})

export const runEventNames = ['started', 'prompt', 'tool', 'edit', 'command', 'result', 'error', 'outcome'] as const

/** One line that a hook of an agent writes: the head of what happened, never the whole, and never a secret. */
export const runEventSchema = z.strictObject({
  id: z.string().max(64),
  time: z.iso.datetime(),
  type: z.literal('run'),
  event: z.enum(runEventNames),
  agent: z.string().max(128),
  runId: z.string().max(128),
  harness: z.string().max(32).optional(),
  session: z.string().max(128).optional(),
  by: causeSchema.optional().meta({ description: 'What set the run off' }),
  tool: z.string().max(128).optional(),
  head: head.optional().meta({ description: 'Of a prompt, of arguments, of a command, of a result' }),
  path: z.string().max(1024).optional().meta({ description: 'Of an edited file' }),
  exit: z.int().optional().meta({ description: 'Exit code of a command' }),
  reason: head.optional().meta({ description: 'Of an error' }),
  outcome: z.enum(['done', 'failed', 'stopped']).optional(),
  tokens: z.record(z.string(), z.number()).optional().meta({ description: 'As the harness counts them' }),
})

export type TimelineEvent = z.output<typeof runEventSchema>
export type Cause = z.output<typeof causeSchema>

/** The same as JSON Schema, for subscribers; on NATS it is the `data` of a CloudEvent under `swarm.events.run_…`. */
export function runEventJsonSchema(): object {
  return z.toJSONSchema(runEventSchema, { target: 'draft-7' })
}
