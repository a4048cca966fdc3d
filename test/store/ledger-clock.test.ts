import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, it } from 'vitest'
import { EmbeddedLedger } from '#store/sqlite/ledger.ts'
import { LedgerClock } from '#store/ledger-clock.ts'
import type { Account, Claim } from '#metering/types.ts'
import { figure } from '../kit/figures.ts'
import { hasRedis, startRedis } from '../kit/redis.ts'
import { makeReplicas } from './redis/parts.ts'

const [second, minute, hour, day] = [1_000, 60_000, 3_600_000, 86_400_000] as const
const jumps = [
  ['+1 h', hour],
  ['+30 d', 30 * day],
  ['-5 h', -5 * hour],
  ['+400 d', 400 * day],
  ['-400 d', -400 * day],
] as const
/** The longest that a budget may be wrong once the clock is right. */
const allowed = minute

describe('the clock of budgets', () => {
  const start = Date.UTC(2026, 0, 1)

  /** A clock, and seconds that pass with the wall off by so much. */
  function running() {
    const clock = new LedgerClock()
    let elapsed = 0
    let off = 0
    const read = () => clock.read(start + elapsed + off, elapsed)
    read()
    return {
      clock,
      read,
      pass: (milliseconds: number, by = off): number => {
        off = by
        for (let passed = 0; passed < milliseconds; passed += second) {
          elapsed += second
          read()
        }
        return read() - (start + elapsed)
      },
      time: () => [start + elapsed + off, elapsed] as const,
    }
  }

  it.each(jumps)('does not believe a jump of %s that lasts for half a minute', (_name, jump) => {
    const { pass } = running()
    expect(pass(hour)).toBe(0)
    expect(pass(30 * second, jump)).toBe(0)
    expect(pass(second, 0)).toBe(0)
  })

  it.each(jumps.filter(([, jump]) => jump > 0))(
    'believes %s that stays, and comes back at once when the clock does',
    (_name, jump) => {
      const { pass } = running()
      pass(hour)
      expect(pass(minute, jump)).toBe(jump)
      expect(pass(second, 0)).toBe(0)
    },
  )

  it('does not go back behind what no jump has moved, however long the clock is there', () => {
    const { pass } = running()
    pass(2 * day)
    expect(pass(3 * hour, -5 * hour)).toBe(0)
    expect(pass(second, 0)).toBe(0)
  })

  it('goes with drift and slewing, and never back for them', () => {
    const { pass, read } = running()
    let last = read()
    for (let off = 0; off < 10 * second; off += 100) {
      pass(second, off)
      expect(read()).toBeGreaterThanOrEqual(last)
      last = read()
    }
    expect(pass(second)).toBe(9_900)
  })

  it('takes an operator at their word', () => {
    const { clock, pass, time } = running()
    pass(2 * day)
    pass(minute, -5 * hour)
    clock.set(...time())
    expect(pass(second)).toBe(-5 * hour)
  })
})

describe('an embedded ledger whose machine has its clock jump', () => {
  it.each(jumps)(
    'by %s for 30 s, or for 10 minutes: budgets are right within a minute, over a restart too',
    async (name, jump) => {
      const folder = await mkdtemp(join(tmpdir(), 'jumps-'))
      const path = join(folder, 'state.db-ledger')
      let [passed, off] = [0, 0]
      const open = () =>
        new EmbeddedLedger(
          path,
          () => Date.now() + passed + off,
          undefined,
          () => performance.now() + passed,
        )
      let ledger = open()
      const account = () => ({ budget: 'day', holder: 'devbot', window: Math.floor(ledger.now() / day) * day })
      const spend = (id: string) => ledger.settle(id, [account()], [{ tokens: 7, nano: 0 }])
      const pass = async (milliseconds: number) => {
        for (let i = 0; i < milliseconds; i += 5 * second) {
          passed += 5 * second
          await ledger.balances([account()])
        }
      }
      let worst = 0
      try {
        await ledger.open()
        const today = account()
        await spend('before')
        for (const [i, lasting] of [30 * second, 10 * minute].entries()) {
          off = jump
          await pass(lasting)
          await spend(`during ${i}`)
          if (i === 1) {
            await ledger.close()
            ledger = open()
            await ledger.open()
            await pass(minute)
          }
          off = 0
          let wrong = 0
          while (Math.abs(ledger.ahead()) > second && wrong < 10 * minute) {
            await pass(5 * second)
            wrong += 5 * second
          }
          worst = Math.max(worst, wrong)
          expect(wrong).toBeLessThanOrEqual(allowed)
          expect((await ledger.balances([today]))[0]?.spent.tokens).toBeGreaterThanOrEqual(7)
        }
        figure(`embedded, ${name}: right again after ${worst / 1000} s, nothing that was spent is lost`)
      } finally {
        await ledger.close()
        await rm(folder, { recursive: true })
      }
    },
  )

  it('in a file that was kept ahead by an older program says so, and is put right by the command, with the day that it opened', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'jumps-'))
    const path = join(folder, 'state.db-ledger')
    const ahead = Date.now() + 30 * day
    const early = { budget: 'day', holder: 'devbot', window: Math.floor(ahead / day) * day }
    const today = { ...early, window: Math.floor(Date.now() / day) * day }
    const first = new EmbeddedLedger(path)
    await first.settle('today', [today], [{ tokens: 5, nano: 0 }])
    await first.settle('early', [early], [{ tokens: 7, nano: 0 }])
    await first.close()
    const database = new DatabaseSync(path)
    database.exec(`UPDATE meta SET now = ${ahead}; DELETE FROM clock`)
    database.close()
    const ledger = new EmbeddedLedger(path)
    try {
      await ledger.open()
      expect(ledger.ahead() / day).toBeCloseTo(30, 2)
      expect(await ledger.putRight()).toMatchObject([{ account: early }])
      expect(Math.abs(ledger.ahead())).toBeLessThan(second)
      expect((await ledger.balances([today, early])).map(({ spent }) => spent.tokens)).toEqual([5, 0])
    } finally {
      await ledger.close()
      await rm(folder, { recursive: true })
    }
  })
})

