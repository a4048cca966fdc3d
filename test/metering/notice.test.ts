import { describe, expect, it } from 'vitest'
import { compileBudget } from '#metering/compile.ts'
import type { BudgetText } from '#metering/compile.ts'
import { busyRefusal, exhaustedRefusal, standings, usedText } from '#metering/notice.ts'

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

  it('says what is left and what was asked, where that is known', () => {
    const asked = (parts: Partial<BudgetText>, needs: number) => {
      const [standing] = standings(budget(parts), { account, spent })
      return standing && exhaustedRefusal(standing, 'devbot', needs).reason
    }
    expect(asked({}, 400)).toMatch(/will not help\. 0 tokens are left; this request asks for about 400 tokens\.$/)
    expect(asked({ tokens: undefined, usd: 40 }, 1_250_000_000)).toContain(
      '0.00 dollars are left; this request asks for about 1.25 dollars.',
    )
  })

  it('says how full the account is where a request waits for room in vain: by the measure that is shortest', () => {
    const balance = { account, spent: { tokens: 1000, nano: 39e9 }, held: { tokens: 500, nano: 0.9e9 }, requests: 1 }
    const of = (parts: Partial<BudgetText>) =>
      busyRefusal('crew', 'devbot', { budget: budget(parts), balance, asked: { tokens: 600, nano: 2e9 } }).reason
    expect(of({ tokens: 2000 })).toBe(
      'what is left of budget "crew" is held for other requests of devbot that still run: 1000 of 2000 tokens used, 500 tokens held, 500 tokens left; this request asks for about 600 tokens',
    )
    expect(of({ usd: 40 })).toContain(
      '39.00 of 40.00 dollars used, 0.90 dollars held, 0.10 dollars left; this request asks for about 2.00 dollars',
    )
    expect(busyRefusal('crew', 'devbot').reason).not.toContain('left;')
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
