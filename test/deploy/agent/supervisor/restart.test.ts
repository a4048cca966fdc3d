import { describe, expect, it } from 'vitest'
import { afterEnd } from '../../../../deploy/agent/supervisor/restart.ts'

const ended = { code: 1, lasted: 1000, restarts: 0, turn: 0 }

describe('after an agent has ended', () => {
  it.each([
    ['no', 0, 'end'],
    ['no', 1, 'end'],
    ['on-failure', 0, 'end'],
    ['on-failure', 1, 'restart'],
    ['always', 0, 'restart'],
    ['always', 1, 'restart'],
  ] as const)('with restart %s and exit code %d: %s', (restart, code, kind) => {
    expect(afterEnd({ restart, maxRestarts: 0 }, { ...ended, code }, 0).kind).toBe(kind)
  })

  it('waits longer each time, with chance in it, up to two minutes, and anew after five healthy minutes', () => {
    const wait = (turn: number, chance: number, lasted = 1000) => {
      const next = afterEnd({ restart: 'always', maxRestarts: 0 }, { ...ended, turn, lasted }, chance)
      return next.kind === 'restart' ? next.after : undefined
    }
    expect([0, 1, 2, 9].map((turn) => wait(turn, 0))).toEqual([1500, 3000, 6000, 60_000])
    expect([0, 1, 2, 9].map((turn) => wait(turn, 1))).toEqual([3000, 6000, 12_000, 120_000])
    expect(wait(9, 1, 300_000)).toBe(3000)
  })

  it('gives up after so many restarts, and says so', () => {
    expect(afterEnd({ restart: 'always', maxRestarts: 2 }, { ...ended, restarts: 1 }, 0).kind).toBe('restart')
    expect(afterEnd({ restart: 'always', maxRestarts: 2 }, { ...ended, restarts: 2 }, 0)).toEqual({
      kind: 'end',
      error: 'exit code 1, and it was started again 2 times',
    })
  })
})
