/** Makes the frozen Policy out of what was validated: rules indexed by host, defaults spelled out. */
import { LruMap } from '#base/async.ts'
import type { Host } from '#base/host.ts'
import type { DnsInput } from './dns-schema.ts'
import { otherReadings } from './path.ts'
import type { AgentInput, RuleInput } from './schema.ts'
import type { Agent, AgentId, CredentialId, DnsPolicy, PathPattern, Policy, Position, Rule } from './types.ts'

export interface PolicyInput {
  readonly agents: ReadonlyMap<AgentId, AgentInput>
  readonly rules: readonly { readonly rule: RuleInput; readonly position: Position }[]
  readonly dns: DnsInput
  /** What each credential says about foreign ones, for rules that say nothing. */
  readonly foreign: ReadonlyMap<CredentialId, 'refuse' | 'allow'>
  /** Credentials that sign requests, and are never sent. */
  readonly signing?: ReadonlySet<CredentialId>
}

/** Compiles a validated policy. Without rules it refuses everything. */
export function compilePolicy(input: PolicyInput): Policy {
  const agents = new Map([...input.agents].map(([id, agent]) => [id, compileAgent(id, agent)]))
  const rules = Object.freeze(input.rules.map(({ rule, position }, index) => compileRule(rule, index, position, input)))
  return Object.freeze({ agents, rules, dns: compileDns(input.dns), rulesFor: indexRules(rules) })
}

function compileAgent(id: AgentId, { mode, from, budget }: AgentInput): Agent {
  return Object.freeze({
    id,
    mode,
    budgets: budget === undefined ? [] : [budget].flat(),
    cidrs: from.flatMap(({ cidr }) => cidr ?? []),
    proxyAuth: from.flatMap(({ proxyAuth }) => proxyAuth ?? []),
    pods: from.flatMap(({ pod }) => pod ?? []),
  })
}

function compileRule(rule: RuleInput, index: number, position: Position, { foreign, signing }: PolicyInput): Rule {
  const { id, effect, reason, hosts, git, plain, inspect, credentials } = rule
  const all = (are: (each: CredentialId) => boolean): boolean => credentials.length > 0 && credentials.every(are)
  const signs = (each: CredentialId): boolean => signing?.has(each) ?? false
  const otherPaths = rule.paths?.flatMap((pattern) => [pattern, ...otherReadings(pattern)])
  const spelled = (patterns: readonly PathPattern[] | undefined) => (effect === 'deny' ? patterns?.map(lowered) : patterns)
  return Object.freeze({
    id,
    index,
    effect,
    reason,
    agents: rule.agents && new Set(rule.agents),
    hosts,
    ports: compilePorts(rule),
    methods: rule.methods && new Set(rule.methods),
    paths: spelled(rule.paths),
    otherPaths: spelled(otherPaths),
    git,
    plain,
    inspect,
    // A rule that says nothing allows foreign credentials only if every credential it uses does.
    foreign: rule.foreign ?? (all((each) => foreign.get(each) === 'allow') ? 'allow' : 'refuse'),
    mints: rule.mints ?? 'refuse',
    signing: all(signs) ? 'all' : credentials.some(signs) ? 'some' : 'none',
    credentials,
    meter: rule.meter,
    price: rule.price,
    amend: rule.amend ?? true,
    position,
  })
}

function lowered(pattern: PathPattern): PathPattern {
  return pattern.map((segment) => segment.toLowerCase())
}

function compilePorts({ effect, ports, plain }: RuleInput): ReadonlySet<number> | undefined {
  if (ports) return new Set(ports)
  if (effect === 'deny') return undefined
  return new Set(plain ? [443, 80] : [443])
}

function compileDns({ deny, forward, records }: DnsInput): DnsPolicy {
  return Object.freeze({ deny: deny ?? 'sinkhole', forward, records })
}

/** How many hosts have their list of rules remembered: more than one busy cluster asks for, and a few hundred kB. */
const rememberedHosts = 4096

/**
 * Answers which rules could match a host, in policy order. The cost is a look-up for each label of the host, however
 * many rules there are for other hosts.
 */
function indexRules(rules: readonly Rule[]): (host: Host) => readonly Rule[] {
  const exact = new Map<string, Rule[]>()
  const below = new Map<string, Rule[]>()
  for (const rule of rules) {
    for (const pattern of rule.hosts) {
      if (pattern.kind === 'exact') append(exact, pattern.host, rule)
      else append(below, pattern.zone, rule)
    }
  }
  const remembered = new LruMap<Host, readonly Rule[]>(rememberedHosts)
  return (host) => {
    const known = remembered.get(host)
    if (known) return known
    const found = new Set(exact.get(host))
    for (let dot = host.indexOf('.'); dot >= 0; dot = host.indexOf('.', dot + 1)) {
      for (const rule of below.get(host.slice(dot + 1)) ?? []) found.add(rule)
    }
    const candidates = Object.freeze([...found].sort((one, other) => one.index - other.index))
    // Names that no rule covers are not worth a place: an agent can make up any number of them.
    if (candidates.length > 0) remembered.set(host, candidates)
    return candidates
  }
}

function append(map: Map<string, Rule[]>, key: string, rule: Rule): void {
  const list = map.get(key)
  if (!list) map.set(key, [rule])
  else if (list.at(-1) !== rule) list.push(rule)
}
