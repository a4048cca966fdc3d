/** Compares two policies by the requests that they decide otherwise. */
import { admit } from '#journey/admit.ts'
import { askOf } from '#journey/answer.ts'
import type { Snapshot } from '#contracts/snapshot.ts'
import { decide, decideHost } from '#policy/decide.ts'
import { coversAgent } from '#policy/match.ts'
import type { Agent, Ask, Rule } from '#policy/types.ts'
import { compare } from './generalise.ts'
import { urlOf } from './traffic.ts'
import { asksOf, hostsOf } from './witnesses.ts'

/** Requests that both policies are asked at most; past it the comparison says that it is not whole. */
const mostAsks = 5_000_000

export interface Difference {
  readonly agents: readonly string[]
  readonly before: string
  readonly after: string
  /** A request that tells the two apart. */
  readonly witness: string
  /** How many requests at boundaries do. */
  readonly count: number
}

interface Found extends Omit<Difference, 'count'> {
  /** Numbers of the requests. */
  readonly asks: number[]
}

export interface PolicyDiff {
  readonly differences: readonly Difference[]
  /** Agents of one policy alone. */
  readonly added: readonly string[]
  readonly removed: readonly string[]
  readonly asked: number
  /** `false`: there are more boundaries than were asked at. */
  readonly whole: boolean
}

/** Every difference that a request at a boundary of the rules shows, in the order of the hosts. */
export function diffPolicies(before: Snapshot, after: Snapshot): PolicyDiff {
  const classes = classesOf(before, after)
  const found = new Map<string, Found>()
  let asked = 0
  let asks = 0
  let whole = true
  for (const host of hostsOf([before.policy, after.policy])) {
    const rules = [...before.policy.rulesFor(host), ...after.policy.rulesFor(host)]
    for (const ask of asksOf(host, rules)) {
      if (asked >= mostAsks) whole = false
      if (!whole) break
      const number = (asks += 1)
      for (const { agents, one, other } of classes) {
        asked += 1
        const was = outcome(before, one, ask)
        const is = outcome(after, other, ask)
        if (was.same === is.same) continue
        const key = [agents.join(), host, was.text, is.text].join(' ')
        const known = found.get(key)
        if (known) known.asks.push(number)
        else
          found.set(key, {
            agents,
            before: was.text,
            after: is.text,
            witness: `${ask.method} ${urlOf(ask)}${ask.query}`,
            asks: [number],
          })
      }
    }
  }
  const names = (snapshot: Snapshot) => [...snapshot.policy.agents.keys()]
  return {
    differences: joined([...found.values()]),
    added: names(after).filter((id) => !before.policy.agents.has(id)),
    removed: names(before).filter((id) => !after.policy.agents.has(id)),
    asked,
    whole,
  }
}

/** Agents of whom the same requests are decided otherwise in the same way stand together. */
function joined(found: readonly Found[]): readonly Difference[] {
  const alike = Map.groupBy(found, ({ before, after, asks }) => [before, after, ...asks].join(' '))
  return [...alike.values()].flatMap((group) => {
    const [first] = group
    if (!first) return []
    const { asks, ...rest } = first
    return [{ ...rest, agents: group.flatMap(({ agents }) => agents).toSorted(compare), count: asks.length }]
  })
}

interface AgentClass {
  readonly agents: readonly string[]
  readonly one: Agent
  readonly other: Agent
}

/** Agents that no rule and no credential of either policy tells apart are asked for once. */
function classesOf(before: Snapshot, after: Snapshot): readonly AgentClass[] {
  const pairs = [...before.policy.agents.values()].flatMap((one) => {
    const other = after.policy.agents.get(one.id)
    return other ? [{ one, other }] : []
  })
  const kinds = Map.groupBy(pairs, ({ one, other }) =>
    JSON.stringify(
      [
        [before, one],
        [after, other],
      ].map((each) => signatureOf(...(each as [Snapshot, Agent]))),
    ),
  )
  return [...kinds.values()].flatMap((kind) => {
    const [first] = kind
    return first ? [{ agents: kind.map(({ one }) => one.id).toSorted(compare), ...first }] : []
  })
}

function signatureOf({ policy, credentials }: Snapshot, agent: Agent): unknown {
  return [
    agent.mode,
    policy.rules.filter((rule) => coversAgent(rule, agent.id)).map(({ index }) => index),
    [...credentials.values()].filter(({ agents }) => !agents || agents.has(agent.id)).map(({ id }) => id),
  ]
}

/** `same`: equal where nothing that a request can notice differs; the name of a rule is nothing of that. */
function outcome(snapshot: Snapshot, agent: Agent, ask: Ask): { readonly same: string; readonly text: string } {
  const { policy } = snapshot
  const verdict = decide(policy, agent, askOf(snapshot, ask))
  if (verdict.kind === 'deny') return { same: `deny ${verdict.code}`, text: `deny by ${nameOf(verdict.rule)} (${verdict.code})` }
  const { wouldDeny, rule } = verdict
  if (wouldDeny)
    return { same: `would_deny ${wouldDeny.code}`, text: `would_deny by ${nameOf(wouldDeny.rule)} (${wouldDeny.code})` }
  const { credentials, foreign } = admit(verdict, { agent, snapshot }, { ...ask, headers: [] })
  const door = decideHost(policy, agent, ask.host, ask.port).kind
  const given = credentials.map(({ id }) => id)
  const extras = [
    given.length > 0 ? `credentials ${given.join(', ')}` : '',
    rule?.meter === undefined ? '' : `meter ${rule.meter}`,
    rule?.price === undefined ? '' : `price ${rule.price.usd} USD, ${rule.price.tokens} tokens`,
    foreign === 'allow' && given.length > 0 ? 'foreign credentials' : '',
    rule?.mints === 'allow' && given.length > 0 ? 'new secrets' : '',
    door === 'splice' ? 'spliced' : '',
  ].filter((text) => text !== '')
  const granting = extras.length === 0 ? '' : ` with ${extras.join('; ')}`
  return { same: `allow${granting}`, text: `allow by ${nameOf(rule)}${granting}` }
}

function nameOf(rule: Rule | undefined): string {
  return rule ? `rule ${rule.id}` : 'no rule'
}

/** The report for people: two lines a difference, then one line in sum. */
export function diffText({ differences, added, removed, asked, whole }: PolicyDiff): string {
  const lines = differences.flatMap(({ agents, before, after, witness, count }) => [
    `${agents.join(', ')}: ${before} → ${after}`,
    `    ${witness}${count === 1 ? '' : ` and ${(count - 1).toLocaleString('en')} more at boundaries of this host`}`,
  ])
  return [
    ...added.map((id) => `agent ${id} is new`),
    ...removed.map((id) => `agent ${id} is gone`),
    ...lines,
    `${asked.toLocaleString('en')} requests compared${whole ? '' : ', which are not all'}: ${differences.length} differences`,
  ].join('\n')
}
