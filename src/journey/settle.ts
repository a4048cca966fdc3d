import { isoTime } from '#base/clock.ts'
import type { Clock } from '#base/clock.ts'
import type { ErrorCode } from '#base/errors.ts'
import type { Swap } from '#credentials/types.ts'
import type { Bill } from '#metering/reservation.ts'
import { askedService } from '#policy/git.ts'
import type { Denial, Rule } from '#policy/types.ts'
import type { Ports } from './ports.ts'
import type { Arrival, BrokenArrival } from '#contracts/request.ts'
import type { AuditRecord, MeteredUsage, Outcome, Unpriced } from '#contracts/audit-record.ts'
import type { Exchange } from '#contracts/snapshot.ts'

/** What the meter of that name found. */
export interface MeteredBill extends Bill {
  readonly meter: string
}

/** What is learned about an exchange on its way; becomes its AuditRecord in step 8. */
export interface Trace {
  readonly id: string
  readonly arrival: Arrival
  readonly startedAt: number
  readonly startedTime: number
  exchange: Exchange | undefined
  rule: Rule | undefined
  wouldDeny: Denial | undefined
  swaps: readonly Swap[]
  scrubbed: Readonly<Record<string, number>> | undefined
  credential: string | undefined
  answered: true | undefined
  captured: true | undefined
  /** How far the limits of a subscription are used. */
  limits: Readonly<Record<string, number>> | undefined
  /** Why its budget ended it. */
  ended: Denial | undefined
  /** The budget that refused or ended it. */
  budget: string | undefined
  /** Milliseconds for which it waited for room in its budgets. */
  waited: number | undefined
  /** The model that has no price. */
  unpriced: Unpriced | undefined
  /** What a metered request cost. */
  bill: MeteredBill | undefined
  status: number | undefined
  /** In place of a path that carries a real value. */
  shownPath: string | undefined
  upstream: string | undefined
  repliedAt: number | undefined
  bytesUp: number
  bytesDown: number
}

/** Opens the trace of one arrival. */
export function trace(arrival: Arrival, ports: Pick<Ports, 'clock' | 'ids'>): Trace {
  return {
    id: ports.ids.next(),
    arrival,
    startedAt: ports.clock.elapsed(),
    startedTime: ports.clock.now(),
    exchange: undefined,
    rule: undefined,
    wouldDeny: undefined,
    swaps: [],
    scrubbed: undefined,
    credential: undefined,
    answered: undefined,
    captured: undefined,
    limits: undefined,
    ended: undefined,
    budget: undefined,
    waited: undefined,
    unpriced: undefined,
    bill: undefined,
    status: undefined,
    shownPath: undefined,
    upstream: undefined,
    repliedAt: undefined,
    bytesUp: 0,
    bytesDown: 0,
  }
}

/** Step 8: the one record of what happened. Metrics are folded from it, so the two cannot disagree. */
export function settle(seen: Trace, outcome: Outcome, event: AuditRecord['event'], clock: Clock): AuditRecord {
  const { arrival } = seen
  const now = clock.elapsed()
  const { code, reason } = explained(outcome, seen)
  const { protocol, method, scheme, host, port, path, git } = described(arrival, seen.shownPath)
  // Named one by one: an object that is spread into the middle of another costs 5 µs, and every request pays.
  return {
    id: seen.id,
    time: isoTime(seen.startedTime),
    type: arrival.kind === 'broken' ? typeOfBroken(arrival) : arrival.kind,
    event,
    agent: seen.exchange?.agent.id ?? null,
    peer: arrival.peer.address,
    door: arrival.door,
    protocol,
    method,
    scheme,
    host,
    port,
    path,
    git,
    rule: seen.rule?.id,
    verdict: verdict(outcome, seen),
    code,
    reason,
    swaps: seen.swaps,
    scrubbed: seen.scrubbed,
    credential: seen.credential,
    answered: seen.answered,
    captured: seen.captured,
    budget: seen.budget,
    waited: seen.waited === undefined ? undefined : round(seen.waited),
    limits: seen.limits && Object.keys(seen.limits).length > 0 ? seen.limits : undefined,
    usage: seen.bill && usageOf(seen.bill),
    unpriced: seen.unpriced,
    status: seen.status,
    bytesUp: seen.bytesUp,
    bytesDown: seen.bytesDown,
    duration: round(now - seen.startedAt),
    ttfb: seen.repliedAt === undefined ? undefined : round(seen.repliedAt - seen.startedAt),
    upstream: seen.upstream,
    parent: arrival.parent,
    runId: seen.exchange?.runId ?? ('runId' in arrival ? arrival.runId : undefined),
    traceId: 'traceId' in arrival ? arrival.traceId : undefined,
    policyHash: seen.exchange?.snapshot.hash,
  }
}

