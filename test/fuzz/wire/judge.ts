import { compare } from './compare.ts'
import { differences, explain } from './differences.ts'
import type { Chance, Side } from './generator.ts'
import { readByNode, readByUndici } from './llhttp.ts'
import { readByUs } from './readings.ts'

/** What a case came to: titles of the differences that explain it, and what nothing explains. */
export interface Judged {
  readonly explained: readonly string[]
  readonly unexplained: readonly string[]
  /** Messages that all parsers read to their end, alike. */
  readonly messages: number
}

/** Reads a case with our reader, in pieces of up to `most` bytes, and with llhttp of Node and of undici. */
export function judge(side: Side, text: string, method: string, most: number): Judged {
  const bytes = Buffer.from(text, 'latin1')
  const ours = readByUs(side, bytes, method, most)
  const verdicts = [compare(ours, readByNode(side, bytes, method))]
  if (side === 'replies') verdicts.push(compare(ours, readByUndici(bytes, method), true))
  const explained: string[] = []
  const unexplained: string[] = []
  for (const verdict of verdicts) {
    if (verdict.kind === 'alike') continue
    const { kind, what, at } = verdict
    // All else may stand before the message that we read last.
    const rest = kind === 'we refuse' ? text.slice(ours.from ?? 0) : text
    const difference = explain({ side, kind, what, rest, method })
    if (difference) explained.push(difference.title)
    else unexplained.push(`${kind}: ${what} at ${at} of ${side} to ${method}, ${JSON.stringify(text)}`)
  }
  const alike = verdicts.every(({ kind }) => kind === 'alike')
  return { explained, unexplained, messages: alike ? ours.messages.filter(({ complete }) => complete).length : 0 }
}

/** A case of chance. */
export function caseOf(generate: (side: Side, chance: Chance) => string, chance: Chance): [Side, string, string, number] {
  const side = chance.pick(['requests', 'replies'] as const)
  return [side, generate(side, chance), chance.below(6) === 0 ? 'HEAD' : 'GET', chance.pick([1, 2, 3, 7, 20, 100, 4_096])]
}

export const titles: readonly string[] = differences.map(({ title }) => title)