function claimOf(account: Account): Claim {
  return { account, limit: { tokens: 100, nano: undefined }, hold: { tokens: 5, nano: 0 }, least: { tokens: 1, nano: 0 } }
}

describe.skipIf(!hasRedis)('a ledger in Redis (skipped without redis-server)', () => {
  it.each(jumps)('goes on where the clock of the server, of a replica, or of both jumps by %s', async (name, jump) => {
    await using server = await startRedis()
    await using replicas = await makeReplicas(server.url)
    const ledger = replicas.ledger('one')
    try {
      await ledger.open()
      const today = { budget: 'day', holder: 'devbot', window: Math.floor(Date.now() / day) * day }
      await ledger.settle('before', [today], [{ tokens: 7, nano: 0 }])
      const { clock } = replicas
      const cases: (readonly [string, number, number])[] = [
        ['server', jump, 0],
        ['replica', 0, jump],
        ['both', jump, jump],
      ]
      for (const [whose, ahead, own] of cases) {
        Object.assign(clock, { ahead: clock.passed + ahead, replicas: clock.passed + own })
        expect(await ledger.reserve(whose, [claimOf(today)], ledger.now() + minute)).toMatchObject({ kind: 'held' })
        await ledger.settle(whose, [today], [{ tokens: 1, nano: 0 }])
        Object.assign(clock, { ahead: clock.passed, replicas: clock.passed })
        const [balance] = await ledger.balances([today])
        expect([balance?.held.tokens, Math.abs(ledger.ahead()) < second]).toEqual([0, true])
      }
      expect((await ledger.balances([today]))[0]?.spent.tokens).toBe(10)
      figure(`Redis, ${name}: right at once, nothing that was spent is lost`)
    } finally {
      await ledger.close()
    }
  })

  it.each(jumps.flatMap(([name, jump]) => (['server', 'replica', 'both'] as const).map((whose) => [name, whose, jump] as const)))(
    'has budgets right within a minute after a jump of %s of the %s that lasted for ten',
    { timeout: 60_000 },
    async (name, whose, jump) => {
      await using server = await startRedis()
      await using replicas = await makeReplicas(server.url)
      const ledger = replicas.ledger('one')
      const { clock } = replicas
      let off = 0
      const pass = async (milliseconds: number) => {
        for (let passed = 0; passed < milliseconds; passed += 5 * second) {
          clock.passed += 5 * second
          clock.ahead = clock.passed + (whose === 'replica' ? 0 : off)
          clock.replicas = clock.passed + (whose === 'server' ? 0 : off)
          await ledger.balances([account()])
        }
      }
      const account = () => ({ budget: 'day', holder: 'devbot', window: Math.floor(ledger.now() / day) * day })
      try {
        await ledger.open()
        const today = account()
        await ledger.settle('before', [today], [{ tokens: 7, nano: 0 }])
        await pass(minute)
        off = jump
        await pass(10 * minute)
        await ledger.settle('during', [account()], [{ tokens: 7, nano: 0 }])
        off = 0
        let wrong = 0
        do {
          await pass(5 * second)
          wrong += 5 * second
        } while (Math.abs(ledger.ahead()) > second && wrong < 10 * minute)
        figure(`Redis, ${name} of the ${whose} for ten minutes: right again after ${wrong / second} s`)
        expect(wrong).toBeLessThanOrEqual(allowed)
        expect((await ledger.balances([today]))[0]?.spent.tokens).toBeGreaterThanOrEqual(7)
        expect(await ledger.reserve('after', [claimOf(account())], ledger.now() + minute)).toMatchObject({ kind: 'held' })
      } finally {
        await ledger.close()
      }
    },
  )

  it('heals a time that an older program has kept ahead', async () => {
    await using server = await startRedis()
    await using replicas = await makeReplicas(server.url)
    const ledger = replicas.ledger('one')
    try {
      await ledger.open()
      await server.admin.set(`{${replicas.prefix}}:now`, String(Date.now() + 30 * day))
      await ledger.balances([{ budget: 'day', holder: 'devbot', window: 0 }])
      expect(Math.abs(ledger.ahead())).toBeLessThan(second)
    } finally {
      await ledger.close()
    }
  })
})
