import { expect, it } from 'vitest'
import { compileBudget } from '#metering/compile.ts'
import type { BudgetEvent } from '#metering/notice.ts'
import { alertOf, summaryOf } from '#observe/budget-alert.ts'

const budget = compileBudget('day', {
  per: 'agent',
  window: 'day',
  timezone: 'UTC',
  warnAt: [0.8],
  atLimit: 'cut',
  whenBlind: 'refuse',
  weights: {},
  tokens: 1000,
  usd: 2,
})
const event: BudgetEvent = {
  kind: 'warning',
  share: 0.8,
  budget,
  account: { budget: 'day', holder: 'devbot', window: Date.UTC(2026, 10, 21) },
  measure: 'tokens',
  used: 812,
  limit: 1000,
  resetsAt: Date.UTC(2026, 10, 22),
}

it('a budget’s news is an alert that Alertmanager’s receivers read', () => {
  expect(alertOf(event, Date.UTC(2026, 10, 21, 12))).toMatchObject({
    version: '4',
    status: 'firing',
    groupLabels: { alertname: 'BudgetWarning', agent: 'devbot' },
    alerts: [
      {
        status: 'firing',
        labels: {
          alertname: 'BudgetWarning',
          severity: 'warning',
          agent: 'devbot',
          budget: 'day',
          measure: 'tokens',
          window: 'day',
        },
        annotations: { summary: 'budget day of devbot: 812 of 1000 tokens used (80 %); resets 2026-11-22T00:00:00.000Z' },
        startsAt: '2026-11-21T12:00:00.000Z',
        endsAt: '2026-11-22T00:00:00.000Z',
      },
    ],
  })
})

it('one that is used up is critical, in money too, and of a crew', () => {
  const used: BudgetEvent = {
    ...event,
    kind: 'exhausted',
    share: 1,
    measure: 'usd',
    used: 2e9,
    limit: 2e9,
    account: { ...event.account, holder: '*' },
  }
  expect(alertOf(used, 0)).toMatchObject({
    alerts: [{ labels: { alertname: 'BudgetExhausted', severity: 'critical', agent: '*' } }],
  })
  expect(summaryOf(used)).toContain('of its crew: 2.00 of 2.00 dollars used (used up)')
})
