import { describe, expect, it } from 'vitest'
import { compileBudget } from '#metering/compile.ts'
import type { BudgetText } from '#metering/compile.ts'
import { exhaustedRefusal, standings, usedText } from '#metering/notice.ts'

const budget = (parts: Partial<BudgetText> = {}) =>
  compileBudget('crew', {
    per: 'agent',
    window: 'day',
    timezone: 'Europe/Berlin',
    warnAt: [],
    atLimit: 'refuse',
    whenBlind: 'refuse',
    weights: {},
    tokens: 2_000_000,
    ...parts,
  })
const account = { budget: 'crew', holder: 'devbot', window: Date.parse('2026-11-20T23:00:00Z') }
const spent = { tokens: 2_000_000, nano: 40_000_000_000 }

describe('a budget as it stands', () => {
  it('has a line for each limit it sets, with when it starts anew', () => {
    const resetsAt = Date.parse('2026-11-21T23:00:00Z')
    expect(standings(budget({ usd: 40 }), { account, spent })).toEqual([
      expect.objectContaining({ measure: 'tokens', used: 2_000_000, limit: 2_000_000, resetsAt }),
      expect.objectContaining({ measure: 'usd', used: 40e9, limit: 40e9, resetsAt }),
    ])
    expect(standings(budget({ tokens: undefined }), { account, spent })).toEqual([])
  })
})

describe('the refusal of an agent', () => {
  const text = (parts: Partial<BudgetText>) => {
    const [standing] = standings(budget(parts), { account, spent })
    return standing && exhaustedRefusal(standing, 'devbot').reason
  }

  it('names budget, agent, what was used, the limit and the reset', () => {
    expect(text({})).toBe(
      'Daily token budget "crew" is used up: agent devbot, 2000000 of 2000000 tokens; resets 2026-11-22T00:00:00+01:00. Retrying before that will not help.',
    )
  })

  it('says when it is the crew’s, when it is money, and when nothing was ever allowed', () => {
    expect(text({ per: 'crew' })).toContain('shared by its crew (you are devbot)')
    expect(text({ tokens: undefined, usd: 40 })).toContain(
      'Daily money budget "crew" is used up: agent devbot, 40.00 of 40.00 dollars',
    )
    expect(text({ tokens: 0 })).toBe(
      'Daily token budget "crew" of agent devbot is 0, which blocks everything. Retrying will not help.',
    )
  })
})

it('money is told in dollars and cents', () => {
  expect(usedText({ measure: 'usd', used: 1_234_567_890, limit: 40e9 })).toBe('1.23 of 40.00 dollars')
})
