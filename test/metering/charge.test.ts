import { describe, expect, it } from 'vitest'
import { noTokens, usageWith } from '#base/usage.ts'
import { promptOf, reckon, weigh, weighMost } from '#metering/charge.ts'
import { countedOf } from './usages.ts'

const ones = { weights: { input: 1, cache_read: 1, cache_write: 1, output: 1 } }
const crew = { weights: { input: 1, cache_read: 0.1, cache_write: 1.25, output: 1 } }

describe('the weight of a reply', () => {
  it('is the sum of its tokens by their weights, rounded up', () => {
    const tokens = { input: 10, cache_read: 101, cache_write: 100, output: 7 }
    expect(weigh(usageWith({ tokens }), ones)).toBe(218)
    expect(weigh(usageWith({ tokens }), crew)).toBe(Math.ceil(10 + 10.1 + 125 + 7))
  })

  it('holds the tokens of other models too', () => {
    const others = [{ model: 'm', tokens: { ...noTokens, output: 5 } }]
    expect(weigh(usageWith({ tokens: { ...noTokens, input: 1 }, others }), ones)).toBe(6)
  })

  it('is not raised by what a float cannot say', () => {
    expect(weigh(usageWith({ tokens: { ...noTokens, cache_read: 30 } }), crew)).toBe(3)
  })

  it('at most takes the prompt for its dearest class', () => {
    expect(weighMost({ ...noTokens, input: 100, output: 50 }, crew)).toBe(175)
    expect(weighMost({ ...noTokens, input: 100, output: 50 }, ones)).toBe(150)
  })
})

describe('a prompt', () => {
  it('is what was read from the cache and written to it too', () => {
    expect(promptOf({ input: 1, cache_read: 2, cache_write: 4, output: 8 })).toBe(7)
  })
})

describe('what a reply used', () => {
  const foreseen = { ...noTokens, input: 500, output: 128_000 }
  const usage = usageWith({ tokens: { ...noTokens, input: 400, output: 7 } })

  it('is what was reported, when it was reported in full', () => {
    const counted = countedOf({ usage, final: true, visibleOutput: 9000 })
    for (const complete of [true, false])
      expect(reckon({ counted, complete, stream: true }, foreseen)).toEqual({ usage, exact: true })
  })

  it('is unknown when it ended properly and reported nothing', () => {
    expect(reckon({ counted: countedOf({ visibleOutput: 10 }), complete: true, stream: true }, foreseen)).toBeUndefined()
  })

  it('is unknown when a cap was met, whatever was reported', () => {
    const counted = countedOf({ usage, final: true, lost: true })
    expect(reckon({ counted, complete: true, stream: true }, foreseen)).toBeUndefined()
  })

  it.each([
    ['reported', 400, 7, 3],
    ['seen', 400, 7, 900],
  ])('when it broke off is its prompt and the output %s', (_word, input, output, visibleOutput) => {
    const counted = countedOf({ usage: usageWith({ tokens: { ...noTokens, input, output } }), visibleOutput })
    const reckoned = reckon({ counted, complete: false, stream: true }, foreseen)
    expect(reckoned?.exact).toBe(false)
    expect(reckoned?.usage.tokens).toEqual({ ...noTokens, input: 400, output: Math.max(output, visibleOutput) })
  })

  it('when it broke off before a word is the prompt as foreseen, and one token', () => {
    const reckoned = reckon({ counted: countedOf(), complete: false, stream: true }, foreseen)
    expect(reckoned).toMatchObject({ exact: false, usage: { tokens: { ...noTokens, input: 500, output: 1 } } })
  })

  it('when it broke off and would have come in one piece is unknown: nobody saw the work', () => {
    expect(reckon({ counted: countedOf(), complete: false, stream: false }, foreseen)).toBeUndefined()
  })
})
