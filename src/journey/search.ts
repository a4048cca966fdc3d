import { findStubs } from '#credentials/swap/swap.ts'
import type { FoundStubs } from '#credentials/swap/swap.ts'
import type { Allowance, Denial } from '#policy/types.ts'
import type { Admission } from './admit.ts'
import type { Ports } from './ports.ts'
import type { Trace } from './settle.ts'
import type { Exchange } from '#contracts/snapshot.ts'
import type { RequestArrival } from '#contracts/request.ts'

/** A request that goes out without any credential. */
export const nothingFound: FoundStubs = { kind: 'found', placements: [] }

/** What the head carries: stubs in their places, and nothing that an agent must not hold. */
export function search(
  arrival: RequestArrival,
  { agent, snapshot }: Exchange,
  verdict: Allowance,
  { credentials, foreign }: Admission,
  seen: Trace,
  ports: Ports,
): FoundStubs | Denial {
  const real = ports.vault.realValues().findInHead(arrival.head)
  if (real !== undefined) {
    seen.credential = real
    return { kind: 'deny', code: 'real_value_seen', reason: `the request carries the real value of ${real}` }
  }
  const found = findStubs({
    head: arrival.head,
    agent: agent.id,
    credentials,
    index: snapshot.stubs,
    foreign,
    grants: !verdict.wouldDeny,
  })
  if (found.kind === 'found') {
    seen.credential ??= found.unused
    return found
  }
  seen.credential = found.credential
  const denial: Denial = { kind: 'deny', code: found.code, reason: found.detail, ...(verdict.rule ? { rule: verdict.rule } : {}) }
  if (agent.mode === 'enforce') return denial
  seen.wouldDeny ??= denial
  return { kind: 'found', placements: [] }
}
