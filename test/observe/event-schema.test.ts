import { describe, expect, it } from 'vitest'
import { auditLine } from '#observe/audit-line.ts'
import { eventJsonSchema, eventSchema } from '#observe/event-schema.ts'
import { eventOf } from '#observe/nats-event.ts'
import { record } from './records.ts'

describe('the schema of events', () => {
  it.each([
    [record()],
    [record({ agent: null, type: 'dns', verdict: 'deny', code: 'host_denied' })],
    [record({ type: 'run', event: 'minted', runId: 'R1' })],
  ])('takes what is published of a record', (audited) => {
    const { payload } = eventOf(auditLine(audited), 'swarm.events')
    expect(eventSchema.safeParse(JSON.parse(payload)).error).toBeUndefined()
  })

  it('is JSON Schema for those who have no zod', () => {
    expect(eventJsonSchema()).toMatchObject({ type: 'object', title: 'iron-proxy event', additionalProperties: false })
  })
})
