/** What is asked for when a run is minted, what is kept of it, and the run that this makes again wherever it is read. */
import { patternText } from '#base/host.ts'
import type { HostPattern } from '#base/host.ts'
import { parseHostPattern, patternWithin } from '#base/host-pattern.ts'
import type { KeptRun, RunOrder } from '#contracts/runs.ts'
import type { Snapshot } from '#contracts/snapshot.ts'
import { runBudget } from '#metering/compile.ts'
import { coversAgent } from '#policy/match.ts'
import type { Rule } from '#policy/types.ts'
import type { KnownRun } from './table.ts'

/** Why there is no run. */
export interface NotMinted {
  readonly kind: 'refused'
  readonly code: 'no_policy' | 'unknown_agent' | 'bad_host' | 'scope_wider' | 'too_many_runs' | 'state_unavailable'
  readonly message: string
}

/** What a policy makes of an order: the hosts as patterns, and a stub for each credential. */
export interface Drafted {
  readonly kind: 'drafted'
  readonly hosts: readonly string[] | undefined
  readonly stubs: Readonly<Record<string, string>>
}

/** A run of an agent that is in the policy, for hosts that agent may reach. `random`: what makes a stub one that nobody can guess. */
export function draftRun({ agent, hosts: asked }: RunOrder, snapshot: Snapshot, random: () => string): Drafted | NotMinted {
  if (!snapshot.policy.agents.has(agent)) return refused('unknown_agent', `the policy has no agent ${JSON.stringify(agent)}`)
  const rules = snapshot.policy.rules.filter((rule) => rule.effect === 'allow' && coversAgent(rule, agent))
  const hosts = asked && readHosts(asked, rules, agent)
  if (hosts && 'kind' in hosts) return hosts
  const stubs = [...snapshot.credentials.values()]
    .filter((credential) => credential.agents === undefined || credential.agents.has(agent))
    .filter((credential) => rules.some((rule) => rule.credentials.includes(credential.id)))
    // What looks like the stub it stands for passes wherever a client looks at its shape.
    .map((credential) => [credential.id, `${credential.stubs[0]}-${random()}`] as const)
  return { kind: 'drafted', hosts: hosts?.map(patternText), stubs: Object.fromEntries(stubs) }
}

/** The run that was kept, with the same account for what it spends. `undefined`: its hosts are none that can be held to. */
export function knownRun(kept: KeptRun): KnownRun | undefined {
  const { id, agent, budget, stubs, startedAt: start, expiresAt } = kept
  const hosts = kept.hosts?.map(parseHostPattern)
  if (hosts && !allPatterns(hosts)) return undefined
  return {
    run: {
      id,
      agent,
      hosts,
      stubs: new Map(Object.entries(stubs)),
      budget: budget && runBudget(id, budget, { start, end: expiresAt }),
    },
    passwordDigest: Buffer.from(kept.passwordDigest, 'hex'),
    expiresAt,
  }
}

export function refused(code: NotMinted['code'], message: string): NotMinted {
  return { kind: 'refused', code, message }
}

/** The patterns, each of them within what some rule gives the agent. */
function readHosts(texts: readonly string[], rules: readonly Rule[], agent: string): readonly HostPattern[] | NotMinted {
  const patterns: HostPattern[] = []
  for (const text of texts) {
    const pattern = parseHostPattern(text)
    if (pattern.kind === 'refused') return refused('bad_host', pattern.reason)
    const wider = !rules.some(({ hosts }) => hosts.some((given) => patternWithin(pattern, given)))
    if (wider) return refused('scope_wider', `no rule lets ${agent} reach ${JSON.stringify(text)}`)
    patterns.push(pattern)
  }
  return patterns
}

function allPatterns(patterns: readonly ReturnType<typeof parseHostPattern>[]): patterns is readonly HostPattern[] {
  return patterns.every(({ kind }) => kind !== 'refused')
}
