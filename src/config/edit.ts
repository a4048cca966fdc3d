/**
 * Edits of a policy file as a careful person makes them: a few lines are put in or replaced, and every other byte stays, comments and
 * alignment included. Each takes the text and gives back the new text; none knows what a policy means.
 */
import { isMap, isScalar, isSeq, parseDocument } from 'yaml'
import type { Document, Node, Pair, YAMLMap, YAMLSeq } from 'yaml'

/** A place that cannot be edited by lines, with what to do. */
export class EditError extends Error {}

/** Puts items into the list at a key of the document; the key is made where it is missing. `before`: index of the item that follows. */
export function insertItems(text: string, key: string, items: readonly (readonly string[])[], before?: number): string {
  const document = read(text)
  const pair = pairAt(document, [key])
  if (!pair) return `${ended(text)}${text.trim() === '' ? '' : '\n'}${key}:\n${block(items, 2)}`
  const list = pair.value as Node | null
  if (list === null || !isSeq(list)) throw new EditError(`\`${key}\` is no list; write it as one`)
  if (list.items.length === 0) return replaceEmpty(text, list, items)
  if (list.flow) throw new EditError(`\`${key}\` is a list on one line; write each item on a line of its own`)
  const indent = columnOf(text, startOf(list.items[0]) ?? 0) - 2
  if (before !== undefined && before < list.items.length) {
    // Comments above an item belong to it.
    const at = commentsAbove(text, lineStart(text, startOf(list.items[before]) ?? 0))
    return text.slice(0, at) + block(items, indent) + gap(text, list) + text.slice(at)
  }
  const at = lineEnd(text, endOf(list.items.at(-1)))
  return ended(text.slice(0, at)) + gap(text, list) + block(items, indent) + text.slice(at)
}

/** Replaces a value, or gives it to a map that has no such key. `value` is YAML on one line. */
export function setValue(text: string, path: readonly (string | number)[], value: string): string {
  const document = read(text)
  const found = pairAt(document, path)?.value as Node | null | undefined
  if (found?.range) return text.slice(0, found.range[0]) + value + text.slice(found.range[1])
  const above = path.slice(0, -1)
  const map = (above.length === 0 ? document.contents : document.getIn(above, true)) as Node | null
  const key = String(path.at(-1))
  if (!isMap(map)) throw new EditError(`there is no ${above.join('.')} to put ${key} into`)
  if (map.flow) {
    const close = (map.range?.[1] ?? 0) - 1
    const before = text.slice(0, close).trimEnd()
    return `${before}${before.endsWith('{') ? '' : ', '}${key}: ${value}${text.slice(close)}`
  }
  const first = (map as YAMLMap<Node>).items[0]
  const start = startOf(first?.key) ?? 0
  const at = lineEnd(text, endOf((map as YAMLMap<Node>).items.at(-1)))
  return `${ended(text.slice(0, at))}${' '.repeat(columnOf(text, start))}${key}: ${value}\n${text.slice(at)}`
}

/** The changed lines of two texts with one line around them, `+` and `-` before each, for eyes. */
export function changedLines(before: string, after: string): readonly string[] {
  const [old, now] = [before.split('\n'), after.split('\n')]
  let head = 0
  while (head < old.length && head < now.length && old[head] === now[head]) head += 1
  let tail = 0
  while (tail < old.length - head && tail < now.length - head && old.at(-1 - tail) === now.at(-1 - tail)) tail += 1
  return [
    ...old.slice(Math.max(0, head - 1), head).map((each) => `  ${each}`),
    ...old.slice(head, old.length - tail).map((each) => `- ${each}`),
    ...now.slice(head, now.length - tail).map((each) => `+ ${each}`),
    ...old.slice(old.length - tail, old.length - tail + 1).map((each) => `  ${each}`),
  ].map((each) => each.trimEnd())
}

function read(text: string): Document {
  const document = parseDocument(text, { schema: 'core', version: '1.2' })
  const [problem] = document.errors
  if (problem) throw new EditError(`the file cannot be read as YAML (${problem.code}); \`iron-proxy check\` says where`)
  return document
}

function pairAt(document: Document, path: readonly (string | number)[]): Pair | undefined {
  let node: unknown = document.contents
  let pair: Pair | undefined
  for (const step of path) {
    if (isSeq(node)) {
      pair = { value: node.items[Number(step)] } as Pair
      node = node.items[Number(step)]
    } else if (isMap(node)) {
      pair = node.items.find((each) => isScalar(each.key) && each.key.value === step)
      node = pair?.value
    } else return undefined
  }
  return pair
}

/** `[]` in place of a list: the items take its place. */
function replaceEmpty(text: string, list: YAMLSeq, items: readonly (readonly string[])[]): string {
  const [start = 0, end = 0] = list.range ?? []
  const rest = text.slice(end, lineEnd(text, end)).replace(/\n$/, '').trim()
  return `${text.slice(0, start).trimEnd()}${rest === '' ? '' : ` ${rest}`}\n${block(items, 2)}${text.slice(lineEnd(text, end))}`
}

function block(items: readonly (readonly string[])[], indent: number): string {
  const pad = ' '.repeat(Math.max(0, indent))
  return items.map((lines) => lines.map((line, index) => `${pad}${index === 0 ? '- ' : '  '}${line}\n`).join('')).join('\n')
}

/** An empty line between two items, where the list has them. */
function gap(text: string, { items }: YAMLSeq): string {
  const [first, second] = items.map(startOf)
  if (first === undefined || second === undefined) return ''
  return /\n[ \t]*\n/.test(text.slice(first, second)) ? '\n' : ''
}

function startOf(node: unknown): number | undefined {
  return (node as Node | null | undefined)?.range?.[0]
}

function endOf(node: unknown): number {
  if (typeof node === 'object' && node !== null && 'value' in node && 'key' in node) return endOf(node.value ?? node.key)
  return (node as Node | null | undefined)?.range?.[1] ?? 0
}

function columnOf(text: string, offset: number): number {
  return offset - lineStart(text, offset)
}

function lineStart(text: string, offset: number): number {
  return text.lastIndexOf('\n', offset - 1) + 1
}

/** Behind the line end that follows; a range that ended with its line is there already. */
function lineEnd(text: string, offset: number): number {
  if (offset > 0 && text[offset - 1] === '\n') return offset
  const at = text.indexOf('\n', offset)
  return at < 0 ? text.length : at + 1
}

function commentsAbove(text: string, start: number): number {
  let at = start
  while (at > 0) {
    const above = lineStart(text, at - 1)
    if (!/^[ \t]*#/.test(text.slice(above, at))) return at
    at = above
  }
  return at
}

function ended(text: string): string {
  return text === '' || text.endsWith('\n') ? text : `${text}\n`
}
