/** Decides again what the audit has seen, under another policy: what would have changed, how often, and one example of each. */
import type { Host } from '#base/host.ts'
import { parseHost } from '#base/host.ts'
import { admit } from '#journey/admit.ts'
import { askOf as withAnswers } from '#journey/answer.ts'
import type { Snapshot } from '#contracts/snapshot.ts'
import { decide, decideHost } from '#policy/decide.ts'
import type { Agent, Ask, Denial, Rule } from '#policy/types.ts'
import type { Seen, Tallied } from './audit-lines.ts'
import { compare } from './generalise.ts'
import { askOf, urlOf } from './traffic.ts'

/** What came of a request, as far as the policy goes. */
export interface Fate {
  readonly verdict: 'allow' | 'deny' | 'would_deny'
  readonly code: string | undefined
  readonly rule: string | undefined
}

export interface Change {
  readonly agent: string
  readonly host: string
  readonly before: Fate
  readonly after: Fate
  count: number
  /** The first request of this kind. */
  readonly example: { readonly request: string; readonly id: string | undefined; readonly time: string | undefined }
}

/**
 * Refusals that follow from agent, host, method and path, which the audit has. Others follow from headers, bodies, balances or
 * the network: a request that was refused for one of those stays refused.
 */
const decidable: ReadonlySet<string | undefined> = new Set([
  'host_denied',
  'port_denied',
  'plain_denied',
  'request_denied',
  'rule_denied',
  'mints_secret',
  'agent_unknown',
])

/** Changes that are told apart; past it they are counted as one kind, `other`. */
const mostKinds = 10_000

export class Replay {
  /** Requests and connections that were decided again. */
  decided = 0
  changed = 0
  readonly #snapshot: Snapshot
  readonly #changes = new Map<string, Change>()

  constructor(snapshot: Snapshot) {
    this.#snapshot = snapshot
  }

  /** The most frequent first. */
  get changes(): readonly Change[] {
    return [...this.#changes]
      .toSorted(([one, { count }], [other, { count: another }]) => another - count || compare(one, other))
      .map(([, change]) => change)
  }

  add({ record, count }: Tallied): void {
    const { agent, host } = record
    if (agent === null || host === undefined || record.event === 'close') return
    const after = this.#decide(agent, record)
    if (after === undefined) return
    this.decided += count
    const before = fateOf(record)
    if (!differ(before, after)) return
    this.changed += count
    const key = [
      agent,
      host,
      record.method,
      before.verdict,
      before.code,
      before.rule,
      after.verdict,
      after.code,
      after.rule,
    ].join(' ')
    const known = this.#changes.get(key)
    if (known) known.count += count
    else if (this.#changes.size < mostKinds)
      this.#changes.set(key, { agent, host, before, after, count, example: exampleOf(record) })
  }

  /** `undefined`: it is nothing that a policy decides. */
  #decide(id: string, record: Seen): Fate | undefined {
    const { policy } = this.#snapshot
    const agent = policy.agents.get(id)
    if (record.type === 'tunnel') {
      const host = parseHost(record.host ?? '')
      if (!host) return undefined
      return agent ? this.#decideHost(agent, host, record.port) : unknownAgent
    }
    if (record.type !== 'request' && record.type !== 'upgrade') return undefined
    const ask = askOf(record)
    if (!ask) return undefined
    return agent ? this.#decideRequest(agent, ask, record) : unknownAgent
  }

  #decideHost(agent: Agent, host: Host, port: number | undefined): Fate {
    const verdict = decideHost(this.#snapshot.policy, agent, host, port)
    if (verdict.kind === 'deny') return denied(verdict)
    if (verdict.kind === 'inspect' && verdict.wouldDeny) return denied(verdict.wouldDeny, 'would_deny')
    return allowed(verdict.rule)
  }

  #decideRequest(agent: Agent, ask: Ask, { swaps, type }: Seen): Fate {
    const snapshot = this.#snapshot
    const verdict = decide(snapshot.policy, agent, withAnswers(snapshot, ask))
    if (verdict.kind === 'deny') return denied(verdict)
    if (verdict.wouldDeny) return denied(verdict.wouldDeny, 'would_deny')
    const { credentials } = admit(verdict, { agent, snapshot }, { ...ask, headers: [] })
    const lost = swaps.some((swap) => credentials.every(({ id }) => id !== swap.credential))
    if (lost && type !== 'tunnel')
      return { verdict: agent.mode === 'report' ? 'would_deny' : 'deny', code: 'stub_misplaced', rule: verdict.rule?.id }
    return allowed(verdict.rule)
  }
}

const unknownAgent: Fate = { verdict: 'deny', code: 'agent_unknown', rule: undefined }

function allowed(rule: Rule | undefined): Fate {
  return { verdict: 'allow', code: undefined, rule: rule?.id }
}

function denied({ code, rule }: Denial, verdict: Fate['verdict'] = 'deny'): Fate {
  return { verdict, code, rule: rule?.id }
}

/** What became of a request that failed or broke off is not the policy's doing: it was let through. */
function fateOf({ verdict, code, rule }: Seen): Fate {
  if (verdict === 'allow' || verdict === 'error') return { verdict: 'allow', code: undefined, rule }
  return { verdict, code, rule }
}

function differ(before: Fate, after: Fate): boolean {
  if (before.verdict !== 'allow' && !decidable.has(before.code)) return before.verdict !== 'deny' && after.verdict === 'deny'
  if (before.verdict !== after.verdict) return true
  return before.rule !== after.rule || (before.verdict !== 'allow' && before.code !== after.code)
}

function exampleOf(record: Seen): Change['example'] {
  const ask = askOf(record)
  const { id, time, host, port, type } = record
  return { request: ask ? `${ask.method} ${urlOf(ask)}` : `${type} ${host}:${port ?? 443}`, id, time }
}

/** `allow by rule api`, `deny by no rule (host_denied)`. */
export function fateText({ verdict, code, rule }: Fate): string {
  return `${verdict} by ${rule === undefined ? 'no rule' : `rule ${rule}`}${code === undefined ? '' : ` (${code})`}`
}

/** The report for people: two lines a change, then one line in sum. */
export function replayText({ changes, decided, changed }: Pick<Replay, 'changes' | 'decided' | 'changed'>): string {
  const lines = changes.flatMap(({ agent, host, before, after, count, example: { request, id, time } }) => [
    `${count.toLocaleString('en')} × ${agent} to ${host}: ${fateText(before)} → ${fateText(after)}`,
    `    such as ${request}${id === undefined ? '' : `, ${id}`}${time === undefined ? '' : ` at ${time}`}`,
  ])
  const sum = `${decided.toLocaleString('en')} requests decided again: ${changed.toLocaleString('en')} would end otherwise`
  return [...lines, sum].join('\n')
}
