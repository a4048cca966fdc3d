/** Whether one rule leaves nothing to another. */
import { patternWithin } from '#base/host-pattern.ts'
import { matchesPath } from './match.ts'
import type { PathPattern, Rule } from './types.ts'

/**
 * Whether `one` matches whatever `other` matches, as far as HTTPS on the usual port goes: a rule that refuses covers
 * more than that by default, but one that decides nothing there is a mistake all the same.
 */
export function covers(one: Rule, other: Rule): boolean {
  return (
    within(other.agents, one.agents) &&
    within(other.ports ?? new Set([443]), one.ports) &&
    (!other.plain || one.plain || one.effect === 'deny') &&
    within(other.methods, one.methods) &&
    coversPaths(one, other) &&
    coversGit(one, other) &&
    other.hosts.every((pattern) => one.hosts.some((wider) => patternWithin(pattern, wider)))
  )
}

function within<Item>(inner: ReadonlySet<Item> | undefined, outer: ReadonlySet<Item> | undefined): boolean {
  return outer === undefined || (inner !== undefined && inner.isSubsetOf(outer))
}

function coversPaths(one: Rule, other: Rule): boolean {
  if (one.paths === undefined) return true
  return (
    other.paths?.every((path) =>
      one.paths?.some((wider) => coversPath(wider, one.effect === 'deny' ? path.map((each) => each.toLowerCase()) : path)),
    ) ?? false
  )
}

function coversPath(wider: PathPattern, path: PathPattern): boolean {
  if (wider.join('/') === path.join('/')) return true
  return !path.some((segment) => segment === '*' || segment === '**') && matchesPath(wider, path)
}

function coversGit(one: Rule, other: Rule): boolean {
  const { git } = one
  if (git === undefined) return true
  return (
    other.git !== undefined &&
    other.git.fetch.every((scope) => git.fetch.includes(scope)) &&
    other.git.push.every((scope) => git.push.includes(scope))
  )
}