function typeOfBroken({ protocol, code }: BrokenArrival): 'tls' | 'request' {
  return protocol === 'tls' || code.startsWith('tls_') ? 'tls' : 'request'
}

function described(
  arrival: Arrival,
  shownPath: string | undefined,
): Pick<AuditRecord, 'protocol' | 'method' | 'scheme' | 'host' | 'port' | 'path' | 'git'> {
  switch (arrival.kind) {
    case 'request':
    case 'upgrade': {
      const { method, scheme, host, port, path } = arrival.head
      return {
        protocol: arrival.kind === 'upgrade' ? 'websocket' : arrival.protocol,
        method,
        scheme,
        host,
        port,
        path: shownPath ?? path,
        git: askedService(path, arrival.head.query),
      }
    }
    case 'tunnel': {
      const { scheme, host, port } = arrival.target
      return { protocol: 'tcp', scheme, host, port }
    }
    case 'broken':
      return { protocol: arrival.protocol, host: arrival.host }
    default:
      return arrival satisfies never
  }
}

function verdict(outcome: Outcome, seen: Trace): AuditRecord['verdict'] {
  if (outcome.kind === 'denied') return 'deny'
  if (outcome.kind === 'failed') return 'error'
  return seen.wouldDeny ? 'would_deny' : 'allow'
}

function explained(outcome: Outcome, seen: Trace): { code: ErrorCode | undefined; reason: string | undefined } {
  switch (outcome.kind) {
    case 'denied':
      return { code: outcome.denial.code, reason: outcome.denial.reason }
    case 'failed':
      return { code: outcome.code, reason: outcome.detail }
    case 'aborted':
      return { code: aborted[outcome.by], reason: seen.arrival.kind === 'broken' ? seen.arrival.detail : undefined }
    case 'replied':
      return { code: seen.wouldDeny?.code, reason: seen.wouldDeny?.reason }
    default:
      return outcome satisfies never
  }
}

const aborted = {
  agent: 'client_closed',
  policy: 'policy_changed',
  budget: 'budget_exhausted',
  shutdown: 'shutting_down',
} as const

function usageOf({ meter, usage, exact, basis, cost, model }: MeteredBill): MeteredUsage {
  return {
    meter,
    model: model ?? 'other',
    input: usage?.tokens.input,
    cache_read: usage?.tokens.cache_read,
    cache_write: usage?.tokens.cache_write,
    output: usage?.tokens.output,
    reasoning: usage?.reasoning,
    usd: cost === undefined ? undefined : cost / 1e9,
    estimated: exact ? undefined : true,
    charged: basis,
  }
}

/** Microsecond precision is enough, and shorter to read. */
function round(milliseconds: number): number {
  return Math.round(milliseconds * 1000) / 1000
}

/** The record of a call the proxy makes for itself: no agent, no rule, no door of anyone's. */
export function settleOwn(
  call: {
    readonly id: string
    readonly credential: string
    readonly endpoint: { readonly host: string; readonly port: number }
    readonly method: string
    readonly path: string
  },
  clock: Clock,
): (ended: {
  readonly status?: number
  readonly code?: ErrorCode
  readonly upstream?: string
  readonly bytesUp: number
  readonly bytesDown: number
}) => AuditRecord {
  const startedAt = clock.elapsed()
  const time = new Date(clock.now()).toISOString()
  const { id, credential, endpoint, method, path } = call
  return (ended) => ({
    id,
    time,
    type: 'request',
    event: 'exchange',
    agent: null,
    peer: 'self',
    door: 'self',
    protocol: 'http/1.1',
    method,
    scheme: 'https',
    host: endpoint.host,
    port: endpoint.port,
    path,
    verdict: ended.code === undefined ? 'allow' : 'error',
    swaps: [],
    credential,
    duration: round(clock.elapsed() - startedAt),
    ...ended,
  })
}
