import type { LeaseEvent } from './leases/lease-status.ts'

/** `begun`, `recovered`: say so. `known`: it is what was said already. `none`: not of an incident. */
export type LoginEvent = 'begun' | 'recovered' | 'known' | 'none'

/**
 * Incidents: from when only a login helps a credential until it is well again. What is tried in between, such as another
 * configuration, does not end one. They are not kept: a proxy that starts anew tells once more what is still so.
 */
export class LoginEvents {
  readonly #open = new Set<string>()

  /** What an event is to the incident of its credential. */
  turn({ kind, credential }: Pick<LeaseEvent, 'kind' | 'credential'>): LoginEvent {
    switch (kind) {
      case 'needs_login':
        if (this.#open.has(credential)) return 'known'
        this.#open.add(credential)
        return 'begun'
      case 'refreshed':
      case 'adopted':
      case 'seed_adopted':
        return this.#open.delete(credential) ? 'recovered' : 'none'
      case 'reopened':
      case 'refresh_failed':
      case 'store_failed':
        return 'none'
      default:
        return kind satisfies never
    }
  }

  /** Forgets credentials that are no longer in the policy. */
  keep(credentials: { has(id: string): boolean }): void {
    for (const id of this.#open) if (!credentials.has(id)) this.#open.delete(id)
  }
}
