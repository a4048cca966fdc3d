/** What a schema finds wrong, in our words. */
import type { z } from 'zod'
import { didYouMean } from '#base/did-you-mean.ts'
import { valueAt } from './issue.ts'

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

// Of several shapes, the one that fits so far that it is wrong further down is the one that was meant; or else the one of
// the kind that is written.
function nearest(branches: readonly (readonly z.core.$ZodIssue[])[], path: readonly PropertyKey[]): z.core.$ZodIssue[] {
  const meant =
    branches.find((issues) => issues.every((issue) => issue.path.length > 0)) ??
    branches.find((issues) => !issues.some((issue) => issue.code === 'invalid_type' && issue.path.length === 0)) ??
    branches[0] ??
    []
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
