/** Edits of YAML that leave every other byte as it is. */
import { isMap, isScalar, isSeq, parseDocument } from 'yaml'
import type { Pair } from 'yaml'

/**
 * A document with more items at the end of the list under a top-level key; `items` gets the indent that the list has. A
 * list that is missing or empty is begun. `undefined`: what stands there is no list of lines.
 */
export function withItems(text: string, key: string, items: (indent: string) => string): string | undefined {
  const { contents, errors } = parseDocument(text)
  if (errors.length > 0 || (contents !== null && !isMap(contents))) return undefined
  const pair = contents?.items.find((each: Pair) => isScalar(each.key) && each.key.value === key)
  if (!pair) return `${text}${text === '' || text.endsWith('\n') ? '' : '\n'}\n${key}:\n${items('  ')}`
  const list = pair.value
  if (!isSeq(list) || !list.range) return undefined
  const [start, end] = list.range
  if (list.items.length === 0)
    return `${text.slice(0, start).trimEnd()}\n${items('  ')}${text.slice(end).replace(/^[ \t]*\n/, '')}`
  if (list.flow) return undefined
  const indent = /[ \t]*$/.exec(text.slice(0, start))?.[0] ?? ''
  const ended = text.slice(0, end).trimEnd()
  // What stands behind the last item on its line is a comment.
  const [rest = ''] = /^[^\n]*/.exec(text.slice(ended.length)) ?? []
  const at = ended.length + rest.length
  return `${text.slice(0, at)}\n${items(indent)}${text.slice(at + 1)}`
}

/** A unified diff of two texts that differ in one place, with three lines around it; empty where they are the same. */
export function unifiedDiff(file: string, before: string, after: string): string {
  if (before === after) return ''
  const old = linesOf(before)
  const now = linesOf(after)
  let head = 0
  while (head < old.length && head < now.length && old[head] === now[head]) head += 1
  let tail = 0
  while (tail < old.length - head && tail < now.length - head && old.at(-1 - tail) === now.at(-1 - tail)) tail += 1
  const from = Math.max(0, head - 3)
  const around = Math.min(3, tail)
  const lines = [
    ...old.slice(from, head).map((line) => ` ${line}`),
    ...old.slice(head, old.length - tail).map((line) => `-${line}`),
    ...now.slice(head, now.length - tail).map((line) => `+${line}`),
    ...old.slice(old.length - tail, old.length - tail + around).map((line) => ` ${line}`),
  ]
  const span = (count: number) => `${count === 0 ? from : from + 1},${count}`
  const oldCount = old.length - tail + around - from
  const newCount = now.length - tail + around - from
  return [`--- ${file}`, `+++ ${file}`, `@@ -${span(oldCount)} +${span(newCount)} @@`, ...lines, ''].join('\n')
}

/** A last line without its end is marked as diff marks it. */
function linesOf(text: string): string[] {
  if (text === '') return []
  const lines = text.split('\n')
  if (lines.at(-1) === '') lines.pop()
  else lines.push(`${lines.pop()}\n\\ No newline at end of file`)
  return lines
}
