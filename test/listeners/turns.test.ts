import { setImmediate as turn } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { AgentTurns } from '#listeners/turns.ts'

it('an agent with few requests begins them at once', () => {
  const turns = new AgentTurns()
  expect(Array.from({ length: 16 }, () => turns.take('few'))).toEqual(Array(16).fill(undefined))
})

it('a request of another agent begins before the rest of a hundred', async () => {
  const turns = new AgentTurns()
  const begun: string[] = []
  const take = (agent: string): void => void Promise.resolve(turns.take(agent)).then(() => begun.push(agent))
  for (let i = 0; i < 100; i += 1) take('busy')
  take('quiet')
  await turn()
  expect(begun.indexOf('quiet')).toBe(16)
  for (let i = 0; i < 20 && begun.length < 101; i += 1) await turn()
  expect(begun.filter((agent) => agent === 'busy')).toHaveLength(100)
})

it('begins at most 16 of an agent in each turn, in their order, and forgets it after', async () => {
  const turns = new AgentTurns()
  const begun: number[] = []
  for (let i = 0; i < 50; i += 1) void Promise.resolve(turns.take('busy')).then(() => begun.push(i))
  const counts: number[] = []
  for (let i = 0; i < 6; i += 1) {
    await turn()
    counts.push(begun.length)
  }
  expect(counts.every((count, i) => count - (counts[i - 1] ?? 16) <= 16)).toBe(true)
  expect(begun).toEqual(Array.from({ length: 50 }, (_, i) => i))
  expect(turns.take('busy')).toBeUndefined()
})
