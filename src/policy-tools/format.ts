/**
 * One order for the keys of policies and tests, with every comment where it belongs. Pieces of the text are moved, never written
 * anew: quotes, line breaks and the columns of comments stay as a person chose them.
 */
import { isDeepStrictEqual } from 'node:util'
import { isCollection, isMap, isNode, isScalar, isSeq, parseDocument, visit } from 'yaml'
import type { Document, Pair, YAMLMap } from 'yaml'

/** Keys in the order that people read: who, where, what, with which credential, why. Others follow as they stand. */
const orders: Readonly<Record<string, readonly string[]>> = {
  policy: ['version', 'policy', 'cases', 'agents', 'credentials', 'rules', 'budgets', 'prices', 'dns'],
  agents: ['from', 'budget', 'rate', 'concurrency', 'mode'],
  credentials: ['kind'],
  rules: [
    'id',
    'effect',
    'agents',
    'hosts',
    'ports',
    'methods',
    'paths',
    'git',
    'plain',
    'inspect',
    'credentials',
    'foreign',
    'mints',
    'meter',
    'models',
    'price',
    'amend',
    'rate',
    'concurrency',
    'reason',
  ],
  budgets: ['per', 'window', 'timezone', 'tokens', 'usd', 'warnAt', 'atLimit', 'weights'],
  dns: ['deny', 'forward', 'records'],
  cases: ['case', 'agent', 'method', 'url', 'name', 'headers', 'expect', 'table'],
}

/** The formatted text, or why the text cannot be formatted. */
export function formatPolicy(text: string): { readonly text: string } | { readonly problem: string } {
  const lf = text.replaceAll('\r\n', '\n')
  const before = parseDocument(lf)
  const [error] = before.errors
  if (error) return { problem: error.message.replace(/(?<=[\w)]): [^]*$/, '') }
  let formatted = tidied(lf, before)
  // One move at a time, as every move shifts what stands behind it. Each puts one map in order.
  for (let moves = 0; moves < 10_000; moves += 1) {
    const moved = sortOne(formatted)
    if (moved === undefined) break
    formatted = moved
  }
  const after = parseDocument(formatted)
  if (after.errors.length > 0 || !isDeepStrictEqual(before.toJS(), after.toJS()) || countOf(before) !== countOf(after))
    return { problem: 'its keys cannot be put in order without a change of what it says' }
  return { text: formatted }
}

/** No white space at the ends of lines, one empty line at most, one line end at the end; texts of several lines stay as they are. */
function tidied(text: string, document: Document): string {
  const kept = new Set<number>()
  visit(document, {
    Scalar: (_, { range }) => {
      if (!range || !text.slice(range[0], range[1]).includes('\n')) return
      const first = lineAt(text, range[0])
      for (let line = first; line <= lineAt(text, range[1]); line += 1) kept.add(line)
    },
  })
  const lines = text.split('\n').map((line, at) => (kept.has(at) ? line : line.trimEnd()))
  const spaced = lines.filter((line, at) => kept.has(at) || line !== '' || (at > 0 && lines[at - 1] !== ''))
  return `${spaced.join('\n').trimEnd()}\n`
}

function lineAt(text: string, offset: number): number {
  return text.slice(0, offset).split('\n').length - 1
}

/** Puts the first map that is out of order in order; `undefined`: all are. */
function sortOne(text: string): string | undefined {
  const document = parseDocument(text)
  for (const { map, order } of mapsOf(document)) {
    const pairs = map.items
    const wanted = pairs.toSorted((one, other) => rank(one, order) - rank(other, order))
    if (wanted.every((pair, at) => pair === pairs[at])) continue
    const sorted = map.flow ? sortFlow(text, pairs, wanted) : sortBlock(text, pairs, wanted)
    if (sorted !== undefined && sorted !== text) return sorted
  }
  return undefined
}

function rank({ key }: Pair, order: readonly string[]): number {
  const at = isScalar(key) ? order.indexOf(String(key.value)) : -1
  return at < 0 ? order.length : at
}

