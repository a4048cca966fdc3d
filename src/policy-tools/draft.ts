/** From traffic to a proposal that was tried out: what is proposed allows all that is not left out. */
import { compileFiles } from '#config/load.ts'
import type { LoadedPolicies } from '#config/load.ts'
import { covers } from '#credentials/swap/stubs.ts'
import { decide } from '#policy/decide.ts'
import type { Agent, Denial, Policy } from '#policy/types.ts'
import { withItems } from './append.ts'
import { propose } from './learn.ts'
import type { LearnOptions, Proposed } from './learn.ts'
import { agentsYaml, leftOutYaml, rulesYaml } from './learned-yaml.ts'
import type { Seek, Traffic } from './traffic.ts'
import { urlOf } from './traffic.ts'

export interface Draft {
  readonly rules: readonly Proposed[]
  /** The proposal, or the whole edited file. */
  readonly text: string
  /** What no rule allows, as comments. */
  readonly leftOut: string
}

/** Where rules go; its policy is the whole directory that the file is in. */
export interface Into {
  readonly file: string
  readonly text: string
}

/**
 * Proposes a policy of its own. `existing` says which agents and credentials there are; its rules are not looked at.
 */
export async function draftPolicy(traffic: Traffic, existing: LoadedPolicies, options: LearnOptions): Promise<Draft> {
  const { snapshot } = existing
  const seeks = traffic.seeks.filter((seek) => isGiven(seek, existing, traffic))
  const compiled = (rules: readonly Proposed[]) => trialOf(rules, [...traffic.peers.keys()])
  const rules = await settled(
    seeks,
    (left, sharing) => propose(left, traffic.spliced, { ...options, sharing }),
    compiled,
    traffic,
  )
  const strangers = new Map([...traffic.peers].filter(([agent]) => !snapshot?.policy.agents.has(agent)))
  const known = snapshot && new Set(snapshot.credentials.keys())
  const list = rules.length === 0 ? 'rules: []\n' : `rules:\n${rulesYaml(rules, known ?? new Set())}`
  return { rules, text: `version: 1\n\n${agentsYaml(strangers)}${list}`, leftOut: leftOutYaml(traffic.leftOut) }
}

/** Proposes rules for what a policy does not allow yet, at the end of one of its files. `undefined`: the file has no place for them. */
export async function draftInto(
  traffic: Traffic,
  existing: LoadedPolicies,
  directory: string,
  into: Into,
  options: LearnOptions,
): Promise<Draft | undefined> {
  const { snapshot } = existing
  if (!snapshot) return undefined
  const { policy } = snapshot
  const lacking = traffic.seeks.filter((seek) => {
    if (!isGiven(seek, existing, traffic)) return false
    const { rule } = decide(policy, policy.agents.get(seek.agent) ?? stranger(seek.agent), seek.ask)
    if (refusalOf(policy, seek) !== undefined) return true
    // A rule behind the one that decides would never be asked.
    const lacked = seek.credentials.find((id) => !rule?.credentials.includes(id))
    if (lacked !== undefined) leave(traffic, seek, `rule ${rule?.id} lets it through without ${lacked}; add it there`)
    return false
  })
  const spliced = traffic.spliced.filter(({ agent, host, port }) => {
    const seek = { agent, ask: { scheme: 'https', host, port, method: 'GET', path: '/', query: '' } } as const
    return refusalOf(policy, seek) !== undefined
  })
  const known = new Set(snapshot.credentials.keys())
  const taken = new Set(policy.rules.map(({ id }) => id))
  const named = (rules: readonly Proposed[]) => rules.map((rule) => ({ ...rule, id: freeId(rule.id, taken) }))
  const edited = (rules: readonly Proposed[]) =>
    rules.length === 0 ? into.text : withItems(into.text, 'rules', (indent) => `\n${rulesYaml(rules, known, indent).trimEnd()}\n`)
  const compiled = async (rules: readonly Proposed[]) => {
    const bytes = Buffer.from(edited(rules) ?? '')
    const sources = existing.sources.map((source) => (source.file === into.file ? { ...source, bytes } : source))
    return (await compileFiles(directory, sources)).snapshot?.policy
  }
  const rules = await settled(
    lacking,
    (left, sharing) => named(propose(left, spliced, { ...options, sharing })),
    compiled,
    traffic,
  )
  const text = edited(rules)
  return text === undefined ? undefined : { rules, text, leftOut: leftOutYaml(traffic.leftOut) }
}

