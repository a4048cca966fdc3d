import { describe, expect, it } from 'vitest'
import { changeBudget, putClockRight, showBudgets } from '#admin/budgets.ts'
import type { BudgetChange, BudgetSources } from '#admin/budgets.ts'

const measure = { limit: 1000, used: 1, reserved: 0 }
const row = {
  budget: 'day',
  holder: 'devbot',
  window: 'day',
  started: 's',
  resets: 'r',
  requests: 1,
  tokens: measure,
  usd: { ...measure, limit: null },
}

function sources(known = true) {
  const changes: BudgetChange[] = []
  const given: BudgetSources = {
    budgets: () => Promise.resolve([row]),
    setBudget: (change) => {
      changes.push(change)
      return Promise.resolve(known)
    },
    budgetClock: {
      ahead: () => 86_400_000,
      putRight: () => Promise.resolve([{ account: { budget: 'day', holder: 'devbot', window: Date.UTC(2027, 0, 1) } }]),
    },
  }
  return { changes, given }
}

const broken: BudgetSources = {
  budgets: () => Promise.reject(new Error('disk')),
  setBudget: () => Promise.reject(new Error('disk')),
  budgetClock: { ahead: () => 0, putRight: () => Promise.reject(new Error('disk')) },
}

describe('budgets on the admin listener', () => {
  it('are shown', async () => {
    expect(await showBudgets(sources().given)).toMatchObject({ status: 200, body: `${JSON.stringify([row])}\n` })
  })

  it('are changed, and shown as they are then', async () => {
    const { changes, given } = sources()
    expect(await changeBudget({ budget: 'day', agent: 'devbot', tokens: 5 }, given)).toMatchObject({ status: 200 })
    expect(await changeBudget({ budget: 'team', usd: 1.5 }, given)).toMatchObject({ status: 200 })
    expect(changes).toEqual([
      { budget: 'day', agent: 'devbot', tokens: 5, usd: undefined },
      { budget: 'team', agent: undefined, tokens: undefined, usd: 1.5 },
    ])
  })

  it.each([
    [{}],
    [{ budget: 'day' }],
    [{ budget: 7, tokens: 1 }],
    [{ budget: 'day', agent: 7, tokens: 1 }],
    [{ budget: 'day', tokens: -1 }],
    [{ budget: 'day', tokens: 1.5 }],
    [{ budget: 'day', tokens: '1' }],
    [{ budget: 'day', usd: Number.NaN }],
    [{ budget: 'day', usd: 1e300 }],
  ])('are not changed by %j', async (body) => {
    const { changes, given } = sources()
    expect(await changeBudget(body, given)).toMatchObject({ status: 400 })
    expect(changes).toEqual([])
  })

  it('that nobody has are not found', async () => {
    expect(await changeBudget({ budget: 'day', agent: 'x', tokens: 1 }, sources(false).given)).toMatchObject({ status: 404 })
  })

  it('without a ledger are not to be had', async () => {
    expect(await showBudgets(broken)).toMatchObject({ status: 503 })
    expect(await changeBudget({ budget: 'day', tokens: 1 }, broken)).toMatchObject({ status: 503 })
  })

  it('go by the clock again when they are told to, and say which windows had not begun', async () => {
    const answer = await putClockRight(sources().given)
    expect(answer.status).toBe(200)
    expect(JSON.parse(answer.body)).toEqual({
      before: 86_400,
      ahead: 86_400,
      emptied: [{ budget: 'day', holder: 'devbot', began: '2027-01-01T00:00:00.000Z' }],
    })
    expect(await putClockRight(broken)).toMatchObject({ status: 503 })
  })
})
