import type { AuditRecord } from './types.ts'

/** What happened to a credential by itself, and not in an exchange. */
export interface Incident {
  readonly id: string
  /** Milliseconds since the epoch. */
  readonly at: number
  readonly event: 'needs_login' | 'recovered'
  readonly credential: string
  readonly reason?: string | undefined
}

/** The record of a credential that only a login helps, or that is well again: one each for every incident. */
export function incidentRecord({ id, at, event, credential, reason }: Incident): AuditRecord {
  const ended = event === 'needs_login'
  return {
    id,
    time: new Date(at).toISOString(),
    type: 'credential',
    event,
    agent: null,
    peer: 'self',
    door: 'self',
    protocol: 'none',
    verdict: ended ? 'error' : 'allow',
    code: ended ? 'needs_login' : undefined,
    reason,
    swaps: [],
    credential,
    bytesUp: 0,
    bytesDown: 0,
    duration: 0,
  }
}
