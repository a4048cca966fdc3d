import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { DialTurns } from '#upstream/dial-turns.ts'

beforeEach(() => vi.useFakeTimers())
afterEach(() => vi.useRealTimers())

/** Takes so many turns, and tells which have come. */
function taking(turns: DialTurns, agent: string, count: number): (() => void)[] {
  const came: (() => void)[] = []
  for (let i = 0; i < count; i += 1) void turns.take(agent).then((leave) => came.push(leave))
  return came
}

it('an agent opens 32 connections at once, the next as one is open, and others do not wait for it', async () => {
  const turns = new DialTurns()
  const alice = taking(turns, 'alice', 40)
  const bob = taking(turns, 'bob', 1)
  await vi.advanceTimersByTimeAsync(0)
  expect([alice.length, bob.length]).toEqual([32, 1])
  alice[0]?.()
  alice[0]?.()
  await vi.advanceTimersByTimeAsync(0)
  expect(alice).toHaveLength(33)
})

it('a host that is silent for a second holds up nothing', async () => {
  const turns = new DialTurns()
  const alice = taking(turns, 'alice', 40)
  await vi.advanceTimersByTimeAsync(999)
  expect(alice).toHaveLength(32)
  await vi.advanceTimersByTimeAsync(1)
  expect(alice).toHaveLength(40)
  for (const leave of alice) leave()
  const again = taking(turns, 'alice', 33)
  await vi.advanceTimersByTimeAsync(0)
  expect(again).toHaveLength(32)
})
