/**
 * policy-tools/ answers what an operator asks about policies: do they hold (test), what should they say (learn), what
 * would have changed (replay, diff), what did another proxy say (import), how do they look (fmt). No I/O: cli/ reads and
 * writes. Its neighbours: config/ loads the Snapshot, policy/ and credentials/ decide as they do for the proxy.
 */
import { parseAddress } from '#base/address.ts'
import type { ErrorCode } from '#base/errors.ts'
import { parseHost } from '#base/host.ts'
import { explainMeter } from '#config/explain-cost.ts'
import { sharedAddress } from '#config/explain.ts'
import { findStubs } from '#credentials/swap/swap.ts'
import { admit } from '#journey/admit.ts'
import { askOf, tokenEndpointOf } from '#journey/answer.ts'
import { asksSelf } from '#journey/self.ts'
import type { RawHeaders, RequestHead } from '#contracts/request.ts'
import type { Snapshot } from '#contracts/snapshot.ts'
import type { Connection } from '#listeners/connection.ts'
import { screen } from '#listeners/head.ts'
import { decide, decideHost } from '#policy/decide.ts'
import type { Agent, Denial, Rule } from '#policy/types.ts'

/** A request as a test or a tool writes it. */
export interface Request {
  readonly method: string
  readonly url: string
  /** Flat, as it would come over the wire; Host is added. */
  readonly headers: RawHeaders
}

/** What the proxy does with a request, or with a name that is asked for before there is a request. */
export interface Judgment {
  readonly verdict: 'allow' | 'deny' | 'would_deny'
  /** Of a name that may be reached: whether its connections are looked into. */
  readonly door?: 'inspect' | 'splice'
  readonly code: ErrorCode | undefined
  readonly reason: string | undefined
  readonly rule: Rule | undefined
  /** Ids of the credentials that are swapped in; of a request that carries no stub: those that its rule offers it. */
  readonly credentials: readonly string[]
  /** The provider whose usage is counted; `undefined`: the request costs nothing. */
  readonly meter: string | undefined
}

/**
 * Judges a request as the proxy would: the screen of the listeners, `decide`, `findStubs` and the meter, in the order of the
 * journey. Real values, bodies and budgets are not known here.
 */
export function judge(snapshot: Snapshot, agent: Agent, request: Request): Judgment | { readonly problem: string } {
  const parts = /^(https?):\/\/([^/?#]*)(.*)$/s.exec(request.url)
  if (!parts) return { problem: `${JSON.stringify(request.url)} is not an http or https URL` }
  const [, scheme, authority = '', target = ''] = parts
  const screened = screen(
    {
      version: '1.1',
      method: request.method,
      target: target.startsWith('/') ? target : `/${target}`,
      headers: ['host', authority, ...request.headers],
    },
    scheme === 'http' ? plainConnection : tlsConnection,
  )
  if (screened.kind === 'refused') return refusal({ kind: 'deny', code: screened.code, reason: screened.detail })
  const nobody = sharedBy(snapshot, agent)
  if (nobody) return refusal(nobody)
  return judgeHead(snapshot, agent, screened.head)
}

/** Judges what DNS, SNI and CONNECT ask: may this agent reach this host at all? */
export function judgeName(snapshot: Snapshot, agent: Agent, name: string): Judgment | { readonly problem: string } {
  const host = parseHost(name)
  if (!host) return { problem: `${JSON.stringify(name)} is not a plain host name` }
  const nobody = sharedBy(snapshot, agent)
  if (nobody) return refusal(nobody)
  const verdict = decideHost(snapshot.policy, agent, host)
  if (verdict.kind === 'deny') return refusal(verdict)
  if (verdict.kind === 'inspect' && verdict.wouldDeny) return wouldDeny(verdict.wouldDeny)
  const { kind: door, rule } = verdict
  return { verdict: 'allow', door, code: undefined, reason: undefined, rule, credentials: [], meter: undefined }
}

function judgeHead(snapshot: Snapshot, agent: Agent, head: RequestHead): Judgment {
  const nothing = { code: undefined, reason: undefined, credentials: [], meter: undefined }
  if (asksSelf(head)) return { verdict: 'allow', rule: undefined, ...nothing }
  const verdict = decide(snapshot.policy, agent, askOf(snapshot, head))
  if (verdict.kind === 'deny') return refusal(verdict)
  const exchange = { agent, snapshot }
  const { rule } = verdict
  const admission = admit(verdict, exchange, head)
  const found = findStubs({
    head,
    agent: agent.id,
    credentials: admission.credentials,
    index: snapshot.stubs,
    foreign: admission.foreign,
    grants: verdict.wouldDeny === undefined,
  })
  if (verdict.wouldDeny) return wouldDeny(verdict.wouldDeny)
  if (found.kind === 'refused')
    return inMode(agent, { kind: 'deny', code: found.code, reason: found.detail, ...(rule && { rule }) })
  const tokens = rule && tokenEndpointOf(exchange, rule.credentials, head)
  if (tokens && (tokens.length === 0 || head.method !== 'POST'))
    return refusal({ kind: 'deny', code: 'token_call_refused', reason: 'nothing answers this token call here', rule })
  if (tokens) return { verdict: 'allow', rule, ...nothing }
  const meter = explainMeter(rule, head)
  if (meter?.code) return inMode(agent, { kind: 'deny', code: meter.code, reason: meter.reason ?? '', ...(rule && { rule }) })
  const carried = [...new Set(found.placements.map(({ credential }) => credential.id))]
  return {
    verdict: 'allow',
    code: undefined,
    reason: undefined,
    rule,
    credentials: carried.length > 0 ? carried : admission.credentials.map(({ id }) => id),
    meter: meter && meter.kind !== 'free' ? meter.provider : undefined,
  }
}

/** A denial that report mode does not carry out. */
function inMode(agent: Agent, denial: Denial): Judgment {
  return agent.mode === 'report' ? wouldDeny(denial) : refusal(denial)
}

function wouldDeny({ code, reason, rule }: Denial): Judgment {
  return { verdict: 'would_deny', code, reason, rule, credentials: [], meter: undefined }
}

function refusal({ code, reason, rule }: Denial): Judgment {
  return { verdict: 'deny', code, reason, rule, credentials: [], meter: undefined }
}

const shared = new WeakMap<Snapshot, Map<string, Denial | undefined>>()

/** Whether every address of this agent is another's too, remembered for each agent of a snapshot. */
function sharedBy(snapshot: Snapshot, agent: Agent): Denial | undefined {
  let known = shared.get(snapshot)
  if (!known) shared.set(snapshot, (known = new Map()))
  if (!known.has(agent.id)) known.set(agent.id, sharedAddress(snapshot, agent))
  return known.get(agent.id)
}

function loopback(): Connection['peer'] {
  const address = parseAddress('127.0.0.1')
  if (!address) throw new Error('the loopback address is an address')
  return { address, port: 1 }
}

// The proxy door takes any authority: no SNI and no local port binds the request to one.
const tlsConnection: Connection = { door: 'proxy', peer: loopback(), scheme: 'https', bound: undefined, localPort: 0 }
const plainConnection: Connection = { ...tlsConnection, scheme: 'http' }
