import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { boundFact, endedFact, liveFact, RunFacts } from '#store/run-facts.ts'
import type { RunFact } from '#store/run-facts.ts'
import { newRun } from './run-contract.ts'

const day = 86_400_000

describe('facts about runs', () => {
  it('come to the same in whatever order they are heard, and however often', () => {
    const [run, other] = [newRun(), newRun()]
    const facts: readonly RunFact[] = [
      liveFact(run),
      liveFact(other),
      endedFact(other, 'me'),
      boundFact('devbot', 'one', 1),
      boundFact('devbot', 'two', 2),
      boundFact('opsbot', 'one', 1),
      boundFact('opsbot', undefined, 2),
    ]
    fc.assert(
      fc.property(fc.shuffledSubarray([...facts, ...facts], { minLength: facts.length * 2 }), (heard) => {
        const known = new RunFacts()
        for (const fact of heard) known.take(fact)
        expect(known.kept(true)).toEqual({ current: true, runs: [run], bound: [['devbot', 'two']] })
      }),
    )
  })

  it('are news once', () => {
    const known = new RunFacts()
    const run = newRun()
    expect([known.take(liveFact(run)), known.take(liveFact(run))]).toEqual([true, false])
    expect([known.take(endedFact(run, 'me')), known.take(endedFact(run, 'other')), known.take(liveFact(run))]).toEqual([
      true,
      false,
      false,
    ])
    expect(known.get(liveFact(run).name)).toMatchObject({ kind: 'ended', by: 'me' })
  })

  it('are forgotten a day after the end of the run, and forty days after an agent was bound', () => {
    const run = newRun()
    const known = new RunFacts()
    for (const fact of [endedFact(run, 'me'), boundFact('devbot', 'one', run.expiresAt)]) known.take(fact)
    known.forget(run.expiresAt + day)
    expect(known.all()).toHaveLength(2)
    known.forget(run.expiresAt + day + 1)
    expect(known.all().map(({ kind }) => kind)).toEqual(['bound'])
    known.forget(run.expiresAt + 40 * day + 1)
    expect(known.all()).toEqual([])
  })

  it('have names that give no id away', () => {
    const run = newRun()
    expect(liveFact(run).name).not.toContain(run.id)
    expect(endedFact(run, 'me').name).toBe(liveFact(run).name)
  })
})
