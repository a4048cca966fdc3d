import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { Queue } from '#metering/queue.ts'
import type { Waiter } from '#metering/queue.ts'

/** Accounts with room for so many, and requests that take it and say so. */
function stage(room: Record<string, number>) {
  const queue = new Queue()
  const served: string[] = []
  let since = 0
  const waiter = (name: string, agent: string, account: string): Waiter => ({
    agent,
    since: (since += 1),
    async attempt() {
      await turn()
      if ((room[account] ?? 0) < 1) return account
      room[account] = (room[account] ?? 0) - 1
      served.push(name)
      return undefined
    },
  })
  const join = (name: string, agent: string, account = 'day'): Waiter => {
    const each = waiter(name, agent, account)
    queue.join(account, each)
    return each
  }
  const serve = async (more: number, account = 'day') => {
    room[account] = (room[account] ?? 0) + more
    queue.serve()
    for (let i = 0; i < 50; i += 1) await turn()
  }
  return { queue, served, join, serve }
}

describe('a queue', () => {
  it('serves in the order in which they came', async () => {
    const on = stage({ day: 0 })
    for (const name of ['a', 'b', 'c', 'd']) on.join(name, 'devbot')
    await on.serve(2)
    expect(on.served).toEqual(['a', 'b'])
    on.join('e', 'devbot')
    await on.serve(3)
    expect(on.served).toEqual(['a', 'b', 'c', 'd', 'e'])
    expect(on.queue.size).toBe(0)
  })

  it('takes agents in turn, whichever of them has more that wait', async () => {
    const on = stage({ day: 0 })
    for (const name of ['a1', 'a2', 'a3', 'a4']) on.join(name, 'a')
    on.join('b1', 'b')
    await on.serve(1)
    on.join('b2', 'b')
    on.join('c1', 'c')
    await on.serve(6)
    expect(on.served).toEqual(['a1', 'b1', 'c1', 'a2', 'b2', 'a3', 'a4'])
  })

  it('lets nobody pass the one whose turn it is', async () => {
    const on = stage({ day: 0 })
    let large = 0
    const patient: Waiter = {
      agent: 'devbot',
      since: 0,
      attempt: async () => ((large += 1) < 3 ? 'day' : undefined),
    }
    on.queue.join('day', patient)
    on.join('small', 'devbot')
    await on.serve(5)
    await on.serve(0)
    expect(on.served).toEqual([])
    await on.serve(0)
    expect(on.served).toEqual(['small'])
  })

  it('has a line for each account, and who finds no room elsewhere keeps its place there', async () => {
    const on = stage({ day: 0, team: 0 })
    const moving: Waiter = { agent: 'a', since: 0, attempt: async () => (on.queue.lengths().get('day') ? 'team' : undefined) }
    const late = on.join('late', 'b', 'team')
    on.queue.join('day', moving)
    await on.serve(0)
    expect([...on.queue.lengths()]).toEqual([['team', 2]])
    expect(on.queue.busy(['other', 'team'])).toBe('team')
    expect(on.queue.busy(['day'])).toBeUndefined()
    await on.serve(0)
    expect(on.queue.size).toBe(1)
    on.queue.leave(late)
    expect(on.queue.size).toBe(0)
    expect(on.served).toEqual([])
  })

  it('goes on with the next where one has left while it asked', async () => {
    const on = stage({ day: 0 })
    const leaving: Waiter = {
      agent: 'a',
      since: 0,
      async attempt() {
        await turn()
        on.queue.leave(leaving)
        return 'day'
      },
    }
    on.queue.join('day', leaving)
    on.join('next', 'a')
    await on.serve(1)
    expect(on.served).toEqual(['next'])
  })
})
