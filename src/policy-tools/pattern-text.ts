import type { PathPattern } from '#policy/types.ts'

/** A path pattern as a policy writes it. */
export function patternText(pattern: PathPattern): string {
  return `/${pattern.join('/')}`
}
