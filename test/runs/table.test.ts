import { randomBytes } from 'node:crypto'
import { expect, it } from 'vitest'
import { Secret } from '#base/secret.ts'
import { digestOf, RunTable } from '#runs/table.ts'
import type { KnownRun } from '#runs/table.ts'
import { ManualClock } from '../kit/clock.ts'
import { snapshotOf } from '../kit/policy.ts'

const id = '01ARZ3NDEKTSV4RRFFQ69G5FAV'

function stage() {
  const clock = new ManualClock()
  const password = new Secret('run password', randomBytes(16).toString('hex'))
  const known: KnownRun = {
    run: { id, agent: 'devbot', hosts: undefined, budget: undefined, stubs: new Map([['key', 'stub-of-the-run']]) },
    passwordDigest: digestOf(password),
    expiresAt: clock.now() + 1_000,
  }
  const table = new RunTable(clock)
  table.put(known)
  table.bindAll([['devbot', id]])
  return { clock, password, known, table }
}

it('a table that took another’s image answers as that one does', async () => {
  const { clock, password, table } = stage()
  const copy = new RunTable(clock)
  copy.take(structuredClone(table.image()))
  const auth = { username: `run-${id}`, password }
  for (const each of [table, copy]) {
    expect(each.find(auth)).toMatchObject({ id, agent: 'devbot' })
    expect(each.find({ ...auth, password: new Secret('x', 'wrong') })).toBe('refused')
    expect(each.find({ ...auth, username: 'devbot' })).toBeUndefined()
    expect([each.boundTo('devbot'), each.boundTo('other')]).toEqual([id, undefined])
  }
  const snapshot = await snapshotOf(`
agents: {devbot: {from: [{cidr: 10.0.0.1}]}}
credentials: {key: {kind: bearer, stub: stub-of-key, secret: {env: KEY}, hosts: [good.test]}}
rules: [{id: r, hosts: [good.test], credentials: [key]}]`)
  expect(copy.over(snapshot)).not.toBe(snapshot)
  copy.take({ runs: [], bound: [], current: true })
  expect(copy.over(snapshot)).toBe(snapshot)
  expect([copy.find(auth), copy.boundTo('devbot')]).toEqual(['refused', undefined])
  copy.take({ ...structuredClone(table.image()), current: false })
  const other = { ...auth, username: `run-${id.replace('V', 'W')}` }
  expect([copy.find(auth), copy.find(other)]).toEqual([{ ...(table.find(auth) as object) }, 'pending'])
  // Its end is known, whatever else is not.
  copy.take({ runs: [], bound: [], current: false })
  expect([copy.find(auth), copy.find(other)]).toEqual(['refused', 'pending'])
  copy.take({ runs: [], bound: [], current: true })
  expect(copy.find(other)).toBe('refused')
})

it('a run that stays is the same one, and none outlives its time', () => {
  const { clock, password, table } = stage()
  const copy = new RunTable(clock)
  copy.take(structuredClone(table.image()))
  const before = copy.find({ username: `run-${id}`, password })
  copy.take(structuredClone(table.image()))
  expect(copy.find({ username: `run-${id}`, password })).toBe(before)
  clock.advance(1_000)
  expect(copy.find({ username: `run-${id}`, password })).toBe('refused')
})

it('an image holds no password', () => {
  const { password, table } = stage()
  const image = JSON.stringify(structuredClone(table.image()))
  expect(image).not.toContain(password.expose())
})
