import { spawn } from 'node:child_process'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { LeasedLedger } from '#metering/leased-ledger.ts'
import type { Account, Amount, Claim, Ledger } from '#metering/types.ts'
import { EmbeddedLedger } from '#store/sqlite/ledger.ts'
import { describeLedger } from '../store/ledger-contract.ts'
import { ManualClock } from '../kit/clock.ts'
import { figure } from '../kit/figures.ts'
import { makeLedger } from '../kit/ledger.ts'
import type { TestLedger } from '../kit/ledger.ts'
import { within } from '../kit/within.ts'

const account: Account = { budget: 'day', holder: 'devbot', window: Math.floor(Date.now() / 86_400_000) * 86_400_000 }
const tokens = (count: number): Amount => ({ tokens: count, nano: 0 })
const claimOf = (hold: number, limit = 1_000_000, some: Partial<Claim> = {}): Claim => ({
  account,
  limit: { tokens: limit, nano: undefined },
  hold: tokens(hold),
  least: tokens(1),
  ...some,
})

describeLedger('an embedded ledger with leases', async () => {
  const made = await makeLedger()
  let ahead = 0
  let passed = 0
  const clocks = [() => Date.now() + ahead, undefined, () => performance.now() + passed] as const
  const open = () => new LeasedLedger(new EmbeddedLedger(`${made.path}-leased`, ...clocks), new ManualClock())
  return {
    ledger: open(),
    step(milliseconds) {
      ahead += milliseconds
      passed += Math.max(0, milliseconds)
    },
    reopen: async () => open(),
  }
})

let made: TestLedger
let clock: ManualClock
let ledger: LeasedLedger
let asked: string[]

/** The ledger below, and which of its orders that write were asked for. */
function watched(below: Ledger): Ledger {
  return new Proxy(below, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name)
      if (typeof value !== 'function') return value
      return (...args: unknown[]): unknown => {
        if (name !== 'now') asked.push(String(name))
        return Reflect.apply(value, target, args)
      }
    },
  })
}

beforeEach(async () => {
  made = await makeLedger()
  clock = new ManualClock()
  asked = []
  ledger = new LeasedLedger(watched(made.ledger), clock)
})
afterEach(() => made[Symbol.asyncDispose]())

let serial = 0
async function call(used: number, hold = 100, limit?: number): Promise<boolean> {
  const id = `call-${(serial += 1)}`
  const reserved = await ledger.reserve(id, [claimOf(hold, limit)], ledger.now() + 60_000)
  if (reserved.kind !== 'held') return false
  const leased = ledger.leases(id)
  await ledger.settle(id, [account], [tokens(used)])
  return leased
}

/** Calls until the account has a lease. */
async function lease(limit?: number): Promise<void> {
  expect(await within(() => call(1, 100, limit))).toBeDefined()
}

const shown = async (of: Ledger = ledger) => {
  const [balance] = await of.balances([account])
  return { spent: balance?.spent.tokens ?? 0, held: balance?.held.tokens ?? 0, requests: balance?.requests ?? 0 }
}

