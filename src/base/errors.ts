import type { ErrorRow } from './error-row.ts'
import { requestErrors } from './request-errors.ts'
import { serviceErrors } from './service-errors.ts'

/** The one table of what can go wrong on the way of a request. `policies/README.md` prints it; a test keeps the two alike. */
export const errorTable = { ...requestErrors, ...serviceErrors } as const satisfies Record<string, ErrorRow>

export type ErrorCode = keyof typeof errorTable

/** Faults of the proxy or a host that last until somebody acts: a client that asks again only hides them. */
export const lasting: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'needs_login',
  'no_policy',
  'upstream_tls',
  'reply_undecodable',
])

/** Codes that leave no doubt: the connection a request would have gone over never came to be. */
export const unsent: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'destination_denied',
  'proxy_loop',
  'upstream_unresolved',
  'upstream_dns_timeout',
  'upstream_unreachable',
  'upstream_connect_timeout',
  'upstream_tls',
  'overloaded',
])

/** A fault with a stable code. Denials are values (`Denial`); this is for what breaks. Match on `code`, not on class. */
export class ProxyError extends Error {
  readonly code: ErrorCode

  constructor(code: ErrorCode, detail?: string, options?: ErrorOptions) {
    super(detail ?? errorTable[code].message, options)
    this.name = 'ProxyError'
    this.code = code
  }
}

/** The code of any thrown thing; what we did not foresee is `internal`. */
export function codeOf(error: unknown): ErrorCode {
  return error instanceof ProxyError ? error.code : 'internal'
}
