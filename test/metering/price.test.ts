import { createRequire } from 'node:module'
import type * as Table from '@pydantic/genai-prices'
import { describe, expect, it } from 'vitest'
import { noTokens, usageWith } from '#base/usage.ts'
import { contextWindow, costOf, pricedName, priceOf } from '#metering/price.ts'
import type { Priced } from '#metering/price.ts'

const now = Date.parse('2026-11-21T00:00:00Z')
const of = (parts: Partial<Priced>): Priced => ({
  model: 'claude-opus-4-5',
  tokens: noTokens,
  cacheWriteHour: undefined,
  searches: 0,
  tier: undefined,
  ...parts,
})
const million = 1_000_000

describe('the price of tokens', () => {
  it.each([
    // Anthropic's list: 5 and 25 dollars, a tenth for cache reads, 1.25 for five minutes of cache, 2 for an hour.
    ['input', { input: million }, 5e9],
    ['output', { output: million }, 25e9],
    ['cache_read', { cache_read: million }, 0.5e9],
    ['cache_write whose life is not said', { cache_write: million }, 6.25e9],
  ])('of %s is the list price', (_class, tokens, nano) => {
    expect(priceOf(of({ tokens: { ...noTokens, ...tokens } }), 'anthropic', new Map(), now)).toBe(nano)
  })

  it('of any tokens of any model is what the table itself reckons', () => {
    const require = createRequire(import.meta.url)
    const { calcPrice } = require('@pydantic/genai-prices') as typeof Table
    const named = (provider: string, providerId: string, models: readonly string[]) =>
      models.map((model) => ({ model, provider, providerId }))
    const models = [
      ...named('anthropic', 'anthropic', ['claude-opus-4-5', 'claude-sonnet-4-5', 'claude-haiku-4-5', 'claude-3-5-haiku-latest']),
      ...named('openai', 'openai', ['gpt-5', 'gpt-4.1', 'o3']),
      ...named('gemini', 'google', ['gemini-2.5-pro', 'gemini-2.5-flash', 'gemini-1.5-pro']),
      ...named('openai-compatible', 'deepseek', ['deepseek-chat']),
      ...named('openai-compatible', 'x-ai', ['grok-4']),
    ]
    // Around the tiers, and at other times of the day, as some prices follow it.
    const sizes = [0, 1, 127, 128_000, 128_001, 199_999, 200_000, 200_001, 900_000]
    let compared = 0
    for (const { model, provider, providerId } of models) {
      for (const [i, size] of sizes.entries()) {
        for (const hour of [0, 6, 14, 20]) {
          const at = now + hour * 3_600_000
          const tokens = {
            input: size,
            cache_read: sizes[(i + 3) % sizes.length] ?? 0,
            cache_write: provider === 'anthropic' ? 1000 : 0,
            output: 12_345,
          }
          const usage = {
            input_tokens: tokens.input + tokens.cache_read + tokens.cache_write,
            output_tokens: tokens.output,
            ...(tokens.cache_read > 0 && { cache_read_tokens: tokens.cache_read }),
            ...(tokens.cache_write > 0 && { cache_write_tokens: tokens.cache_write, cache_write_1h_tokens: 400 }),
          }
          const wanted = calcPrice(usage, model, { providerId, timestamp: new Date(at) })?.total_price
          const found = priceOf(
            of({ model, tokens, cacheWriteHour: tokens.cache_write > 0 ? 400 : undefined }),
            provider,
            new Map(),
            at,
          )
          expect([model, size, hour, found]).toEqual([
            model,
            size,
            hour,
            wanted === undefined ? undefined : Math.ceil(wanted * 1e9 - 1e-3),
          ])
          compared += 1
        }
      }
    }
    expect(compared).toBeGreaterThan(400)
  })

  it('tells five minutes of cache from an hour of it', () => {
    const tokens = { ...noTokens, cache_write: million }
    expect(priceOf(of({ tokens, cacheWriteHour: 0 }), 'anthropic', new Map(), now)).toBe(6.25e9)
    expect(priceOf(of({ tokens, cacheWriteHour: million / 2 }), 'anthropic', new Map(), now)).toBe(8.125e9)
  })

  it('follows the tier of a long prompt', () => {
    const long = { ...noTokens, input: 300_000 }
    expect(priceOf(of({ model: 'claude-sonnet-4-5', tokens: long }), 'anthropic', new Map(), now)).toBe(1.8e9)
  })

  it('follows the way it was served, and takes a word nobody knows for the dearest', () => {
    const tokens = { ...noTokens, input: million }
    const price = (tier: string) => priceOf(of({ tokens, tier }), 'anthropic', new Map(), now)
    expect(price('standard')).toBe(5e9)
    expect(price('batch')).toBe(2.5e9)
    expect(price('fast')).toBe(30e9)
    expect(price('quantum')).toBe(30e9)
    expect(price('regional')).toBe(5.5e9)
    expect(price('fast+regional')).toBe(33e9)
  })

  it('counts web searches one by one', () => {
    expect(priceOf(of({ searches: 3 }), 'anthropic', new Map(), now)).toBe(30_000_000)
  })

  it('of sound is that of sound, where the table tells it', () => {
    const tokens = { ...noTokens, input: million, output: million }
    const price = (model: string, sound: Priced['sound']) => priceOf(of({ model, tokens, sound }), 'openai', new Map(), now)
    expect(price('gpt-audio', undefined)).toBe(12.5e9)
    expect(price('gpt-audio', { input: million, output: million })).toBe(96e9)
    expect(price('gpt-audio', { input: 0, output: million / 2 })).toBe(39.5e9)
    expect(price('gpt-audio', { input: 9 * million, output: 9 * million })).toBe(96e9)
    expect(price('gpt-5', { input: million, output: 0 })).toBe(price('gpt-5', undefined))
    const cached = { ...noTokens, input: 10, cache_read: million, output: 1 }
    const heard = of({ model: 'gemini-2.5-flash', tokens: cached, sound: { input: million, output: 0 } })
    expect(priceOf(heard, 'gemini', new Map(), now)).toBeGreaterThan(0)
  })

  it('is rounded up to a whole nano-dollar, never down', () => {
    const price = priceOf(
      of({ model: 'm', tokens: { ...noTokens, input: 1 } }),
      'openai',
      new Map([['m', { input: 0.0001, output: 0 }]]),
      now,
    )
    expect(price).toBe(1)
  })

  it.each([
    ['gpt-5', 'openai'],
    ['gpt-5', 'codex'],
    ['gemini-2.5-pro', 'gemini'],
    ['anthropic.claude-sonnet-4-5-20250929-v1:0', 'bedrock'],
    ['openai/gpt-5', 'openrouter'],
    ['claude-opus-4-5', 'vertex'],
    ['gpt-5', 'azure-openai'],
    ['gpt-5', 'openai-compatible'],
  ])('is known for %s of %s', (model, provider) => {
    expect(priceOf(of({ model, tokens: { ...noTokens, input: 1000 } }), provider, new Map(), now)).toBeGreaterThan(0)
    expect(pricedName(model, provider, new Map())).toBeDefined()
  })

  it.each(['nothing-anybody-sells', '', '__proto__', 'constructor'])('is not known for %j', (model) => {
    expect(priceOf(of({ model, tokens: { ...noTokens, input: 1000 } }), 'openai', new Map(), now)).toBeUndefined()
    expect(pricedName(model, 'openai', new Map())).toBeUndefined()
    expect(contextWindow(model, 'openai', new Map())).toBeUndefined()
  })
})

