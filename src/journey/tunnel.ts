import type { Cancellation } from '#base/async.ts'
import { decideHost } from '#policy/decide.ts'
import type { Denial } from '#policy/types.ts'
import { identify } from './identify.ts'
import type { Ports } from './ports.ts'
import type { Relayed } from '#contracts/reply.ts'
import { refusalReply } from './respond.ts'
import type { RefusalReply } from './respond.ts'
import { selfHost } from './self.ts'
import { settle, trace } from './settle.ts'
import type { Trace } from './settle.ts'
import type { BrokenArrival, TunnelArrival } from '#contracts/request.ts'
import type { CutBy, Outcome } from '#contracts/audit-record.ts'
import type { Snapshot } from '#contracts/snapshot.ts'

export type Cut = Cancellation<CutBy>

/** Steps 2 and 3 for what is known by its host only: a CONNECT, or an SNI. */
export type HostPass =
  | { readonly kind: 'inspect' | 'splice'; readonly tunnel: Tunnel; readonly agent: string }
  | { readonly kind: 'deny'; readonly denial: Denial; readonly agent: string | undefined; readonly tunnel: Tunnel }

/**
 * The denial of a tunnel that opens all the same, so that its client can read why: clients show the body of a reply and
 * nothing of a refused CONNECT. One record: that of the first request inside, or this one when none comes.
 */
export class TunnelRefusal {
  /** `undefined`: nobody that the policy knows. */
  readonly agent: string | undefined
  readonly #tunnel: Tunnel
  readonly #denial: Denial
  #reply: RefusalReply | undefined
  #asked = false

  constructor({ tunnel, denial, agent }: Extract<HostPass, { readonly kind: 'deny' }>) {
    this.agent = agent
    this.#tunnel = tunnel
    this.#denial = denial
  }

  /** A request came inside: the journey refuses it and writes the record. */
  ask(): void {
    this.#asked = true
  }

  /** Refuses what is no request, or never came. Records the denial the first time. */
  deny(): RefusalReply {
    return (this.#reply ??= this.#tunnel.deny(this.#denial, !this.#asked))
  }
}

/** May this agent open a connection to this host, and may we look inside? */
export function judgeTunnel(arrival: TunnelArrival, ports: Ports): HostPass {
  const seen = trace(arrival, ports)
  const tunnel = new Tunnel(seen, ports)
  if (ports.audit.refuses) {
    const denial = { kind: 'deny', code: 'audit_unavailable', reason: 'the audit takes no records' } as const
    return { kind: 'deny', denial, agent: undefined, tunnel }
  }
  const who = identify(arrival, ports.policies.current(), ports)
  if (who.kind === 'deny') return { kind: 'deny', denial: who, agent: undefined, tunnel }
  seen.exchange = who
  if (arrival.target.host === selfHost) return { kind: 'inspect', agent: who.agent.id, tunnel }
  const verdict = decideHost(who.snapshot.policy, who.agent, arrival.target.host, arrival.target.port)
  seen.rule = verdict.rule
  if (verdict.kind === 'deny') return { kind: 'deny', denial: verdict, agent: who.agent.id, tunnel }
  if (verdict.kind === 'inspect') seen.wouldDeny = verdict.wouldDeny
  return { kind: verdict.kind, agent: who.agent.id, tunnel }
}

/** The records of one tunnel: a denial is one, what opens also closes. */
export class Tunnel {
  readonly #seen: Trace
  readonly #ports: Ports

  constructor(seen: Trace, ports: Ports) {
    this.#seen = seen
    this.#ports = ports
  }

  get id(): string {
    return this.#seen.id
  }

  /** Records a denial and answers what a client that speaks HTTP can be told. `record: false`: another record tells of it. */
  deny(denial: Denial, record = true): RefusalReply {
    const arrival = this.#seen.arrival as TunnelArrival
    const reply = refusalReply({
      code: denial.code,
      reason: denial.reason,
      requestId: this.#seen.id,
      agent: this.#seen.exchange?.agent.id,
      rule: denial.rule?.id,
      host: arrival.target.host,
      method: 'CONNECT',
    })
    this.#seen.status = reply.status
    if (record) this.#write({ kind: 'denied', denial }, 'exchange')
    return reply
  }

  open(): void {
    this.#write({ kind: 'replied' }, 'open')
  }

  close(outcome: Outcome, relayed: Relayed, upstream?: string): void {
    this.#seen.bytesUp = relayed.bytesUp
    this.#seen.bytesDown = relayed.bytesDown
    this.#seen.upstream = upstream
    this.#write(outcome, 'close')
  }

  /** Enters the tunnel among what is re-decided when the policy changes. The returned function takes it out again. */
  live(cut: Cut): () => void {
    const arrival = this.#seen.arrival as TunnelArrival
    return this.#ports.live.enter({
      run: () => this.#seen.exchange?.run?.id,
      redecide: (snapshot: Snapshot) => {
        const who = identify(arrival, snapshot, this.#ports)
        if (who.kind === 'deny') return who
        const verdict = decideHost(who.snapshot.policy, who.agent, arrival.target.host, arrival.target.port)
        return verdict.kind === 'deny' ? verdict : undefined
      },
      cut: (by) => cut.cut(by),
    })
  }

  /** Has the connection closed when the run it belongs to ends. The returned function calls that off. */
  tie(close: () => void): () => void {
    const run = this.#seen.exchange?.run?.id
    return run === undefined ? () => {} : this.#ports.live.tie(run, close)
  }

  #write(outcome: Outcome, event: 'exchange' | 'open' | 'close'): void {
    this.#ports.audit.write(settle(this.#seen, outcome, event, this.#ports.clock))
  }
}

/**
 * Records what could not be read into a request; answers what can be told, if there is still someone to tell. A client that
 * left (`client_closed`) was denied nothing.
 */
export function recordBroken(arrival: BrokenArrival, ports: Ports): RefusalReply {
  const seen = trace(arrival, ports)
  const who = identify(arrival, ports.policies.current(), ports)
  if (who.kind === 'agent') seen.exchange = who
  const { code, detail } = arrival
  const reply = refusalReply({ code, reason: detail, requestId: seen.id, agent: seen.exchange?.agent.id, host: arrival.host })
  const left = code === 'client_closed'
  const outcome: Outcome = left
    ? { kind: 'aborted', by: 'agent' }
    : { kind: 'denied', denial: { kind: 'deny', code, reason: detail } }
  seen.status = left ? undefined : reply.status
  ports.audit.write(settle(seen, outcome, 'exchange', ports.clock))
  return reply
}
