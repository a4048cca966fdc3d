import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Account, Amount, Claim, Ledger, Reserved } from '#metering/types.ts'

/** A ledger that has nothing in it yet, the clock it goes by, and the way to another handle on it after this one is closed. */
export interface OpenLedger {
  readonly ledger: Ledger
  /** Moves the machine's clock, forwards or back. */
  step(milliseconds: number): void
  reopen(): Promise<Ledger>
}

const minute = 60_000
/** Windows of the distant past are forgotten. */
const today = Math.floor(Date.now() / 86_400_000) * 86_400_000

/** What every ledger promises, whatever it is made of. */
export function describeLedger(name: string, open: () => Promise<OpenLedger>): void {
  describe(`${name}, as every ledger,`, () => {
    let on: OpenLedger
    let ledger: Ledger
    beforeEach(async () => {
      on = await open()
      ledger = on.ledger
      await ledger.open()
    })
    afterEach(() => ledger.close())

    const account = (budget = 'day', holder = 'devbot'): Account => ({ budget, holder, window: today })
    const amount = (tokens: number, nano = 0): Amount => ({ tokens, nano })
    const claim = (tokens: number, limit: number | undefined = 100, some: Partial<Claim> = {}): Claim => ({
      account: account(),
      limit: { tokens: limit, nano: undefined },
      hold: amount(tokens),
      least: amount(1),
      ...some,
    })
    const reserve = (id: string, ...claims: readonly Claim[]): Promise<Reserved> =>
      ledger.reserve(id, claims, ledger.now() + minute)
    const balance = async (of = account()) => {
      const [found] = await ledger.balances([of])
      return { spent: found?.spent.tokens, held: found?.held.tokens, nano: found?.spent.nano, requests: found?.requests }
    }

    describe('a hold', () => {
      test('is apart from what is spent, and becomes what it really cost', async () => {
        expect(await reserve('a', claim(60))).toEqual({ kind: 'held', holds: [amount(60)], tail: false })
        expect(await balance()).toMatchObject({ spent: 0, held: 60, requests: 0 })
        await ledger.settle('a', [account()], [amount(7, 5)])
        expect(await balance()).toEqual({ spent: 7, held: 0, nano: 5, requests: 1 })
      })

      test('that is released costs nothing', async () => {
        await reserve('a', claim(60))
        await ledger.release('a')
        expect(await balance()).toEqual({ spent: 0, held: 0, nano: 0, requests: 0 })
        await ledger.release('a')
        await ledger.release('never heard of')
      })

      test('is given once for an id, and so is its charge', async () => {
        await reserve('a', claim(60))
        expect(await reserve('a', claim(99))).toEqual({ kind: 'held', holds: [amount(60)], tail: false })
        await ledger.settle('a', [account()], [amount(7)])
        await ledger.settle('a', [account()], [amount(50)])
        expect(await balance()).toMatchObject({ spent: 7, held: 0, requests: 1 })
      })

      test('waits for its room behind others', async () => {
        await reserve('a', claim(60))
        expect(await reserve('b', claim(60))).toEqual({ kind: 'busy', account: account() })
        expect(await reserve('c', claim(40))).toMatchObject({ kind: 'held', tail: false })
        await ledger.settle('a', [account()], [amount(10)])
        await ledger.release('c')
        expect(await reserve('b', claim(60))).toMatchObject({ kind: 'held', holds: [amount(60)] })
      })

      test('that is alone gets what is left, and nobody runs beside it', async () => {
        expect(await reserve('a', claim(1_000_000))).toEqual({ kind: 'held', holds: [amount(100)], tail: true })
        expect(await reserve('b', claim(1))).toMatchObject({ kind: 'busy' })
        await ledger.settle('a', [account()], [amount(90)])
        expect(await reserve('b', claim(50))).toEqual({ kind: 'held', holds: [amount(10)], tail: true })
      })

      test('is refused where less is left than it costs at least', async () => {
        await ledger.set(account(), amount(90))
        const refused = await reserve('a', claim(50, 100, { least: amount(11) }))
        expect(refused).toMatchObject({ kind: 'exhausted', measure: 'tokens', balance: { spent: amount(90) } })
        expect(await reserve('b', claim(50, 100, { least: amount(10) }))).toMatchObject({ kind: 'held' })
      })

      test('is refused when everything is spent, and with a limit of nothing', async () => {
        await ledger.settle('x', [account()], [amount(120)])
        expect(await reserve('a', claim(1))).toMatchObject({ kind: 'exhausted', account: account() })
        expect(await reserve('b', { ...claim(0, 0), account: account('none') })).toMatchObject({ kind: 'exhausted' })
      })

      test('is never refused without a limit', async () => {
        await ledger.settle('x', [account()], [amount(1e12)])
        const unlimited = { ...claim(1e12), limit: { tokens: undefined, nano: undefined } }
        expect(await reserve('a', unlimited)).toMatchObject({ kind: 'held', tail: false })
      })

      test('in money is as one in tokens', async () => {
        const dollars = (nano: number): Claim => ({
          ...claim(5, undefined),
          limit: { tokens: undefined, nano: 100 },
          hold: amount(5, nano),
        })
        expect(await reserve('a', dollars(80))).toMatchObject({ kind: 'held', tail: false })
        expect(await reserve('b', dollars(30))).toMatchObject({ kind: 'busy' })
        await ledger.settle('a', [account()], [amount(5, 100)])
        expect(await reserve('c', dollars(1))).toMatchObject({ kind: 'exhausted', measure: 'usd' })
      })
    })

    describe('several budgets', () => {
      const team = account('team', '*')

      test('are held together or not at all', async () => {
        await ledger.settle('x', [team], [amount(100)])
        expect(await reserve('a', claim(10), { ...claim(10), account: team })).toMatchObject({ kind: 'exhausted', account: team })
        expect(await balance()).toMatchObject({ held: 0 })
        await ledger.set(team, amount(0))
        expect(await reserve('a', claim(10), { ...claim(20), account: team })).toMatchObject({ holds: [amount(10), amount(20)] })
        await ledger.settle('a', [account(), team], [amount(1), amount(2)])
        expect([(await balance()).spent, (await balance(team)).spent]).toEqual([1, 2])
      })

      test('of other agents know nothing of each other', async () => {
        await reserve('a', claim(100))
        expect(await reserve('b', { ...claim(100), account: account('day', 'infrabot') })).toMatchObject({
          kind: 'held',
          tail: false,
        })
      })
    })

    describe('a deadline', () => {
      test('that has passed makes a charge of the hold, and a late settlement corrects it', async () => {
        await reserve('a', claim(60))
        on.step(2 * minute)
        expect(await balance()).toEqual({ spent: 60, held: 0, nano: 0, requests: 1 })
        await ledger.settle('a', [account()], [amount(7)])
        expect(await balance()).toEqual({ spent: 7, held: 0, nano: 0, requests: 1 })
      })

      test('can be moved while the request runs, and not brought back', async () => {
        await reserve('a', claim(60))
        await ledger.extend(['a', 'gone'], ledger.now() + 10 * minute)
        await ledger.extend(['a'], ledger.now() + minute)
        on.step(5 * minute)
        expect(await balance()).toMatchObject({ spent: 0, held: 60 })
        on.step(6 * minute)
        await ledger.extend(['a'], ledger.now() + 10 * minute)
        expect(await balance()).toMatchObject({ spent: 60, held: 0 })
      })

      test('that has passed is not in the way of a release', async () => {
        await reserve('a', claim(60))
        on.step(2 * minute)
        await reserve('b', claim(1))
        await ledger.release('a')
        expect(await balance()).toMatchObject({ spent: 0, held: 1 })
      })
    })

    describe('a hold that shrinks', () => {
      test('makes room for others, and never grows', async () => {
        await reserve('a', claim(80))
        expect(await reserve('b', claim(60))).toMatchObject({ kind: 'busy' })
        await ledger.shrink('a', [amount(30)])
        expect(await balance()).toMatchObject({ spent: 0, held: 30 })
        await ledger.shrink('a', [amount(90)])
        expect(await balance()).toMatchObject({ held: 30 })
        expect(await reserve('b', claim(60))).toMatchObject({ kind: 'held', tail: false })
        await ledger.settle('a', [account()], [amount(25)])
        expect(await balance()).toEqual({ spent: 25, held: 60, nano: 0, requests: 1 })
        await ledger.shrink('never heard of', [amount(1)])
      })

      test('is no tail any more', async () => {
        expect(await reserve('a', claim(1_000))).toMatchObject({ tail: true })
        await ledger.shrink('a', [amount(20)])
        expect(await reserve('b', claim(70))).toEqual({ kind: 'held', holds: [amount(70)], tail: false })
        expect(await balance()).toMatchObject({ held: 90 })
      })

      test('and has become a charge gives back as much, and is corrected by what it cost', async () => {
        await reserve('a', claim(60))
        on.step(2 * minute)
        // An order that writes is what charges it.
        await ledger.mark(account(), 'x')
        await ledger.shrink('a', [amount(20)])
        expect(await balance()).toMatchObject({ spent: 20, held: 0, requests: 1 })
        await ledger.settle('a', [account()], [amount(7)])
        expect(await balance()).toEqual({ spent: 7, held: 0, nano: 0, requests: 1 })
      })
    })

    test('a charge may count as several requests, or as none', async () => {
      await ledger.settle('a', [account()], [amount(7)], 12)
      await ledger.settle('b', [account()], [amount(1)], 0)
      expect(await balance()).toMatchObject({ spent: 8, requests: 12 })
    })

    test('accounts with spend are found by the time their window began', async () => {
      const old = { ...account('old'), window: today - 86_400_000 }
      await ledger.settle('a', [account(), account('team', '*'), old], [amount(7), amount(0, 3), amount(1)])
      await ledger.settle('b', [account('nothing')], [amount(0)])
      const found = await ledger.accounts(today)
      expect(new Map(found.map(({ account: { budget }, spent }) => [budget, spent]))).toEqual(
        new Map([
          ['day', amount(7)],
          ['team', amount(0, 3)],
        ]),
      )
      expect(await ledger.accounts(today - 86_400_000)).toHaveLength(3)
    })

    test('lessons are kept by name, over a restart too', async () => {
      expect(await ledger.lessons()).toEqual([])
      await ledger.learn([
        { name: 'devbot opus', text: 'one' },
        { name: 'devbot haiku', text: 'two' },
      ])
      await ledger.learn([{ name: 'devbot opus', text: 'three' }])
      await ledger.close()
      ledger = await on.reopen()
      expect((await ledger.lessons()).toSorted((one, other) => (one.name < other.name ? -1 : 1))).toEqual([
        { name: 'devbot haiku', text: 'two' },
        { name: 'devbot opus', text: 'three' },
      ])
    })

    test('a charge without a hold is a charge all the same', async () => {
      await ledger.settle('a', [account()], [amount(7)])
      expect(await balance()).toMatchObject({ spent: 7, requests: 1 })
    })

    test('a mark is taken once', async () => {
      expect(await Promise.all([1, 2, 3].map(() => ledger.mark(account(), 'tokens 0.8')))).toEqual([true, false, false])
      expect(await ledger.mark(account(), 'tokens 1')).toBe(true)
      expect(await ledger.mark({ ...account(), window: today + 1 }, 'tokens 0.8')).toBe(true)
    })

    test('what an operator sets counts from then on, and the holds stay', async () => {
      await reserve('a', claim(60))
      await ledger.set(account(), amount(30, 3))
      expect(await balance()).toMatchObject({ spent: 30, held: 60, nano: 3 })
    })

    test('two hundred at once get room for one', async () => {
      const all = await Promise.all(Array.from({ length: 200 }, (_, i) => reserve(`r${i}`, claim(80))))
      expect(all.filter(({ kind }) => kind === 'held')).toHaveLength(1)
      expect(all.filter(({ kind }) => kind === 'busy')).toHaveLength(199)
    })

    test.each([[-1], [0.5], [Number.NaN], [Infinity], [2 ** 60]])('%d is no amount, and changes nothing', async (wrong) => {
      await expect(reserve('a', claim(wrong))).rejects.toThrow(RangeError)
      await expect(ledger.settle('a', [account()], [amount(wrong)])).rejects.toThrow(RangeError)
      await expect(ledger.set(account(), amount(0, wrong))).rejects.toThrow(RangeError)
      expect(await balance()).toMatchObject({ spent: 0, held: 0 })
    })

    describe('time', () => {
      test('never goes back, whatever the machine’s clock does', async () => {
        await ledger.mark(account(), 'x')
        const before = ledger.now()
        on.step(-26 * 60 * minute)
        await ledger.mark(account(), 'y')
        expect(ledger.now()).toBeGreaterThanOrEqual(before)
        on.step(52 * 60 * minute)
        await ledger.mark(account(), 'z')
        expect(ledger.now()).toBeGreaterThanOrEqual(before + 26 * 60 * minute)
      })

      test('does not go back over a restart either', async () => {
        on.step(26 * 60 * minute)
        await ledger.mark(account(), 'x')
        const before = ledger.now()
        await ledger.close()
        on.step(-26 * 60 * minute)
        ledger = await on.reopen()
        await ledger.open()
        // What a server's time is between two of its answers is an estimate, good to milliseconds.
        expect(ledger.now()).toBeGreaterThan(before - 1_000)
      })
    })

    describe('a restart', () => {
      test('keeps what was spent and settled, and charges what was held', async () => {
        await ledger.settle('a', [account()], [amount(7)])
        await reserve('b', claim(60))
        await ledger.close()
        ledger = await on.reopen()
        expect(await balance()).toMatchObject({ spent: 67, held: 0, requests: 2 })
        await ledger.settle('a', [account()], [amount(50)])
        await ledger.settle('b', [account()], [amount(1)])
        expect(await balance()).toMatchObject({ spent: 8, requests: 2 })
      })
    })

    test('any sequence ends as a small model of it does', async () => {
      const step = fc.record({
        act: fc.constantFrom('reserve', 'settle', 'release', 'extend'),
        id: fc.integer({ min: 0, max: 5 }),
        tokens: fc.integer({ min: 0, max: 80 }),
      })
      let run = 0
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
          const mine = account('model', `run${(run += 1)}`)
          const holds = new Map<string, number>()
          const settled = new Set<string>()
          let spent = 0
          for (const { act, id: number, tokens } of steps) {
            const id = `${run}.${number}`
            const live = [...holds.values()].reduce((sum, each) => sum + each, 0)
            if (act === 'reserve' && !settled.has(id)) {
              const found = await reserve(id, { ...claim(tokens), account: mine })
              if (holds.has(id)) expect(found).toMatchObject({ kind: 'held', holds: [amount(holds.get(id) ?? 0)] })
              else if (found.kind === 'held') {
                const [hold] = found.holds
                expect(hold?.tokens).toBeLessThanOrEqual(tokens)
                expect(spent + live + (hold?.tokens ?? 0)).toBeLessThanOrEqual(Math.max(100, spent + live))
                holds.set(id, hold?.tokens ?? 0)
              } else if (found.kind === 'exhausted') expect(100 - spent).toBeLessThan(1)
            }
            if (act === 'settle') {
              await ledger.settle(id, [mine], [amount(tokens)])
              if (!settled.has(id)) spent += tokens
              settled.add(id)
              holds.delete(id)
            }
            if (act === 'release') {
              await ledger.release(id)
              holds.delete(id)
            }
            if (act === 'extend') await ledger.extend([id], ledger.now() + minute)
          }
          const held = [...holds.values()].reduce((sum, each) => sum + each, 0)
          expect(await balance(mine)).toMatchObject({ spent, held })
        }),
        { numRuns: 60 },
      )
    })
  })
}