describe('a price of the policy', () => {
  const list = new Map([
    ['house-*', { input: 1, output: 2 }],
    ['house-large-*', { input: 10, output: 20, cache_read: 3, cache_write: 4 }],
    ['house-large-2', { input: 7, output: 7 }],
    ['claude-opus-4-5', { input: 1, output: 1 }],
  ])
  const tokens = { input: million, cache_read: million, cache_write: million, output: million }

  it.each([
    ['house-small', 1 + 1 + 1 + 2, 'house-*'],
    ['house-large-1', 10 + 3 + 4 + 20, 'house-large-*'],
    ['house-large-2', 7 * 4, 'house-large-2'],
    ['claude-opus-4-5', 4, 'claude-opus-4-5'],
  ])('of %s comes before the table: the longest name that fits', (model, dollars, name) => {
    expect(priceOf(of({ model, tokens }), 'openai', list, now)).toBe(dollars * 1e9)
    expect(pricedName(model, 'openai', list)).toBe(name)
  })

  it('may be that of another model, for a family that the table does not have yet', () => {
    const family = new Map([['gpt-99-*', { like: 'gpt-5' }]])
    for (const tier of [undefined, 'priority'])
      expect(priceOf(of({ model: 'gpt-99-sol', tokens, tier }), 'codex', family, now)).toBe(
        priceOf(of({ model: 'gpt-5', tokens, tier }), 'codex', new Map(), now),
      )
    expect(pricedName('gpt-99-sol', 'codex', family)).toBe('gpt-99-*')
    expect(contextWindow('gpt-99-sol', 'codex', family)).toBe(contextWindow('gpt-5', 'codex', new Map()))
    expect(priceOf(of({ model: 'gpt-98', tokens }), 'codex', family, now)).toBeUndefined()
  })
})

describe('the cost of a reply', () => {
  const usage = usageWith({ model: 'claude-opus-4-5', tokens: { ...noTokens, input: million } })

  it('adds the work of other models at their own prices', () => {
    const others = [{ model: 'claude-sonnet-4-5', tokens: { ...noTokens, output: million } }]
    expect(costOf({ ...usage, others }, 'claude-opus-4-5', 'anthropic', new Map(), now)).toBe(5e9 + 15e9)
  })

  it('is the larger of our reckoning and what the provider says', () => {
    const cost = (reportedCost: number) => costOf({ ...usage, reportedCost }, 'claude-opus-4-5', 'anthropic', new Map(), now)
    expect(cost(1)).toBe(5e9)
    expect(cost(6e9)).toBe(6e9)
  })

  it('is the provider’s word where nobody else knows, and unknown without one', () => {
    expect(costOf({ ...usage, reportedCost: 42 }, 'unheard-of', 'openrouter', new Map(), now)).toBe(42)
    expect(costOf(usage, 'unheard-of', 'openrouter', new Map(), now)).toBeUndefined()
  })
})
