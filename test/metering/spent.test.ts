import { describe, expect, it } from 'vitest'
import { accountOf } from '#metering/account.ts'
import { compileBudget } from '#metering/compile.ts'
import { moveSpend, spentNow } from '#metering/spent.ts'
import type { Account, Budget } from '#metering/types.ts'
import { makeLedger } from '../kit/ledger.ts'

const budget = (id: string, window: 'day' | 'month', timezone = 'UTC'): Budget =>
  compileBudget(id, {
    per: 'agent',
    window,
    timezone,
    tokens: 1000,
    warnAt: [],
    atLimit: 'refuse',
    whenBlind: 'refuse',
    weights: {},
  })
const day = budget('day', 'day')
const berlin = budget('berlin', 'month', 'Europe/Berlin')
const budgets = new Map([day, berlin].map((each) => [each.id, each]))

describe('what is spent now', () => {
  it('has the accounts of the policy, those under old names, and none of a window that is over', async () => {
    await using made = await makeLedger()
    await made.ledger.open()
    const now = made.ledger.now()
    const old = (of: Account, back: number): Account => ({ ...of, window: of.window - back })
    const accounts = [
      accountOf(day, 'devbot', now),
      accountOf(day, 'renamed', now),
      { ...accountOf(berlin, 'devbot', now), budget: 'monthly' },
      old(accountOf(day, 'devbot', now), 86_400_000),
      old({ ...accountOf(day, 'devbot', now), budget: 'gone' }, 12_345_678),
    ]
    for (const [i, account] of accounts.entries()) await made.ledger.settle(`s${i}`, [account], [{ tokens: i + 1, nano: 0 }])
    const found = await spentNow(made.ledger, budgets)
    expect(new Set(found.map(({ account, spent }) => `${account.budget} ${account.holder} ${spent.tokens}`))).toEqual(
      new Set(['day devbot 1', 'day renamed 2', 'monthly devbot 3']),
    )
  })

  it('is carried over to another name, added to what is there', async () => {
    await using made = await makeLedger()
    await made.ledger.open()
    const [from, to] = ['old', 'new'].map((name) => accountOf(day, name, made.ledger.now()))
    if (!from || !to) throw new Error('two')
    await made.ledger.settle('a', [from], [{ tokens: 700, nano: 30 }])
    await made.ledger.settle('b', [to], [{ tokens: 5, nano: 1 }])
    await moveSpend(made.ledger, from, to)
    expect((await made.ledger.balances([from, to])).map(({ spent }) => spent)).toEqual([
      { tokens: 0, nano: 0 },
      { tokens: 705, nano: 31 },
    ])
  })
})
