/** What the vault tells of its leases: how they are and what happens to them, and never a value but to itself. */
import type { Secret } from '#base/secret.ts'

/** What happened to a lease. Never a value. */
export interface LeaseEvent {
  /**
   * `adopted`: a newer pair by a login, by another replica or from before a restart. `reopened`: the same pair is tried
   * anew, since what it is shown with has changed.
   */
  readonly kind: 'refreshed' | 'adopted' | 'seed_adopted' | 'reopened' | 'refresh_failed' | 'needs_login' | 'store_failed'
  readonly credential: string
  readonly detail?: string
  readonly generation: number | undefined
  /** Milliseconds since the epoch. */
  readonly expiresAt: number | undefined
}

/** How a lease is. Never a value; times in milliseconds since the epoch. */
export interface LeaseStatus {
  readonly id: string
  readonly kind: string
  readonly generation: number | undefined
  readonly expiresAt: number | undefined
  /** As granted, when it was said; a server's words. */
  readonly scopes?: readonly string[] | undefined
  /** The last thing that happened to it. */
  readonly lastRefresh: { readonly at: number; readonly result: LeaseEvent['kind'] } | undefined
  /** Why nothing but a new login, or another configuration, helps. */
  readonly needsLogin?: string
}

/** A real value of a lease, and the stub that stands for it. */
export interface LeaseValue {
  readonly secret: Secret
  readonly stub: string
}

/** How each is told to an operator, and counted. */
export const leaseNews = {
  refreshed: { level: 'info', result: 'ok', message: 'credential refreshed' },
  adopted: { level: 'info', result: undefined, message: 'newer value adopted' },
  reopened: { level: 'info', result: undefined, message: 'tried anew with another configuration' },
  seed_adopted: { level: 'info', result: undefined, message: 'login taken from its seed' },
  refresh_failed: { level: 'warn', result: 'failed', message: 'refresh failed; the value in force is used as long as it lives' },
  needs_login: { level: 'warn', result: 'needs_login', message: 'only a new login helps; run `iron-proxy login`' },
  store_failed: {
    level: 'warn',
    result: 'store_failed',
    message: 'the store of grants cannot be used; nothing is refreshed until it can',
  },
} as const satisfies Record<LeaseEvent['kind'], { level: 'info' | 'warn'; result: string | undefined; message: string }>
