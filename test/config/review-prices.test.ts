import { describe, expect, it } from 'vitest'
import { formatIssue } from '#config/issue.ts'
import { reviewPrices } from '#config/review-prices.ts'
import { snapshotOf } from '../kit/policy.ts'

const policy = (limit: string, prices = '{}'): string => `
agents: {devbot: {from: [{cidr: 127.0.0.1}], budget: day}}
budgets: {day: {window: day, ${limit}}}
prices: ${prices}
rules: [{id: llm, hosts: [api.openai.com], meter: auto}]
`
const seen = [
  { meter: 'codex', model: 'gpt-99-sol' },
  { meter: 'openai', model: 'gpt-5' },
]

describe('models that agents asked for', () => {
  it('are warned of where they have no price', async () => {
    const found = reviewPrices(await snapshotOf(policy('usd: 1')), seen, 'policies')
    expect(found.map(formatIssue)).toEqual([
      'policies prices: warning: agents ask for the model "gpt-99-sol" (meter codex), which has no price, so budgets in usd refuse it; price it or its family: "gpt-99-*": {input: …, output: …}, or {like: a model that has a price}',
    ])
    const [counted] = reviewPrices(await snapshotOf(policy('tokens: 1')), seen, 'policies')
    expect(counted?.message).toContain('so its cost is not known')
  })

  it.each(['{"gpt-99-*": {like: gpt-5}}', '{gpt-99-sol: {input: 1, output: 2}}'])(
    'are not where the policy has %s',
    async (prices) => {
      expect(reviewPrices(await snapshotOf(policy('usd: 1', prices)), seen, 'policies')).toEqual([])
    },
  )
})
