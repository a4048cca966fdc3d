/** Records of what happens outside any exchange: to a credential, a budget or a run. */
import type { BudgetEvent } from '#metering/notice.ts'
import type { AuditRecord } from './audit-record.ts'

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
    ...selfRecord(id, at),
    type: 'credential',
    event,
    verdict: ended ? 'error' : 'allow',
    code: ended ? 'needs_login' : undefined,
    reason,
    credential,
  }
}

/** The record of a budget that passed a threshold or is used up: one for each in a window. */
export function budgetRecord(id: string, at: number, { kind, budget, account }: BudgetEvent, reason: string): AuditRecord {
  return {
    ...selfRecord(id, at),
    type: 'budget',
    event: kind,
    agent: account.holder === '*' ? null : account.holder,
    // Nothing was refused by this: that is in the record of each request.
    verdict: 'allow',
    code: kind === 'exhausted' ? 'budget_exhausted' : undefined,
    reason,
    budget: budget.id,
  }
}

/** What happened to a run by itself. */
export interface RunEvent {
  readonly event: 'minted' | 'bound' | 'ended'
  readonly run: string
  readonly agent: string
  readonly reason: string | undefined
}

/** The record of a run that began or ended, or that an agent was bound to. */
export function runRecord(id: string, at: number, { event, run, agent, reason }: RunEvent): AuditRecord {
  return { ...selfRecord(id, at), type: 'run', event, agent, verdict: 'allow', reason, runId: run }
}

/** What an operator did by the page. */
export interface OperatorAct {
  readonly event: 'reloaded' | 'budget_set' | 'login_begun'
  readonly reason: string
  readonly budget?: string | undefined
  readonly credential?: string | undefined
  /** Where they came from. */
  readonly peer: string
}

/** The record of an act of an operator. */
export function operatorRecord(id: string, at: number, { peer, ...act }: OperatorAct): AuditRecord {
  return { ...selfRecord(id, at), ...act, type: 'operator', peer: peer === '' ? 'socket' : peer, verdict: 'allow' }
}

/** What is no exchange has nobody on the other side. */
function selfRecord(id: string, at: number) {
  return {
    id,
    time: new Date(at).toISOString(),
    agent: null,
    peer: 'self',
    door: 'self',
    protocol: 'none',
    swaps: [],
    bytesUp: 0,
    bytesDown: 0,
    duration: 0,
  } as const
}
