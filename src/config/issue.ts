/** What is wrong in a file, where, and what to write instead. */
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

/** What stands at a path of plain data. */
export function valueAt(data: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (value, key) => (typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined),
    data,
  )
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
