import type { Cancellation } from '#base/async.ts'
import { codeOf, errorTable, ProxyError } from '#base/errors.ts'
import { findStubs, place } from '#credentials/swap.ts'
import type { Found } from '#credentials/swap.ts'
import { decide } from '#policy/decide.ts'
import type { Allowance, Denial } from '#policy/types.ts'
import { admit } from './admit.ts'
import type { Admission } from './admit.ts'
import { requestHeaders } from './headers.ts'
import { identify } from './identify.ts'
import type { Client, Outbound, Ports, RequestBody } from './ports.ts'
import { Relay } from './relay.ts'
import { refuse } from './respond.ts'
import { settle, trace } from './settle.ts'
import { upload } from './upload.ts'
import type { Trace } from './settle.ts'
import type { Exchange, Outcome, RequestArrival, Snapshot } from './types.ts'

/**
 * The journey of one request: every door leads here, and nothing returns to an agent without passing `settle`.
 * Never rejects.
 */
export async function run(
  arrival: RequestArrival,
  body: RequestBody | undefined,
  client: Client,
  cut: Cancellation<'agent' | 'policy' | 'shutdown'>,
  ports: Ports,
): Promise<void> {
  const seen = trace(arrival, ports)
  let refusal: Denial | undefined
  const leave = ports.live.enter({
    redecide: (snapshot) => redecide(arrival, snapshot, ports),
    cut: (by, denial) => {
      refusal = denial
      cut.cut(by)
    },
  })
  let outcome: Outcome
  try {
    outcome = await pass(arrival, body, client, cut.signal, seen, ports)
  } catch (error) {
    outcome = cut.by ? aborted(cut.by, refusal, client) : broken(error, seen)
    // A reply that can no longer be passed on is of no use upstream either.
    cut.stop()
  }
  leave()
  // A refusal shows the path, and the path may be where the real value stands.
  if (outcome.kind !== 'replied' && showsRealValue(arrival, ports)) seen.shownPath = '(hidden)'
  tell(outcome, client, seen)
  ports.audit.write(settle(seen, outcome, arrival.kind === 'upgrade' && seen.status === 101 ? 'close' : 'exchange', ports.clock))
}

/** Steps 2 to 7. A denial is a value and goes straight to the end; an exception is a fault. */
async function pass(
  arrival: RequestArrival,
  body: RequestBody | undefined,
  client: Client,
  signal: AbortSignal,
  seen: Trace,
  ports: Ports,
): Promise<Outcome> {
  // 2 identify: who speaks, under which snapshot
  const exchange = identify(arrival, ports.policies.current(), ports.vault)
  if (exchange.kind === 'deny') return denied(exchange)
  seen.exchange = exchange

  // 3 decide: may it
  const verdict = decide(exchange.snapshot.policy, exchange.agent, arrival.head)
  seen.rule = verdict.rule
  if (verdict.kind === 'deny') return denied(verdict)
  seen.wouldDeny = verdict.wouldDeny

  // 4 admit: with what
  const admission = admit(verdict, exchange, arrival.head)
  const found = search(arrival, exchange, verdict, admission, seen, ports)
  if (found.kind === 'deny') return denied(found)

  // 5 grant: the real values behind the stubs that were found
  const grants = await Promise.all(found.placements.map(({ credential }) => ports.vault.grant(credential)))

  // 6 swap: stubs out, real values in
  const placed = place(arrival.head, found.placements, grants)
  seen.swaps = placed.swaps
  const scrub = ports.vault.scrub(admission.guarded)
  const outbound: Outbound = {
    head: { ...arrival.head, query: placed.query },
    headers: ['host', hostHeader(arrival), ...requestHeaders(placed.headers, { decode: scrub !== undefined })],
    credentials: found.placements.map(({ credential }) => credential.id),
    decode: scrub !== undefined,
    upgrade: arrival.kind === 'upgrade',
  }

  // 7 send: the reply streams back through the scrubber as it comes
  signal.throwIfAborted()
  client.proceed()
  const relay = new Relay(client, seen, { clock: ports.clock, bodyless: arrival.head.method === 'HEAD', scrub })
  try {
    const sent = await ports.upstream.send(outbound, body && upload(body, seen, ports.vault.realValues()), relay, signal)
    seen.upstream = sent.address
    if (!sent.upgraded) return { kind: 'replied' }
    seen.status = 101
    ports.audit.write(settle(seen, { kind: 'replied' }, 'open', ports.clock))
    const relayed = await client.relay(relay.upgraded(sent.upgraded), signal)
    seen.bytesUp = relayed.bytesUp
    seen.bytesDown = relayed.bytesDown
    if (signal.aborted) throw new ProxyError('client_closed')
    return { kind: 'replied' }
  } finally {
    relay.report()
  }
}

