import { expect, it } from 'vitest'
import { incidentRecord } from '#contracts/own-records.ts'

const at = Date.UTC(2026, 0, 1)

it('an incident has a record when it begins and one when it ends, of no agent and no door', () => {
  const common = { type: 'credential', agent: null, peer: 'self', door: 'self', credential: 'claude', swaps: [] } as const
  expect(incidentRecord({ id: 'one', at, event: 'needs_login', credential: 'claude', reason: 'invalid_grant' })).toMatchObject({
    ...common,
    event: 'needs_login',
    time: '2026-01-01T00:00:00.000Z',
    verdict: 'error',
    code: 'needs_login',
    reason: 'invalid_grant',
  })
  const recovered = incidentRecord({ id: 'two', at, event: 'recovered', credential: 'claude' })
  expect(recovered).toMatchObject({ ...common, event: 'recovered', verdict: 'allow' })
  expect(recovered.code).toBeUndefined()
})