/** Rules for all of the requests that rules can allow: what a trial still refuses is left out, and it is tried again. */
async function settled(
  seeks: readonly Seek[],
  proposed: (seeks: readonly Seek[], sharing: ReadonlySet<string>) => readonly Proposed[],
  compiled: (rules: readonly Proposed[]) => Promise<Policy | undefined>,
  traffic: Traffic,
): Promise<readonly Proposed[]> {
  let left = seeks
  const sharing = new Set<string>()
  for (;;) {
    const rules = proposed(left, sharing)
    const policy = await compiled(rules)
    if (!policy) return rules
    const refused = new Map(left.flatMap((seek) => [[seek, refusalOf(policy, seek)] as const].filter(([, denial]) => denial)))
    if (refused.size === 0) {
      const torn = left.filter((seek) => misses(rules, policy, seek)).map(({ agent, ask }) => `${agent} ${ask.host}`)
      if (torn.every((each) => sharing.has(each))) return rules
      for (const each of torn) sharing.add(each)
      continue
    }
    for (const [seek, denial] of refused)
      leave(traffic, seek, denial?.rule?.effect === 'deny' ? `rule ${denial.rule.id} refuses it` : (denial?.reason ?? ''))
    left = left.filter((seek) => !refused.has(seek))
  }
}

function refusalOf(policy: Policy, { agent, ask }: Pick<Seek, 'agent' | 'ask'>): Denial | undefined {
  const known = policy.agents.get(agent) ?? stranger(agent)
  const verdict = decide(policy, { ...known, mode: 'enforce' }, ask)
  return verdict.kind === 'deny' ? verdict : undefined
}

/** Whether the rule that decides gives less than was seen; the trial itself holds no credentials, so the proposal is asked. */
function misses(rules: readonly Proposed[], policy: Policy, { agent, ask, credentials }: Seek): boolean {
  if (credentials.length === 0) return false
  const { rule } = decide(policy, policy.agents.get(agent) ?? stranger(agent), ask)
  const given = rules.find(({ id }) => id === rule?.id)?.credentials ?? rule?.credentials ?? []
  return credentials.some((id) => !given.includes(id))
}

function stranger(id: string): Agent {
  return { id, mode: 'enforce', budgets: [], cidrs: [], proxyAuth: [], pods: [] }
}

/** Whether every stub that a request carried is for its host and its agent; what is not is left out. */
function isGiven(seek: Seek, { snapshot }: LoadedPolicies, traffic: Traffic): boolean {
  const { agent, ask, credentials } = seek
  const stray = credentials.find((id) => {
    const credential = snapshot?.credentials.get(id)
    return credential && (!covers(credential, ask.host) || credential.agents?.has(agent) === false || ask.scheme === 'http')
  })
  if (stray !== undefined) leave(traffic, seek, `it carries the stub of ${stray}, which is not for it`)
  return stray === undefined
}

function leave(traffic: Traffic, { agent, ask, count }: Seek, why: string): void {
  traffic.leave(agent, `${ask.method} ${urlOf(ask)}`, why, count)
}

/** The proposal alone, for agents of that name wherever they are. */
async function trialOf(rules: readonly Proposed[], agents: readonly string[]): Promise<Policy | undefined> {
  const places = new Map(
    agents.map((agent, index) => [agent, new Set([`10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`])]),
  )
  const text = `version: 1\n${agentsYaml(places)}rules:\n${rulesYaml(rules, new Set())}`
  const { snapshot } = await compileFiles('.', [
    { file: 'learned.yaml', bytes: Buffer.from(rules.length === 0 ? 'version: 1' : text) },
  ])
  return snapshot?.policy
}

function freeId(id: string, taken: ReadonlySet<string>): string {
  let free = id
  for (let number = 2; taken.has(free); number += 1) free = `${id}-${number}`
  return free
}
