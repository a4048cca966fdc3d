import { expect, it } from 'vitest'
import type { Account, Claim, Ledger } from '#metering/types.ts'
import { perform, RemoteLedger } from '#workers/remote-ledger.ts'
import { makeLedger } from '../kit/ledger.ts'

const account: Account = { budget: 'day', holder: 'devbot', window: 0 }
const claim: Claim = {
  account,
  limit: { tokens: 100, nano: undefined },
  hold: { tokens: 60, nano: 0 },
  least: { tokens: 1, nano: 0 },
}

it('two that ask one ledger see one balance, and hold no more than there is', async () => {
  await using made = await makeLedger()
  const [one, other] = [0, 1].map(
    () =>
      new RemoteLedger(
        (order) => perform(made.ledger, order),
        () => Date.now(),
      ),
  )
  if (!one || !other) throw new Error('two')
  await one.open()
  const deadline = one.now() + 60_000
  expect(await one.reserve('a', [claim], deadline)).toMatchObject({ kind: 'held', tail: false })
  expect(await other.reserve('b', [claim], deadline)).toMatchObject({ kind: 'busy' })
  await one.extend(['a'], deadline + 1)
  await one.settle('a', [account], [{ tokens: 50, nano: 0 }])
  expect(await other.reserve('b', [claim], deadline)).toMatchObject({ kind: 'held', tail: true, holds: [{ tokens: 50 }] })
  await other.release('b')
  expect(await one.balances([account])).toMatchObject([{ spent: { tokens: 50 }, held: { tokens: 0 } }])
  expect([await one.mark(account, 'tokens 1'), await other.mark(account, 'tokens 1')]).toEqual([true, false])
  await other.set(account, { tokens: 100, nano: 0 })
  expect(await one.reserve('c', [claim], deadline)).toMatchObject({ kind: 'exhausted', measure: 'tokens' })
  await one.close()
  expect(await other.balances([account])).toMatchObject([{ spent: { tokens: 100 } }])
})

it('time is the ledger’s, whatever the clock of this machine shows', async () => {
  let wall = 1_000
  let elapsed = 10
  const ledger = new RemoteLedger(
    async () => ({ now: 5_000, result: undefined }),
    () => wall,
    () => elapsed,
  )
  expect(ledger.now()).toBe(1_000)
  await ledger.open()
  expect(ledger.now()).toBe(5_000)
  wall = 400 * 86_400_000
  elapsed += 7
  expect(ledger.now()).toBe(5_007)
})

it('is opened once, and again where it could not be; what was lost since is opened for each hold', async () => {
  await using made = await makeLedger()
  const carried: string[] = []
  let refuse = true
  const ledger = new RemoteLedger(
    (order) => {
      carried.push(order.kind)
      return refuse ? Promise.reject(new Error('not now')) : perform(made.ledger, order)
    },
    () => Date.now(),
  )
  await expect(ledger.open()).rejects.toThrow('not now')
  refuse = false
  await Promise.all([ledger.open(), ledger.open()])
  await ledger.open()
  expect(carried).toEqual(['open', 'open'])
  let opened = 0
  const lost = { reserve: () => Promise.resolve({ kind: 'held', holds: [], tail: false }), now: () => 0 }
  const open = () => Promise.reject(new Error(`cannot be opened, ${(opened += 1)}`))
  const order = { kind: 'reserve', id: 'a', claims: [claim], deadline: 0 } as const
  const done = await perform({ ...lost, open } as unknown as Ledger, order)
  expect([opened, done.result]).toEqual([1, { kind: 'held', holds: [], tail: false }])
})

it('what the ledger throws is thrown here', async () => {
  const ledger = new RemoteLedger(
    () => Promise.reject(new Error('the disk is full')),
    () => 0,
  )
  await expect(ledger.balances([account])).rejects.toThrow('the disk is full')
})
