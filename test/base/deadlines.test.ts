import { expect, it } from 'vitest'
import { Deadlines } from '#base/deadlines.ts'
import { Cancellation } from '#base/async.ts'
import { ManualClock } from '../kit/clock.ts'

it('one timer expires each deadline within half a second of its time, and a moved one later', () => {
  const clock = new ManualClock()
  const deadlines = new Deadlines(clock)
  const expired: string[] = []
  const waiting = (name: string, after: number) => ({ deadline: deadlines.now + after, expire: () => void expired.push(name) })
  const [first, moved, never] = [waiting('first', 1_000), waiting('moved', 1_000), waiting('never', Infinity)]
  for (const each of [first, moved, never]) deadlines.add(each)
  moved.deadline += 1_000
  clock.advance(500)
  clock.advance(400)
  expect(expired).toEqual([])
  clock.advance(600)
  expect(expired).toEqual(['first'])
  clock.advance(500)
  clock.advance(500)
  expect(expired).toEqual(['first', 'moved'])
})

it('what is deleted does not expire', () => {
  const clock = new ManualClock()
  const deadlines = new Deadlines(clock)
  let expired = 0
  const waiting = { deadline: 1, expire: () => (expired += 1) }
  deadlines.add(waiting)
  deadlines.delete(waiting)
  clock.advance(10_000)
  expect(expired).toBe(0)
})

it('a cancellation tells its listeners once, with the first wish', () => {
  const cut = new Cancellation<'agent' | 'policy'>()
  let heard = 0
  cut.signal.addEventListener('abort', () => (heard += 1))
  const removed = () => (heard += 100)
  cut.signal.addEventListener('abort', removed)
  cut.signal.removeEventListener('abort', removed)
  cut.cut('policy')
  cut.cut('agent')
  expect([heard, cut.by, cut.signal.aborted]).toEqual([1, 'policy', true])
  expect(() => cut.signal.throwIfAborted()).toThrow(expect.objectContaining({ code: 'client_closed' }))
})