describe('an account that is in use', () => {
  it('gets a lease of no more than 0.25 % of its limit, and calls on it ask nobody', async () => {
    expect([await call(1), await call(1), await call(1)]).toEqual([false, false, false])
    await lease()
    const { held } = await shown(made.ledger)
    expect(held).toBe(2_500)
    asked = []
    for (let i = 0; i < 10; i += 1) expect(await call(70)).toBe(true)
    expect(asked).toEqual([])
    // Nobody sees less than what was spent, and here it is seen at once.
    const before = await shown(made.ledger)
    expect(await shown()).toEqual({ spent: before.spent + 701, held: 0, requests: before.requests + 11 })
    await ledger.beat()
    expect(await shown(made.ledger)).toMatchObject({ spent: before.spent + 701, requests: before.requests + 11 })
    expect(await shown()).toEqual({ spent: before.spent + 701, held: 0, requests: before.requests + 11 })
  })

  it('is reported once a beat, however many calls run meanwhile', async () => {
    await lease()
    const stop = new AbortController()
    const calls = (async () => {
      while (!stop.signal.aborted) {
        for (let i = 0; i < 5; i += 1) await call(1)
        await new Promise((go) => setTimeout(go, 1))
      }
    })()
    asked = []
    await ledger.beat()
    stop.abort()
    await calls
    expect(asked.filter((order) => order === 'settle')).toHaveLength(1)
  })

  it('takes the next lease when this one is low, and gives all back when it is not used', async () => {
    await lease()
    let direct = 0
    for (let i = 0; i < 200; i += 1) if (!(await call(95))) direct += 1
    figure(`200 calls of 95 on leases of 2,500: ${direct} asked the ledger, ${asked.length} orders in all`)
    expect(direct).toBeLessThan(20)
    expect((await shown()).held).toBe(0)
    const { spent, requests } = await shown()
    clock.advance(10_000)
    expect(await ledger.beat()).toBe(false)
    expect(await shown(made.ledger)).toEqual({ spent, held: 0, requests })
  })

  it('has none where little is left, and none that could not carry four calls', async () => {
    for (let i = 0; i < 20; i += 1) await call(1, 1_000)
    expect((await shown(made.ledger)).held).toBe(0)
    await ledger.set(account, tokens(999_000))
    for (let i = 0; i < 20; i += 1) await call(1, 100)
    expect((await shown(made.ledger)).held).toBe(0)
  })

  it('gives it up to a request that needs all that is left', async () => {
    await lease()
    await ledger.set(account, tokens(500_000))
    const all = await ledger.reserve('large', [claimOf(500_000)], ledger.now() + 60_000)
    expect(all).toMatchObject({ kind: 'held', tail: false, holds: [tokens(500_000)] })
  })

  it('has one for each limit: what ran under the old one is no help after an edit', async () => {
    await lease()
    expect(await call(1, 100, 400_000)).toBe(false)
  })

  it('is charged by itself where a reply cost more than the lease has', async () => {
    await lease()
    await ledger.reserve('a', [claimOf(100)], ledger.now() + 60_000)
    expect(ledger.leases('a')).toBe(true)
    await ledger.settle('a', [account], [tokens(9_000)])
    expect((await shown(made.ledger)).spent).toBeGreaterThanOrEqual(9_000)
    await ledger.giveBackAll()
    expect(await shown(made.ledger)).toEqual({ ...(await shown()), held: 0 })
  })

  it('runs on no lease while the ledger fails, and on it again once it answers', async () => {
    await lease()
    const settle = made.ledger.settle.bind(made.ledger)
    made.ledger.settle = () => Promise.reject(new Error('disk full'))
    await ledger.beat()
    expect(ledger.hold('a', [claimOf(100)])).toBeUndefined()
    made.ledger.settle = settle
    await ledger.beat()
    expect(ledger.hold('b', [claimOf(100)])).toMatchObject({ kind: 'held' })
    await ledger.release('b')
    await ledger.giveBackAll()
    expect(await shown(made.ledger)).toEqual({ ...(await shown()), held: 0 })
  })
})

describe('a crash', () => {
  it('counts as spent what was leased and not reported, and no more than 0.25 % of the limit above what was used', async () => {
    await lease()
    for (let i = 0; i < 5; i += 1) await call(90)
    const { spent } = await shown()
    await made.ledger.close()
    const again = new EmbeddedLedger(made.path)
    const { spent: after, held } = await shown(again)
    figure(`used ${spent}, after a crash ${after} of 1000000`)
    expect(after).toBeGreaterThanOrEqual(spent)
    expect(after - spent).toBeLessThanOrEqual(2_500)
    expect(held).toBe(0)
    await again.close()
  })
})