/** The maps whose keys have an order, and that order. */
function* mapsOf({ contents }: Document): Generator<{ readonly map: YAMLMap; readonly order: readonly string[] }> {
  if (!isMap(contents)) return
  yield { map: contents, order: orders['policy'] ?? [] }
  for (const { key, value } of contents.items) {
    const section = isScalar(key) ? String(key.value) : ''
    const order = orders[section]
    if (!order || !isCollection(value)) continue
    if (section === 'dns') {
      if (isMap(value)) yield { map: value, order }
      continue
    }
    const entries: readonly unknown[] = isSeq(value) ? value.items : isMap(value) ? value.items.map((pair) => pair.value) : []
    for (const entry of entries) {
      if (!isMap(entry)) continue
      yield { map: entry, order }
      const table = section === 'cases' ? entry.get('table') : undefined
      if (isSeq(table)) for (const row of table.items) if (isMap(row)) yield { map: row, order }
    }
  }
}

interface Span {
  readonly start: number
  readonly end: number
}

/** From its key to the end of its value; `undefined`: it has no value to be seen. */
function spanOf({ key, value }: Pair): Span | undefined {
  if (!isNode(key) || !key.range) return undefined
  const end = isNode(value) && value.range ? value.range[1] : key.range[1]
  return { start: key.range[0], end }
}

/** `{b: 1, a: 2}`: what stands between the entries stays where it is. A comment in it keeps it as it is. */
function sortFlow(text: string, pairs: readonly Pair[], wanted: readonly Pair[]): string | undefined {
  const spans = pairs.map(spanOf)
  const [first, last] = [spans[0], spans.at(-1)]
  if (!first || !last || spans.includes(undefined)) return undefined
  const gaps = spans.slice(1).map((span, at) => text.slice(spans[at]?.end, span?.start))
  if (gaps.some((gap) => gap.includes('#'))) return undefined
  const pieces = wanted.map((pair) => {
    const span = spanOf(pair)
    return text.slice(span?.start, span?.end)
  })
  const joined = pieces.map((piece, at) => piece + (gaps[at] ?? '')).join('')
  return text.slice(0, first.start) + joined + text.slice(last.end)
}

/** Whole lines move: an entry takes along the comments above it and behind it. */
function sortBlock(text: string, pairs: readonly Pair[], wanted: readonly Pair[]): string | undefined {
  const spans = pairs.map(spanOf)
  const first = spans[0]
  if (!first || spans.includes(undefined)) return undefined
  const ends = spans.map((span) => lineEnd(text, Math.max(span?.start ?? 0, text.slice(0, span?.end).trimEnd().length)))
  const indent = text.slice(text.lastIndexOf('\n', first.start - 1) + 1, first.start)
  const margin = ' '.repeat(indent.length)
  // The first entry of a list item stands behind its dash; comments above that are the item's.
  const head = first.start - indent.length
  const pieces = new Map(
    pairs.map((pair, at) => {
      const start = at === 0 ? first.start : (ends[at - 1] ?? 0)
      const lines = text.slice(start, ends[at])
      const key = at === 0 ? 0 : (spans[at]?.start ?? 0) - start - margin.length
      return [pair, { above: at === 0 ? '' : lines.slice(0, key), own: at === 0 ? lines : lines.slice(key + margin.length) }]
    }),
  )
  const [start] = wanted
  // Above the dash of a list item, with the indent that the dash has.
  const dash = /^ */.exec(indent)?.[0] ?? ''
  const above = (start ? (pieces.get(start)?.above ?? '') : '').replaceAll(/^ +(?=#)/gm, dash)
  const rest = wanted.slice(1).map((pair) => {
    const piece = pieces.get(pair)
    return `${piece?.above ?? ''}${margin}${piece?.own ?? ''}`
  })
  const own = start ? (pieces.get(start)?.own ?? '') : ''
  return text.slice(0, head) + above + indent + own + rest.join('') + text.slice(ends.at(-1))
}

/** Behind the line that an offset is in. */
function lineEnd(text: string, offset: number): number {
  const end = text.indexOf('\n', offset)
  return end < 0 ? text.length : end + 1
}

/** How many comments there are: none may be lost. */
function countOf(document: Document): number {
  return document
    .toString({ lineWidth: 0 })
    .split('\n')
    .filter((line) => line.includes('#')).length
}