/** What the head carries: stubs in their places, and nothing that an agent must not hold. */
function search(
  arrival: RequestArrival,
  { agent, snapshot }: Exchange,
  verdict: Allowance,
  { credentials, foreign }: Admission,
  seen: Trace,
  ports: Ports,
): Found | Denial {
  const real = ports.vault.realValues().findInHead(arrival.head)
  if (real !== undefined) {
    seen.credential = real
    return { kind: 'deny', code: 'real_value_seen', reason: `the request carries the real value of ${real}` }
  }
  const found = findStubs({ head: arrival.head, agent: agent.id, credentials, index: snapshot.stubs, foreign, grants: !verdict.wouldDeny })
  if (found.kind === 'found') return found
  seen.credential = found.credential
  const denial: Denial = { kind: 'deny', code: found.code, reason: found.detail, ...(verdict.rule ? { rule: verdict.rule } : {}) }
  if (agent.mode === 'enforce') return denial
  seen.wouldDeny ??= denial
  return { kind: 'found', placements: [] }
}

/** Whether the path must not be shown; also when the vault cannot tell. */
function showsRealValue({ head }: RequestArrival, { vault }: Ports): boolean {
  try {
    return vault.realValues().find(head.path) !== undefined
  } catch {
    return true
  }
}

/** Would this exchange still be let through? Asked of what runs long, when the policy has changed. */
function redecide(arrival: RequestArrival, snapshot: Snapshot, ports: Ports): Denial | undefined {
  const exchange = identify(arrival, snapshot, ports.vault)
  if (exchange.kind === 'deny') return exchange
  const verdict = decide(snapshot.policy, exchange.agent, arrival.head)
  return verdict.kind === 'deny' ? verdict : undefined
}

function tell(outcome: Outcome, client: Client, seen: Trace): void {
  if (outcome.kind === 'replied') return
  if (outcome.kind === 'aborted') return client.abort()
  const { code, reason } = outcome.kind === 'denied' ? outcome.denial : { code: outcome.code, reason: outcome.detail ?? '' }
  const { head } = seen.arrival as RequestArrival
  const status = refuse(client, {
    code,
    reason,
    requestId: seen.id,
    agent: seen.exchange?.agent.id,
    rule: seen.rule?.id,
    host: head.host,
    method: head.method,
    path: seen.shownPath ?? head.path,
  })
  seen.status ??= status
}

function denied(denial: Denial): Outcome {
  return { kind: 'denied', denial }
}

/** What the policy no longer allows is told like any denial, as long as nothing was said yet. */
function aborted(by: 'agent' | 'policy' | 'shutdown', refusal: Denial | undefined, client: Client): Outcome {
  if (by !== 'policy' || !refusal || client.begun) return { kind: 'aborted', by }
  return denied({ ...refusal, code: 'policy_changed' })
}

/** What the agent broke or carried in its body is refused; the rest failed. A library's message may quote what it was given. */
function broken(error: unknown, seen: Trace): Outcome {
  const code = codeOf(error)
  const detail = error instanceof ProxyError ? error.message : errorTable[code].message
  if (errorTable[code].fault !== 'agent') return { kind: 'failed', code, detail }
  return denied({ kind: 'deny', code, reason: detail, ...(seen.rule ? { rule: seen.rule } : {}) })
}

function hostHeader({ head: { scheme, host, port } }: RequestArrival): string {
  return port === (scheme === 'https' ? 443 : 80) ? host : `${host}:${port}`
}

