/** Is an agent that has ended started again, and when? */
import type { AgentSpec } from './config.ts'

export interface Backoff {
  /** Milliseconds before the first restart; each is twice the one before. */
  readonly first: number
  readonly most: number
  /** Who ran for this long was well, and begins anew. */
  readonly healthy: number
}

export const backoff: Backoff = { first: 3000, most: 120_000, healthy: 300_000 }

export type Next =
  | { readonly kind: 'end'; readonly error?: string }
  /** After so many milliseconds. */
  | { readonly kind: 'restart'; readonly after: number; readonly turn: number }

export interface Ended {
  readonly code: number
  /** Milliseconds that it ran. */
  readonly lasted: number
  /** Times it was started again, ever. */
  readonly restarts: number
  /** Times in a row that it was not well. */
  readonly turn: number
}

/** `chance`: 0 to 1. Half of a wait is certain, half is chance, so that agents that fell together do not come back together. */
export function afterEnd(
  { restart, maxRestarts }: Pick<AgentSpec, 'restart' | 'maxRestarts'>,
  { code, lasted, restarts, turn }: Ended,
  chance: number,
  { first, most, healthy }: Backoff = backoff,
): Next {
  const error = code === 0 ? {} : { error: `exit code ${code}` }
  if (restart === 'no' || (restart === 'on-failure' && code === 0)) return { kind: 'end', ...error }
  if (maxRestarts > 0 && restarts >= maxRestarts) {
    return { kind: 'end', error: `exit code ${code}, and it was started again ${restarts} times` }
  }
  const next = lasted >= healthy ? 0 : turn
  const wait = Math.min(first * 2 ** next, most)
  return { kind: 'restart', after: wait / 2 + (wait / 2) * chance, turn: next + 1 }
}
