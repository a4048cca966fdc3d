/** What a policy says that it can hardly mean: names that do not exist, rules that never decide, things that overlap. */
import type { Cidr } from '#base/address.ts'
import { patternText } from '#base/host.ts'
import type { Host, HostPattern } from '#base/host.ts'
import { covers } from './coverage.ts'
import { isWholeHost } from './match.ts'
import type { Agent, AgentId, Policy, Rule } from './types.ts'

/** `path` leads to the place in the policy: `['rules', 2, 'hosts', 0]`, rules counted over all files. */
export interface PolicyFinding {
  readonly severity: 'error' | 'warning'
  readonly path: readonly (string | number)[]
  readonly message: string
}

/** Names that exist, whether or not what they name is valid: one mistake is not reported twice. */
export interface KnownNames {
  readonly agents: ReadonlySet<string>
  readonly credentials: ReadonlySet<string>
}

/** Everything questionable in a compiled policy, in policy order. */
export function reviewPolicy(policy: Policy, known: KnownNames): PolicyFinding[] {
  return [
    ...reviewAgents([...policy.agents.values()]),
    ...reviewNames(policy.rules, known),
    ...reviewOrder(policy.rules),
    ...reviewDns(policy),
  ]
}

function reviewAgents(agents: readonly Agent[]): PolicyFinding[] {
  const findings = overlaps(agents)
  const owners = new Map<string, AgentId>()
  for (const { id, proxyAuth } of agents) {
    for (const { username } of proxyAuth) {
      const owner = owners.get(username)
      if (owner !== undefined)
        findings.push(error(['agents', id, 'from'], `the user name ${quote(username)} is used by agent ${quote(owner)} already`))
      else owners.set(username, id)
    }
  }
  return findings
}

// Each range is looked up in every wider one there is, so that ten thousand agents cost ten thousand look-ups, not pairs.
function overlaps(agents: readonly Agent[]): PolicyFinding[] {
  const ranges = agents.flatMap(({ id, cidrs }) => cidrs.map((cidr) => ({ id, cidr })))
  const widths = [...new Set(ranges.map(({ cidr }) => cidr.bits))]
  const owners = new Map<string, Set<AgentId>>()
  for (const { id, cidr } of ranges) {
    const key = prefix(cidr, cidr.bits)
    owners.set(key, (owners.get(key) ?? new Set()).add(id))
  }
  const findings = new Map<string, PolicyFinding>()
  for (const { id, cidr } of ranges) {
    for (const bits of widths.filter((width) => width <= cidr.bits)) {
      for (const other of owners.get(prefix(cidr, bits)) ?? []) {
        const pair = [id, other].toSorted().join(' ')
        if (other === id || findings.has(pair)) continue
        const said = `${cidr.text} is also an address of agent ${quote(other)}; what both claim is refused as ambiguous`
        // A range within a wider one leaves the rest of it; the same range twice leaves neither agent anything.
        findings.set(pair, (bits === cidr.bits ? error : warning)(['agents', id, 'from'], said))
      }
    }
  }
  return [...findings.values()]
}

function prefix({ base }: Cidr, bits: number): string {
  const binary = base.toByteArray().map((byte) => byte.toString(2).padStart(8, '0'))
  return `${base.kind()} ${binary.join('').slice(0, bits)}`
}

function reviewNames(rules: readonly Rule[], known: KnownNames): PolicyFinding[] {
  const findings: PolicyFinding[] = []
  const first = new Map<string, Rule>()
  for (const rule of rules) {
    const at = ['rules', rule.index]
    const namesake = first.get(rule.id)
    if (namesake)
      findings.push(error([...at, 'id'], `${quote(rule.id)} is the id of another rule already (${placeOf(namesake)})`))
    else first.set(rule.id, rule)
    for (const [index, agent] of [...(rule.agents ?? [])].entries()) {
      if (!known.agents.has(agent)) findings.push(error([...at, 'agents', index], `no agent is called ${quote(agent)}`))
    }
    for (const [index, credential] of rule.credentials.entries()) {
      if (!known.credentials.has(credential))
        findings.push(error([...at, 'credentials', index], `no credential is called ${quote(credential)}`))
    }
    if (rule.effect === 'allow' && (rule.ports?.has(53) || rule.ports?.has(853))) {
      findings.push(warning([...at, 'ports'], 'this opens DNS to another resolver, around the proxy’s own'))
    }
  }
  return findings
}

