import { describe, expect, it } from 'vitest'
import { formatIssue } from '#config/issue.ts'
import { reviewSpend } from '#config/review-spend.ts'
import { snapshotOf } from '../kit/policy.ts'

const policy = `
agents: {devbot: {from: [{cidr: 127.0.0.1}], budget: [day, team]}, free: {from: [{cidr: 127.0.0.2}]}}
budgets: {day: {window: day, tokens: 1}, team: {per: crew, window: month, usd: 1}, unused: {window: day, tokens: 1}}
rules: [{id: llm, hosts: [api.openai.com], meter: auto}]
`
const row = { tokens: 120_000, usd: 0 }

describe('spend that an edit leaves behind', () => {
  it('is none where each account is still there', async () => {
    const spent = [
      { ...row, budget: 'day', holder: 'devbot' },
      { ...row, budget: 'team', holder: '*' },
    ]
    expect(reviewSpend(await snapshotOf(policy), spent, 'policies')).toEqual([])
  })

  it.each([
    [
      'an agent that was renamed',
      { ...row, budget: 'day', holder: 'old' },
      'of budget "day" of agent old',
      'move day --agent old --to',
    ],
    [
      'a budget that was renamed',
      { ...row, budget: 'daily', holder: 'devbot' },
      'of budget "daily" of agent devbot',
      'move daily --agent devbot --to',
    ],
    [
      'a budget of a crew that was renamed',
      { ...row, budget: 'crew', holder: '*' },
      'of budget "crew" in the window',
      'move crew --to',
    ],
    ['a budget that each has now, and all shared', { ...row, budget: 'day', holder: '*' }, 'of budget "day" in', 'move day --to'],
    [
      'a budget that all share now',
      { ...row, budget: 'team', holder: 'devbot' },
      'of budget "team" of agent devbot',
      'move team --agent devbot',
    ],
    [
      'an agent that has the budget no more',
      { ...row, budget: 'unused', holder: 'devbot' },
      'of budget "unused"',
      'move unused --agent devbot',
    ],
  ] as const)('is told of %s, with the command that carries it over', async (_what, spent, says, command) => {
    const [issue, ...rest] = reviewSpend(await snapshotOf(policy), [spent], 'policies')
    expect(rest).toEqual([])
    expect(issue?.severity).toBe('warning')
    const text = issue ? formatIssue(issue) : ''
    expect(text).toMatch(/^policies budgets: warning: 120000 tokens are spent /)
    expect(text).toContain(says)
    expect(text).toContain(`iron-proxy budget ${command}`)
  })

  it('is told in money where it was money', async () => {
    const [issue] = reviewSpend(await snapshotOf(policy), [{ budget: 'x', holder: '*', tokens: 0, usd: 12.5 }], 'policies')
    expect(issue?.message).toContain('12.50 dollars are spent')
  })
})
