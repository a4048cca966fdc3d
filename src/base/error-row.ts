/** One row of the error table. `base/errors.ts` puts the table together. */
export interface ErrorRow {
  /** The status that the agent reads; 0 if the connection closes before a request could be read. */
  readonly status: number
  /** The error type of RFC 9209 section 2.3. */
  readonly proxyStatus: string
  /** Who has to act. */
  readonly fault: 'agent' | 'policy' | 'upstream' | 'proxy'
  readonly message: string
  /** What to do. */
  readonly hint: string
}

export function row(status: number, proxyStatus: string, fault: ErrorRow['fault'], message: string, hint: string): ErrorRow {
  return { status, proxyStatus, fault, message, hint }
}

export const policyHint = 'ask the operator for a rule; `iron-proxy explain` shows how this request was decided'