describe('a process that is killed while calls run on its leases', () => {
  it('has spent what it said, never less than it showed, and no more than a lease above it', { timeout: 60_000 }, async () => {
    const limit = 1_000_000
    let [charged, leased] = [0, 0]
    const trials = 12
    for (let trial = 0; trial < trials; trial += 1) {
      const child = spawn(process.execPath, ['test/metering/leased-writer.ts', made.path, String(trial), String(limit)], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      const { promise, resolve } = Promise.withResolvers<void>()
      let lines = ''
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        lines += text
        if (lines.split('\n').length > 60 + trial * 40) child.kill('SIGKILL')
      })
      child.on('close', () => resolve())
      await promise
      const said = lines.split('\n').filter((line) => line !== '')
      const on = said.filter((line) => line === 'leased').length
      leased += on
      charged += 3 * (on + said.filter((line) => line === 'direct').length)
      const most = Math.max(0, ...said.filter((line) => line.startsWith('shown')).map((line) => Number(line.slice(6))))
      const ledger = new EmbeddedLedger(made.path)
      const { spent, held } = await shown(ledger)
      await ledger.close()
      expect(spent).toBeGreaterThanOrEqual(Math.max(charged, most))
      expect(held).toBe(0)
      if (trial === trials - 1)
        figure(`killed ${trials} times: ${leased} calls on leases, ${charged} tokens charged, ${spent} spent of ${limit}`)
      // A lease of 2,500, one that takes its place, and what ran.
      expect(spent).toBeLessThanOrEqual(charged + (trial + 1) * (2 * 2_500 + 4 * 10))
    }
    expect(leased).toBeGreaterThan(100)
  })
})

describe('the ceiling', () => {
  it('holds for any sequence of calls in two processes, and no spend is ever shown lower', { timeout: 60_000 }, async () => {
    const step = fc.record({
      act: fc.constantFrom('call', 'call', 'call', 'hold', 'settle', 'shrink', 'beat', 'pause', 'crash'),
      by: fc.boolean(),
      tokens: fc.integer({ min: 0, max: 60 }),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 80 }), async (steps) => {
        const limit = 100_000
        const mine = { ...account, holder: `run-${(serial += 1)}` }
        const claim = (hold: number): Claim => ({ ...claimOf(hold, limit), account: mine })
        await made.ledger.settle(`start-${serial}`, [mine], [tokens(20_000)])
        const sides = [new LeasedLedger(made.ledger, clock), new LeasedLedger(made.ledger, clock)]
        const running = new Map<string, number>()
        let used = 20_000
        const seen = [0, 0]
        for (const { act, by, tokens: count } of steps) {
          const at = by ? 1 : 0
          const side = sides[at]
          if (!side) throw new Error('two')
          const id = `${serial}-${at}-${running.size}-${(serial += 1)}`
          if (act === 'call' || act === 'hold') {
            const reserved = await side.reserve(id, [claim(60)], side.now() + 600_000)
            if (reserved.kind === 'held' && act === 'hold') running.set(`${at} ${id}`, 60)
            else if (reserved.kind === 'held') {
              await side.settle(id, [mine], [tokens(count)])
              used += count
            }
          }
          const [name, hold] = [...running].find(([key]) => key.startsWith(`${at} `)) ?? []
          if (act === 'shrink' && name !== undefined) {
            await side.shrink(name.slice(2), [tokens(count)])
            running.set(name, Math.min(hold ?? 0, count))
          }
          if (act === 'settle' && name !== undefined) {
            const cost = Math.min(hold ?? 0, count)
            await side.settle(name.slice(2), [mine], [tokens(cost)])
            running.delete(name)
            used += cost
          }
          if (act === 'beat') await side.beat()
          if (act === 'pause') {
            clock.advance(11_000)
            await side.beat()
          }
          // It is gone, and its leases stay what the ledger holds.
          if (act === 'crash') {
            sides[at] = new LeasedLedger(made.ledger, clock)
            for (const key of running.keys()) if (key.startsWith(`${at} `)) running.delete(key)
            seen[at] = 0
          }
          const [own] = await (sides[at] ?? side).balances([mine])
          const [below] = await made.ledger.balances([mine])
          // What is used is spent or held in the ledger, whichever process used it, and dies with none of them.
          expect((below?.spent.tokens ?? 0) + (below?.held.tokens ?? 0)).toBeGreaterThanOrEqual(used)
          expect((below?.spent.tokens ?? 0) + (below?.held.tokens ?? 0)).toBeLessThanOrEqual(limit)
          expect(own?.spent.tokens).toBeGreaterThanOrEqual(seen[at] ?? 0)
          seen[at] = own?.spent.tokens ?? 0
        }
        await Promise.all(sides.map((side) => side.giveBackAll()))
      }),
      { numRuns: 25 },
    )
  })
})
