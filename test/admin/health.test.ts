import { expect, test } from 'vitest'
import { readiness, startup } from '#admin/health.ts'

const good = { name: 'policy', ok: true }
const bad = { name: 'listeners', ok: false, detail: 'port 443 is not bound' }
const starting = { name: 'started', detail: 'still starting' }
const failing = { name: 'listeners', detail: 'port 443 is not bound' }

test.each([
  ['started and all checks hold', true, [good], 200, []],
  ['there is nothing to check', true, [], 200, []],
  ['a check fails', true, [good, bad], 503, [failing]],
  ['it has not started', false, [good], 503, [starting]],
  ['it has not started and a check fails', false, [bad], 503, [starting, failing]],
] as const)('readiness when %s', (_, started, checks, status, expected) => {
  expect(readiness(started, checks)).toEqual({ status, body: { ok: status === 200, failing: expected } })
})

test('startup looks at nothing but the start', () => {
  expect(startup(true).status).toBe(200)
  expect(startup(false)).toEqual({ status: 503, body: { ok: false, failing: [starting] } })
})
