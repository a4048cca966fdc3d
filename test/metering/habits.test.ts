import { describe, expect, it } from 'vitest'
import { Habits, leastPrompt } from '#metering/habits.ts'

const weights = { weights: { input: 1, cache_read: 0.1, cache_write: 1.25, output: 1 } }
const call = { agent: 'devbot', model: 'opus', bytes: 100_000, whole: true }
const cached = (output: number) => ({ input: 300, cache_read: 24_200, cache_write: 500, output })
const uncached = { input: 300, cache_read: 0, cache_write: 24_700, output: 500 }

function habitsAfter(calls: number, at = 0): Habits {
  const habits = new Habits()
  for (let i = 0; i < calls; i += 1) habits.learn(call, cached(100 + i), at)
  return habits
}

describe('what the calls of an agent use', () => {
  it('is not known after two of them, and after three it is', () => {
    expect(habitsAfter(2).expect('devbot', 'opus', 100_000, weights, 0)).toBeUndefined()
    expect(habitsAfter(3).expect('devbot', 'opus', 100_000, weights, 0)).toMatchObject({ prompt: { cache_read: 25_410 } })
    expect(habitsAfter(3).expect('infrabot', 'opus', 100_000, weights, 0)).toBeUndefined()
    expect(habitsAfter(3).expect('devbot', 'haiku', 100_000, weights, 0)).toBeUndefined()
  })

  it('is a high quantile, with a margin, as long as the body of the next one', () => {
    const expected = habitsAfter(32).expect('devbot', 'opus', 200_000, weights, 0)
    // 95 % of 32 outputs of 100 to 131 are no more than 130.
    expect(expected?.output).toBe(Math.ceil(130 * 1.05))
    expect(expected?.prompt).toEqual({ input: 630, cache_read: 50_820, cache_write: 1_050, output: 0 })
    const usual = habitsAfter(32).usual('devbot', 'opus', 200_000)
    expect(usual?.cache_read).toBeCloseTo(48_400, -1)
  })

  it('has its dear prompts in it once one of twenty is dear', () => {
    const habits = new Habits()
    for (let i = 0; i < 32; i += 1) habits.learn(call, i % 16 === 0 ? uncached : cached(100), 0)
    const expected = habits.expect('devbot', 'opus', 100_000, weights, 0)
    expect(expected?.prompt?.cache_write).toBe(Math.ceil(24_700 * 1.05))
    expect(habits.usual('devbot', 'opus', 100_000)?.cache_read).toBeGreaterThan(18_000)
  })

  it('says nothing of prompts once their cache is cold, and goes on to say what is usual', () => {
    const habits = habitsAfter(10, 1_000)
    expect(habits.expect('devbot', 'opus', 100_000, weights, 200_000)?.prompt).toBeDefined()
    const cold = habits.expect('devbot', 'opus', 100_000, weights, 242_000)
    expect([cold?.prompt, cold?.output, habits.usual('devbot', 'opus', 1000)?.input]).toEqual([undefined, 115, 3])
  })

  it('is kept and recalled, and what makes no sense is left out', () => {
    const habits = habitsAfter(5)
    const kept = habits.lessons()
    expect(kept).toHaveLength(1)
    expect(habits.lessons()).toEqual([])
    habits.keep(kept)
    expect(habits.lessons()).toEqual(kept)
    const again = new Habits()
    const junk = ['', '{}', '{"at":0,"samples":[]}', '{"at":"x","samples":[[1,2]]}', '[1]', 'null'].map((text) => ({
      name: kept[0]?.name ?? '',
      text,
    }))
    again.recall([...junk, { name: 'another lesson', text: '{"at":0,"samples":[[1,2,3,4,5]]}' }])
    expect(again.expect('devbot', 'opus', 100_000, weights, 0)).toBeUndefined()
    again.recall(kept)
    expect(again.expect('devbot', 'opus', 100_000, weights, 0)).toEqual(habits.expect('devbot', 'opus', 100_000, weights, 0))
    expect(again.ratio('devbot', 'opus')).toBeCloseTo(0.25 * 1.15)
    // What was learned since is newer.
    again.learn(call, cached(9_000), 0)
    again.recall(kept)
    expect(again.expect('devbot', 'opus', 100_000, weights, 0)?.output).toBeGreaterThan(9_000)
  })
})

describe('the least prompt of an agent that nobody knows', () => {
  it('is a fifth of a token a byte, and of images next to nothing', () => {
    expect(leastPrompt(100_000, false)).toMatchObject({ input: 20_000, output: 0 })
    expect(leastPrompt(1_000_000, true)).toMatchObject({ input: 10_000 })
  })
})
