/** Turns paths that were seen into the patterns of a rule: what names one thing among many becomes `*`, the rest stays. */
import type { Segments } from '#policy/path.ts'

/** Segments that name one thing among many. Each is a whole segment, with or without the ending of a file. */
const names: readonly RegExp[] = [
  /^\d+$/,
  /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i,
  // A commit, whole or short, and any digest. A word of letters alone, such as "facade", is none.
  /^(?=.*\d)[0-9a-f]{7,128}$/i,
  // A ULID, and ids that services make: a prefix and a long random word with digits in it.
  /^[0-9A-HJKMNP-TV-Z]{26}$/,
  /^(?:[a-z]{1,12}[_-])?(?=(?:[^\d]*\d){2})[A-Za-z0-9]{16,128}$/,
  /^\d{4}-\d{2}-\d{2}(?:T[\d:.Z+-]+)?$/,
]

/** Whether a segment names one thing among many: a number, an id, a digest, a date. */
export function isName(segment: string): boolean {
  const bare = segment.replace(/\.[a-z]{1,5}$/i, '')
  return names.some((shape) => shape.test(segment) || shape.test(bare))
}

/** A path that was seen, and how often. */
export interface SeenPath {
  readonly segments: Segments
  readonly count: number
}

/**
 * Patterns that cover all of the paths, in order. Where more than `most` patterns differ in one segment alone, they become
 * one. A path of which nothing but names is left stays as it is: one path is never a whole host.
 */
export function generalise(paths: readonly SeenPath[], most: number): readonly SeenPath[] {
  const patterns = new Map<string, SeenPath>()
  for (const { segments, count } of paths) {
    const starred = segments.map((segment) => (isName(segment) && isSimple(segment) ? '*' : segment))
    add(patterns, starred.some((segment) => segment !== '*' && segment !== '') ? starred : segments, count)
  }
  while (merge(patterns, most));
  return [...patterns.values()].toSorted((one, other) => compare(one.segments.join('/'), other.segments.join('/')))
}

/** Makes one pattern of those that differ most often in one segment alone; `false`: there are not so many. */
function merge(patterns: Map<string, SeenPath>, most: number): boolean {
  const groups = new Map<string, { readonly starred: Segments; readonly keys: string[] }>()
  for (const [key, { segments }] of patterns) {
    for (const [at, segment] of segments.entries()) {
      if (segment === '*' || !isSimple(segment)) continue
      const starred = segments.with(at, '*')
      const group = `${at} ${starred.join('/')}`
      const known = groups.get(group)
      if (known) known.keys.push(key)
      else groups.set(group, { starred, keys: [key] })
    }
  }
  const [group] = [...groups.values()]
    .filter(({ keys }) => keys.length > most)
    .toSorted((one, other) => other.keys.length - one.keys.length || compare(one.starred.join('/'), other.starred.join('/')))
  if (!group) return false
  let count = 0
  for (const key of group.keys) {
    count += patterns.get(key)?.count ?? 0
    patterns.delete(key)
  }
  add(patterns, group.starred, count)
  return true
}

function add(patterns: Map<string, SeenPath>, segments: Segments, count: number): void {
  const key = segments.join('/')
  patterns.set(key, { segments, count: count + (patterns.get(key)?.count ?? 0) })
}

// `*` is one segment in every reading of a path: a segment that some server reads as two is none.
function isSimple(segment: string): boolean {
  return segment !== '' && !/%2F|;/.test(segment)
}

/** The order of code units, the same on every machine. */
export function compare(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0
}
