/** What is wrong in a file, where, and what to write instead. */
import type { z } from 'zod'
import type { Position } from '#policy/types.ts'

export interface Issue {
  readonly severity: 'error' | 'warning'
  /** Line 0: the thing named by `file` as a whole. */
  readonly position: Position
  /** Such as `rules[2].hosts`; empty: the file as a whole. */
  readonly path: string
  readonly message: string
}

/** One line: `policies/crew.yaml:31:9 rules[2].hosts: "*.com" would match every .com host; name the zone`. */
export function formatIssue({ position, path, message, severity }: Issue): string {
  const whole = position.line === 0
  const place = whole ? `${position.file}${path ? '' : ':'}` : `${position.file}:${position.line}:${position.column}`
  return `${place} ${path && `${path}: `}${severity === 'warning' ? 'warning: ' : ''}${message}`
}

/** `['rules', 2, 'hosts']` as `rules[2].hosts`. */
export function pathText(path: readonly PropertyKey[]): string {
  return path.reduce<string>(
    (text, key) => (typeof key === 'number' ? `${text}[${key}]` : `${text}${text && '.'}${String(key)}`),
    '',
  )
}

/** A mistake found by a schema, in our words. `key` is set when it is about a key rather than a value. */
export interface Mistake {
  readonly path: readonly PropertyKey[]
  readonly key?: string
  readonly message: string
}

/**
 * Takes the issues of a schema apart: one mistake for each unknown key, in our words. `data` is what was parsed, `known`
 * answers which keys a path may have. No value is repeated but words that stand where a keyword belongs.
 */
export function mistakes(
  error: z.ZodError,
  data: unknown,
  known: (path: readonly PropertyKey[]) => readonly string[],
): Mistake[] {
  return mistakesIn(error.issues, data, known)
}

function mistakesIn(
  issues: readonly z.core.$ZodIssue[],
  data: unknown,
  known: (path: readonly PropertyKey[]) => readonly string[],
): Mistake[] {
  return issues.flatMap((issue): Mistake[] => {
    const { path } = issue
    switch (issue.code) {
      case 'unrecognized_keys':
        return issue.keys.map((key) => ({
          path,
          key,
          message: `${JSON.stringify(key)} is not known here${didYouMean(key, known(path))}`,
        }))
      case 'invalid_key':
        return [{ path: path.slice(0, -1), key: String(path.at(-1)), message: issue.issues[0]?.message ?? issue.message }]
      case 'invalid_union':
        if ('options' in issue) return [{ path, message: notOneOf(valueAt(data, path), issue.options) }]
        return mistakesIn(nearest(issue.errors, path), data, known)
      case 'invalid_value':
        return [{ path, message: notOneOf(valueAt(data, path), issue.values) }]
      case 'invalid_type':
        return [{ path, message: wrongType(issue.expected, valueAt(data, path)) }]
      case 'too_small':
        return [{ path, message: isStock(issue) ? `write at least ${issue.minimum}${unitOf(issue.origin)}` : issue.message }]
      case 'too_big':
        return [{ path, message: isStock(issue) ? `write at most ${issue.maximum}${unitOf(issue.origin)}` : issue.message }]
      case 'custom':
      case 'invalid_element':
      case 'invalid_format':
      case 'not_multiple_of':
        return [{ path, message: issue.message }]
      default:
        return issue satisfies never
    }
  })
}

// Of several shapes, the one that fits so far that it is wrong further down is the one that was meant.
function nearest(branches: readonly (readonly z.core.$ZodIssue[])[], path: readonly PropertyKey[]): z.core.$ZodIssue[] {
  const meant = branches.find((issues) => issues.every((issue) => issue.path.length > 0)) ?? branches[0] ?? []
  return meant.map((issue) => ({ ...issue, path: [...path, ...issue.path] }))
}

// Where the schema has words of its own for a limit, they say more.
function isStock({ message }: { readonly message: string }): boolean {
  return message.startsWith('Too ')
}

function unitOf(origin: string): string {
  if (origin === 'string') return ' characters'
  return origin === 'array' ? ' items' : ''
}

/** What stands at a path of plain data. */
export function valueAt(data: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (value, key) => (typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined),
    data,
  )
}

function notOneOf(input: unknown, values: readonly unknown[]): string {
  const allowed = values.map(String)
  const choice = `${allowed.length > 1 ? 'one of ' : ''}${allowed.join(', ')}`
  if (input === undefined) return `this is missing; write ${choice}`
  if (typeof input !== 'string' && typeof input !== 'number' && typeof input !== 'boolean')
    return `write ${choice}, not ${nameOf(input)}`
  return `${JSON.stringify(input)} is not ${choice}${allowed.length > 1 ? didYouMean(String(input), allowed) : ''}`
}

const typeNames = new Map([
  ['record', 'a map'],
  ['object', 'a map'],
  ['array', 'a list'],
  ['string', 'text'],
  ['int', 'a whole number'],
  ['number', 'a number'],
  ['boolean', 'true or false'],
])

function wrongType(expected: string, input: unknown): string {
  const wanted = typeNames.get(expected) ?? expected
  if (input === undefined) return `this is missing; write ${wanted}`
  if (input === null) return `this is empty; write ${wanted}, or remove the key`
  return `write ${wanted}, not ${nameOf(input)}`
}

// The kind of thing and not the thing: what stands in the wrong place may be a secret.
function nameOf(input: unknown): string {
  if (input === null) return 'nothing'
  if (typeof input === 'number' || typeof input === 'boolean') return String(input)
  return typeNames.get(Array.isArray(input) ? 'array' : typeof input) ?? typeof input
}

/** ` (did you mean "hosts"?)`, or nothing when no candidate is near. */
export function didYouMean(text: string, candidates: readonly string[]): string {
  const nearest = candidates
    .map((candidate) => ({ candidate, distance: editDistance(text.toLowerCase(), candidate.toLowerCase()) }))
    .toSorted((one, other) => one.distance - other.distance)[0]
  return nearest && nearest.distance <= Math.max(1, Math.floor(nearest.candidate.length / 3))
    ? ` (did you mean "${nearest.candidate}"?)`
    : ''
}

// Levenshtein with swapped neighbours as one edit; texts are keys, so both are short.
function editDistance(one: string, other: string): number {
  if (Math.abs(one.length - other.length) > 8) return Number.POSITIVE_INFINITY
  const rows = [Array.from({ length: other.length + 1 }, (_, index) => index)]
  for (let i = 1; i <= one.length; i++) {
    const row = [i]
    for (let j = 1; j <= other.length; j++) {
      const same = one[i - 1] === other[j - 1]
      let cost = Math.min(at(rows, i - 1, j) + 1, (row[j - 1] ?? 0) + 1, at(rows, i - 1, j - 1) + (same ? 0 : 1))
      if (one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1]) cost = Math.min(cost, at(rows, i - 2, j - 2) + 1)
      row.push(cost)
    }
    rows.push(row)
  }
  return at(rows, one.length, other.length)
}

function at(rows: readonly (readonly number[])[], i: number, j: number): number {
  return rows[i]?.[j] ?? Number.POSITIVE_INFINITY
}

/** A first policy that does not load: the proxy must not serve. */
export class PolicyError extends Error {
  readonly issues: readonly Issue[]

  constructor(issues: readonly Issue[]) {
    super('the policy has errors')
    this.name = 'PolicyError'
    this.issues = issues
  }
}
