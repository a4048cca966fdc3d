import type { Cancellation } from '#base/async.ts'
import { codeOf, errorTable, ProxyError } from '#base/errors.ts'
import type { ErrorCode } from '#base/errors.ts'
import { decide } from '#policy/decide.ts'
import type { Denial } from '#policy/types.ts'
import { admit } from './admit.ts'
import { answerTokenCall, askOf, tokenEndpointOf } from './answer.ts'
import { deliver } from './deliver.ts'
import { findInBody } from './fill.ts'
import { identify } from './identify.ts'
import { meter, voiceOf } from './meter.ts'
import type { Client } from '#contracts/reply.ts'
import type { Ports } from './ports.ts'
import type { RequestArrival, RequestBody } from '#contracts/request.ts'
import { refuse } from './respond.ts'
import { nothingFound, search } from './search.ts'
import { answerSelf, asksSelf } from './self.ts'
import { settle, trace } from './settle.ts'
import { upload } from './upload.ts'
import type { Trace } from './settle.ts'
import type { CutBy, Outcome } from '#contracts/audit-record.ts'
import type { Snapshot } from '#contracts/snapshot.ts'

/**
 * The journey of one request: every door leads here, and nothing returns to an agent without passing `settle`.
 * Never rejects.
 */
export async function exchange(
  arrival: RequestArrival,
  body: RequestBody | undefined,
  client: Client,
  cut: Cancellation<CutBy>,
  ports: Ports,
): Promise<void> {
  // Nothing begins that could not be recorded, and its refusal is not recorded either.
  if (ports.audit.refuses) return unrecorded(arrival, client, ports)
  const seen = trace(arrival, ports)
  let refusal: Denial | undefined
  const leave = ports.live.enter({
    run: () => seen.exchange?.run?.id,
    redecide: (snapshot) => redecide(arrival, snapshot, ports),
    cut: (by, denial) => {
      refusal = denial
      cut.cut(by)
    },
  })
  let outcome: Outcome
  try {
    outcome = await pass(arrival, body, client, cut, seen, ports)
  } catch (error) {
    outcome = cut.by ? aborted(cut.by, refusal ?? seen.ended, client) : broken(error, seen)
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
  cut: Cancellation<CutBy>,
  seen: Trace,
  ports: Ports,
): Promise<Outcome> {
  const { signal } = cut
  // 2 identify: who speaks, under which snapshot
  const exchange = identify(arrival, ports.policies.current(), ports)
  if (exchange.kind === 'deny') return denied(exchange)
  seen.exchange = exchange
  const turn = ports.turns?.take(exchange.agent.id)
  if (turn) await turn
  if (asksSelf(arrival.head)) return answerSelf(exchange, arrival.head, client, seen, ports)

  // 3 decide: may it
  const verdict = decide(exchange.snapshot.policy, exchange.agent, askOf(exchange.snapshot, arrival.head))
  seen.rule = verdict.rule
  if (verdict.kind === 'deny') return denied(verdict)
  seen.wouldDeny = verdict.wouldDeny

  // 4 admit: with what; an agent's own token call ends here
  const admission = admit(verdict, exchange, arrival.head)
  const tokens = verdict.rule && tokenEndpointOf(exchange, verdict.rule.credentials, arrival.head)
  const found = search(arrival, exchange, verdict, admission, seen, ports)
  if (found.kind === 'deny') return denied(found)
  if (tokens) {
    const refusal = await answerTokenCall(
      tokens,
      arrival.head,
      body && upload(body, seen, ports.vault.realValues()),
      client,
      seen,
      ports.logins,
    )
    return refusal ? denied(refusal) : { kind: 'replied' }
  }

  // and held to its budgets, where the rule has a meter
  const { rule } = verdict
  using room = body && ports.memory.open(exchange.agent.id)
  const watched = body && room && { ...upload(body, seen, ports.vault.realValues()), room }
  const paid = rule?.meter ? await meter({ arrival, exchange, rule, body: watched, client, cut, seen, ports }) : undefined
  if (paid?.kind === 'unpaid') {
    if (exchange.agent.mode === 'enforce') return denied(paid.denial)
    seen.wouldDeny ??= paid.denial
  }
  const metered = paid?.kind === 'metered' ? paid : undefined

  // 5 to 7 grant, swap, send: the real values go out, and the reply streams back as it comes
  let fault: ErrorCode | undefined
  try {
    signal.throwIfAborted()
    const given = seen.wouldDeny ? [] : admission.credentials
    const look = (each: RequestBody) => findInBody(arrival.head, each, { ...admission, credentials: given, rule }, client)
    const whole = watched && (await look(paid?.body ?? watched))
    if (whole?.refused) {
      seen.credential = whole.refused.credential
      if (exchange.agent.mode === 'enforce') return denied(whole.refused.denial)
      seen.wouldDeny ??= whole.refused.denial
    }
    const { guarded } = admission
    // What the policy would refuse passes without any credential.
    const placed = paid?.kind === 'unpaid' ? nothingFound : found
    await deliver(
      { arrival, found: placed, whole, look, guarded, client, signal, seen, metered, ports },
      whole?.body ?? paid?.body ?? watched,
    )
    return { kind: 'replied' }
  } catch (error) {
    fault = cut.by ? 'client_closed' : codeOf(error)
    throw error
  } finally {
    if (metered) {
      seen.bill = await metered.settle(fault)
      seen.ended = metered.denial
      seen.limits = metered.limits
    }
  }
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
  const exchange = identify(arrival, snapshot, ports)
  if (exchange.kind === 'deny') return exchange
  const verdict = decide(exchange.snapshot.policy, exchange.agent, askOf(exchange.snapshot, arrival.head))
  return verdict.kind === 'deny' ? verdict : undefined
}

function tell(outcome: Outcome, client: Client, seen: Trace): void {
  if (outcome.kind === 'replied') return
  // A reply that its budget ended was ended in its provider's own words.
  if (outcome.kind === 'aborted') return outcome.by === 'budget' ? undefined : client.abort()
  const { code, reason } = outcome.kind === 'denied' ? outcome.denial : { code: outcome.code, reason: outcome.detail ?? '' }
  const arrival = seen.arrival as RequestArrival
  const { head } = arrival
  const status = refuse(
    client,
    {
      code,
      reason,
      requestId: seen.id,
      agent: seen.exchange?.agent.id,
      rule: seen.rule?.id,
      host: head.host,
      method: head.method,
      path: seen.shownPath ?? head.path,
      resetsAt: outcome.kind === 'denied' ? outcome.denial.resetsAt : undefined,
      asking: head,
    },
    voiceOf(seen.rule, arrival),
  )
  seen.status ??= status
}

function unrecorded({ head }: RequestArrival, client: Client, ports: Ports): void {
  const { host, method } = head
  const reason = 'the audit takes no records'
  refuse(client, { code: 'audit_unavailable', reason, requestId: ports.ids.next(), host, method, path: '(hidden)', asking: head })
}

function denied(denial: Denial): Outcome {
  return { kind: 'denied', denial }
}

/** What the policy no longer allows is told like any denial, as long as nothing was said yet. */
function aborted(by: CutBy, refusal: Denial | undefined, client: Client): Outcome {
  if (!refusal || client.begun) return { kind: 'aborted', by }
  if (by === 'budget') return denied(refusal)
  return by === 'policy' ? denied({ ...refusal, code: 'policy_changed' }) : { kind: 'aborted', by }
}

/** What the agent broke or carried in its body is refused; the rest failed. A library's message may quote what it was given. */
function broken(error: unknown, seen: Trace): Outcome {
  const code = codeOf(error)
  const detail = error instanceof ProxyError ? error.message : errorTable[code].message
  if (errorTable[code].fault !== 'agent') return { kind: 'failed', code, detail }
  return denied({ kind: 'deny', code, reason: detail, ...(seen.rule ? { rule: seen.rule } : {}) })
}
