import { expect, test } from 'vitest'
import { DeniedAllowance } from '#ca/allowance.ts'
import { ManualClock } from '../kit/clock.ts'

test('each agent has a burst of its own, which comes back with time and never grows past itself', () => {
  const clock = new ManualClock()
  const allowance = new DeniedAllowance({ burst: 3, perSecond: 2 }, clock)
  const taken = (agent: string) => Array.from({ length: 5 }, () => allowance.take(agent)).filter(Boolean).length
  expect(taken('a')).toBe(3)
  expect(taken('b')).toBe(3)
  expect(taken('a')).toBe(0)
  clock.advance(999)
  expect(taken('a')).toBe(1)
  clock.advance(400)
  expect(taken('a')).toBe(1)
  clock.advance(3_600_000)
  expect(taken('a')).toBe(3)
})

test('setting the wall clock back or forth gives nothing', () => {
  const clock = new ManualClock()
  const allowance = new DeniedAllowance({ burst: 1, perSecond: 1 }, clock)
  expect(allowance.take('a')).toBe(true)
  clock.set(clock.now() + 86_400_000)
  expect(allowance.take('a')).toBe(false)
})
