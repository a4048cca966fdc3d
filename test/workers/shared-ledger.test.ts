import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import type { Account, Amount, Claim } from '#metering/types.ts'
import type { LedgerOrder } from '#store/sqlite/ledger.ts'
import { perform } from '#workers/remote-ledger.ts'
import { SharedLedger } from '#workers/shared-ledger.ts'
import { makeLedger } from '../kit/ledger.ts'
import { within } from '../kit/within.ts'

const account: Account = { budget: 'day', holder: 'devbot', window: 0 }
const tokens = (count: number): Amount => ({ tokens: count, nano: 0 })

function reserve(id: string, count: number): LedgerOrder {
  const claim: Claim = { account, limit: { tokens: 100, nano: undefined }, hold: tokens(count), least: tokens(1) }
  return { kind: 'reserve', id, claims: [claim], deadline: Date.now() + 60_000 }
}

async function stage() {
  const made = await makeLedger()
  const teller = new SharedLedger((order) => perform(made.ledger, order))
  const told: string[] = []
  const customer = (name: string) => ({ room: () => void told.push(name) })
  const balance = async () => (await made.ledger.balances([account]))[0]
  return { made, teller, told, customer, balance, [Symbol.asyncDispose]: () => made[Symbol.asyncDispose]() }
}

describe('a teller', () => {
  it('tells who was refused for want of room once another has settled, and nobody else', async () => {
    await using on = await stage()
    const { teller, told, customer } = on
    const [one, other, third] = [customer('one'), customer('other'), customer('third')]
    await teller.order(one, reserve('a', 60))
    expect((await teller.order(other, reserve('b', 60))).result).toMatchObject({ kind: 'busy' })
    expect((await teller.order(third, reserve('c', 40))).result).toMatchObject({ kind: 'held' })
    await teller.order(one, { kind: 'settle', id: 'a', accounts: [account], amounts: [tokens(10)] })
    // Not before the refused one has heard that it was.
    expect(told).toEqual([])
    await turn()
    expect(told).toEqual(['other'])
    await teller.order(third, { kind: 'release', id: 'c' })
    await turn()
    expect(told).toEqual(['other'])
  })

  it('charges what a lost worker held and had not settled, and makes room for who waits', async () => {
    await using on = await stage()
    const { teller, told, customer, balance } = on
    const [lost, waits] = [customer('lost'), customer('waits')]
    await teller.order(lost, reserve('a', 30))
    await teller.order(lost, reserve('b', 20))
    await teller.order(lost, reserve('c', 10))
    await teller.order(lost, { kind: 'settle', id: 'b', accounts: [account], amounts: [tokens(5)] })
    await teller.order(lost, { kind: 'release', id: 'c' })
    await teller.order(waits, reserve('d', 90))
    teller.lost(lost)
    expect(await within(async () => (await balance())?.held.tokens === 0)).toBeDefined()
    expect(await balance()).toMatchObject({ spent: { tokens: 35 } })
    expect(await within(() => told.length > 0)).toBeDefined()
    expect(told).toEqual(['waits'])
    teller.lost(lost)
    await turn()
    expect(await balance()).toMatchObject({ spent: { tokens: 35 } })
  })

  it('leaves to the ledger what it cannot be told now', async () => {
    let down = false
    await using made = await makeLedger()
    const teller = new SharedLedger((order) =>
      down ? Promise.reject(new Error('the disk is full')) : perform(made.ledger, order),
    )
    const customer = { room: () => {} }
    await teller.order(customer, reserve('a', 30))
    down = true
    teller.lost(customer)
    await turn()
    expect(await made.ledger.balances([account])).toMatchObject([{ held: { tokens: 30 } }])
  })
})
