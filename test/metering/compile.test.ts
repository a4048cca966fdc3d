import { expect, it } from 'vitest'
import { compileBudget, nanoDollars } from '#metering/compile.ts'

const text = {
  per: 'agent',
  window: 'day',
  timezone: 'UTC',
  warnAt: [0.8, 0.5],
  atLimit: 'cut',
  whenBlind: 'refuse',
  weights: { cache_read: 0.1, cache_write: 0 },
} as const

it('a budget has its money in nano-dollars, its warnings in order and every weight', () => {
  expect(compileBudget('crew', { ...text, tokens: 5_000_000, usd: 40 })).toEqual({
    id: 'crew',
    per: 'agent',
    window: 'day',
    timezone: 'UTC',
    tokens: 5_000_000,
    nano: 40_000_000_000,
    warnAt: [0.5, 0.8],
    atLimit: 'cut',
    whenBlind: 'refuse',
    weights: { input: 1, cache_read: 0.1, cache_write: 0, output: 1 },
  })
})

it('what is left out is no limit, and zero is one', () => {
  expect(compileBudget('crew', text)).toMatchObject({ tokens: undefined, nano: undefined })
  expect(compileBudget('crew', { ...text, tokens: 0, usd: 0 })).toMatchObject({ tokens: 0, nano: 0 })
})

it('a dollar amount becomes a whole number', () => {
  expect(nanoDollars(0.1 + 0.2)).toBe(300_000_000)
})
