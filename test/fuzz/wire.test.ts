/** Bytes that are almost HTTP, read by our readers and by llhttp of Node and of undici: what they refuse we refuse, what all take all read alike. */
import { describe, expect, it } from 'vitest'
import { differences } from './wire/differences.ts'
import { Chance, generate } from './wire/generator.ts'
import { caseOf, judge } from './wire/judge.ts'

/** `WIRE_FUZZ_CASES=10000000 WIRE_FUZZ_SEED=2 npx vitest run --config test/vitest.config.ts test/fuzz/wire.test.ts` runs longer. */
const cases = Number(process.env['WIRE_FUZZ_CASES'] ?? 20_000)
const seed = Number(process.env['WIRE_FUZZ_SEED'] ?? 9_112)

/** Milliseconds: a second for every thousand cases, which take a twentieth of that. */
const patience = 20_000 + cases

describe('the wire against llhttp', () => {
  it.each(differences)('differs, and wants to: $title', ({ title, side, method, asked = method ?? 'GET', example }) => {
    const judged = judge(side ?? (example.startsWith('HTTP/') ? 'replies' : 'requests'), example, asked, 4_096)
    expect(new Set(judged.explained)).toEqual(new Set([title]))
    expect(judged.unexplained).toEqual([])
  })

  it(`differs in nothing else, in ${cases} cases`, { timeout: patience }, () => {
    const chance = new Chance(seed)
    const explained = new Map<string, number>()
    const unexplained: string[] = []
    let messages = 0
    for (let i = 0; i < cases; i += 1) {
      const judged = judge(...caseOf(generate, chance))
      if (unexplained.length < 10) unexplained.push(...judged.unexplained)
      for (const title of judged.explained) explained.set(title, (explained.get(title) ?? 0) + 1)
      messages += judged.messages
    }
    expect(unexplained).toEqual([])
    // A generator that makes nothing good, or nothing of a difference, would prove nothing.
    expect(messages).toBeGreaterThan(cases / 3)
    expect(explained.size).toBeGreaterThan(differences.length / 2)
  })
})
