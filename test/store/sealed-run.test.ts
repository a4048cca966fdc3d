import { randomBytes } from 'node:crypto'
import { expect, it } from 'vitest'
import { boundFact, endedFact, liveFact } from '#store/run-facts.ts'
import { openRow, sealFact } from '#store/sealed-run.ts'
import { Seal } from '#store/seal.ts'
import { newRun } from './run-contract.ts'

const seal = new Seal(randomBytes(32))
const run = newRun({ label: 'x', hosts: ['a.test'], budget: { usd: 1 } })

it.each([
  ['a run', liveFact(run)],
  ['a run with nothing that may be left out', liveFact(newRun())],
  ['an end', endedFact(run, 'me')],
  ['an agent on a run', boundFact('devbot', 'one', 5)],
  ['an agent on none', boundFact('devbot', undefined, 5)],
])('%s is what it was once it is opened', (_what, fact) => {
  expect(openRow(sealFact(fact, seal), seal)).toEqual(fact)
})

it('a row opens under no other name, with no other key, and not when it was changed', () => {
  const row = sealFact(liveFact(run), seal)
  const changed = Uint8Array.from(row.sealed, (byte, i) => (i === 40 ? byte ^ 1 : byte))
  expect(openRow({ ...row, name: liveFact(newRun()).name }, seal)).toBeUndefined()
  expect(openRow(row, new Seal(randomBytes(32)))).toBeUndefined()
  expect(openRow({ ...row, sealed: changed }, seal)).toBeUndefined()
})

it('a row cannot make a run live longer, nor be one again that has ended', () => {
  const row = sealFact(liveFact(run), seal)
  expect(openRow({ ...row, seq: 9, until: row.until * 2 }, seal)).toEqual(liveFact(run))
})

it('what was sealed in a form that is not known is not taken', () => {
  const { name } = liveFact(run)
  for (const what of [{ kind: 'more' }, { kind: 'live', run: { id: 1 } }, null]) {
    const sealed = seal.seal(JSON.stringify(what), ['runs', name])
    expect(openRow({ name, seq: 1, until: 1, sealed }, seal)).toBeUndefined()
  }
})