/** A lint and no proof: with more rules than this on one host, only so many earlier ones are compared. */
const comparedRules = 256

function reviewOrder(rules: readonly Rule[]): PolicyFinding[] {
  const findings: PolicyFinding[] = []
  const earlier = new Map<string, Rule[]>()
  for (const rule of rules) {
    const before = new Set(
      rule.hosts.flatMap((pattern) => widerPatterns(pattern).flatMap((text) => earlier.get(text)?.slice(0, comparedRules) ?? [])),
    )
    const covering = [...before].find((each) => covers(each, rule))
    if (covering) findings.push(neverDecides(rule, covering))
    for (const pattern of rule.hosts) {
      const text = patternText(pattern)
      const list = earlier.get(text)
      if (list) list.push(rule)
      else earlier.set(text, [rule])
    }
    if (!rule.inspect) findings.push(...unseenBefore(rule, [...before]))
  }
  return findings
}

function neverDecides(rule: Rule, covering: Rule): PolicyFinding {
  const message = `rule ${quote(rule.id)} never decides: ${quote(covering.id)} (${placeOf(covering)}) comes first and matches all of it`
  if (rule.effect === 'deny' && covering.effect === 'allow') return error(['rules', rule.index], `${message}; move it up`)
  return warning(['rules', rule.index], `${message}; move it up or remove it`)
}

function unseenBefore(rule: Rule, before: readonly Rule[]): PolicyFinding[] {
  const judging = before.find((each) => each.effect === 'deny' && !isWholeHost(each) && sharesAgents(each, rule))
  if (!judging) return []
  return [
    error(
      ['rules', rule.index, 'inspect'],
      `rule ${quote(judging.id)} (${placeOf(judging)}) refuses some requests to this host, which cannot be seen in what is spliced; refuse the whole host, or inspect it`,
    ),
  ]
}

/** The pattern itself and all zones above it, as texts. */
function widerPatterns(pattern: HostPattern): string[] {
  const labels = (pattern.kind === 'exact' ? pattern.host : pattern.zone).split('.')
  return [patternText(pattern), ...labels.slice(1).map((_, index) => `*.${labels.slice(index + 1).join('.')}`)]
}

function sharesAgents(one: Rule, other: Rule): boolean {
  return one.agents === undefined || other.agents === undefined || !one.agents.isDisjointFrom(other.agents)
}

// What is forwarded or answered by a record never gets our address, so no rule ever sees it.
function reviewDns({ rules, dns }: Policy): PolicyFinding[] {
  const forwarded = new Set<string>(dns.forward.flatMap(({ zones }) => zones))
  const fixed = new Set<string>(dns.records.map(({ name }) => name))
  if (forwarded.size + fixed.size === 0) return []
  return rules.flatMap((rule) =>
    rule.hosts.flatMap((pattern, index) => {
      const around = goesAround(pattern.kind === 'exact' ? pattern.host : pattern.zone, forwarded, fixed)
      return around === undefined
        ? []
        : [
            warning(
              ['rules', rule.index, 'hosts', index],
              `${quote(patternText(pattern))} ${around}, so agents that use this DNS go around the proxy`,
            ),
          ]
    }),
  )
}

function goesAround(host: Host, forwarded: ReadonlySet<string>, fixed: ReadonlySet<string>): string | undefined {
  if (fixed.has(host)) return 'has a record under dns.records'
  const labels = host.split('.')
  const zone = labels.map((_, index) => labels.slice(index).join('.')).find((each) => forwarded.has(each))
  return zone === undefined ? undefined : `lies in the forwarded zone ${quote(zone)}`
}

function placeOf({ position }: Rule): string {
  return `${position.file}:${position.line}`
}

function quote(text: string): string {
  return JSON.stringify(text)
}

function error(path: PolicyFinding['path'], message: string): PolicyFinding {
  return { severity: 'error', path, message }
}

function warning(path: PolicyFinding['path'], message: string): PolicyFinding {
  return { severity: 'warning', path, message }
}
