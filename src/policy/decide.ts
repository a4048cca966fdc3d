/** The decision as a pure function. It reads from top to bottom, each branch names its reason, and the end is a refusal. */
import type { ErrorCode } from '#base/errors.ts'
import type { Host } from '#base/host.ts'
import { conditions, coversAgent, coversPort, isWholeHost, looksAtPath, matchesPath, mismatch, question } from './match.ts'
import type { Condition, PolicyQuestion } from './match.ts'
import { mintedBy } from './minting.ts'
import type { Segments } from './path.ts'
import type { Agent, AgentId, Ask, Denial, HostVerdict, Policy, Rule, Verdict } from './types.ts'

/** May this agent make this request? The first rule that matches decides; no match is a refusal. */
export function decide(policy: Policy, agent: Agent, ask: Ask): Verdict {
  const verdict = enforce(policy, agent, ask)
  if (verdict.kind === 'deny' && agent.mode === 'report') return { kind: 'allow', rule: undefined, wouldDeny: verdict }
  return verdict
}

/**
 * What DNS, SNI and CONNECT may know before a request is read. Without a port: could any rule let this agent reach this
 * host at all? It refuses only what `decide` would refuse for every request.
 */
export function decideHost(policy: Policy, agent: Agent, host: Host, port?: number): HostVerdict {
  const verdict = enforceHost(policy, agent, host, port)
  if (verdict.kind === 'deny' && agent.mode === 'report') return { kind: 'inspect', rule: undefined, wouldDeny: verdict }
  return verdict
}

/** One rule that was looked at on the way: it matched, or `differs` is the first condition that was not met. */
export interface DecisionStep {
  readonly rule: Rule
  readonly differs: Condition | undefined
}

/** The same decision with the rules that were compared, in order; what comes after the deciding rule is not looked at. */
export function explainDecision(
  policy: Policy,
  agent: Agent,
  ask: Ask,
): { readonly steps: readonly DecisionStep[]; readonly verdict: Verdict } {
  const asked = question(agent.id, ask)
  const steps = 'refused' in asked ? [] : compare(policy, asked)
  return { steps, verdict: decide(policy, agent, ask) }
}

function enforce(policy: Policy, agent: Agent, ask: Ask): Verdict {
  const asked = question(agent.id, ask)
  if ('refused' in asked) return deny('bad_path', asked.refused)
  // How many conditions the best of the allowing rules met.
  let reached = -1
  for (const rule of policy.rulesFor(ask.host)) {
    const differs = mismatch(rule, asked)
    if (differs === undefined) return apply(rule, asked)
    if (isBlind(rule, differs, asked)) return deny('bad_path', `${asked.obscure}, and rule ${rule.id} looks at paths`, rule)
    if (rule.effect === 'allow') reached = Math.max(reached, conditions.indexOf(differs))
  }
  const lacked = conditions[reached]
  // Plain HTTP to a port that no rule names: that it is plain would be half of why. Port 80 has no other scheme.
  if (lacked === 'scheme' && ask.port !== 80 && !coversAnyPort(policy, agent, ask)) return unmatched('port', asked)
  return unmatched(lacked, asked)
}

function coversAnyPort(policy: Policy, agent: Agent, { host, port }: Ask): boolean {
  return policy.rulesFor(host).some((rule) => rule.effect === 'allow' && coversAgent(rule, agent.id) && coversPort(rule, port))
}

/** The verdict of the rule that decides. */
function apply(rule: Rule, asked: PolicyQuestion): Verdict {
  if (rule.effect === 'deny') return ruleDenied(rule)
  if (asksDns(asked) && !namesPath(rule, asked))
    return deny('dns_over_https', 'DNS over HTTPS is refused unless a rule names its path', rule)
  const mayMint = rule.mints === 'allow' || rule.credentials.length === 0 || asked.ask.answered === true
  const turns = asked.obscure === undefined ? undefined : turningOnPath(rule, mayMint)
  if (turns !== undefined) return deny('bad_path', `${asked.obscure}, and ${turns}`, rule)
  const minted = mayMint ? undefined : mintedBy(rule, asked)
  if (minted !== undefined) return deny('mints_secret', `this would answer with ${minted}, which no agent may hold`, rule)
  return { kind: 'allow', rule }
}

// A path that servers read in too many ways may pass where no reading changes anything, and nowhere else.
function turningOnPath({ id, meter, signing }: Rule, mayMint: boolean): string | undefined {
  if (meter !== undefined) return `rule ${id} counts what its requests cost by their paths`
  // What signs is taken by few endpoints, and those are looked for in every reading.
  if (!mayMint && signing !== 'all')
    return `rule ${id} gives a credential to paths that make no new secret only; see "mints: allow"`
  return undefined
}

/** Whether a rule would have decided by a path that it cannot look at: nothing after it may be asked. */
function isBlind(rule: Rule, differs: Condition, { obscure }: PolicyQuestion): boolean {
  return obscure !== undefined && differs === 'path' && looksAtPath(rule)
}

/** The rules that `enforce` looks at, in order. */
function compare(policy: Policy, asked: PolicyQuestion): DecisionStep[] {
  const steps: DecisionStep[] = []
  for (const rule of policy.rulesFor(asked.ask.host)) {
    const differs = mismatch(rule, asked)
    steps.push({ rule, differs })
    if (differs === undefined || isBlind(rule, differs, asked)) break
  }
  return steps
}

// The refusal names what the best of the allowing rules still lacked.
function unmatched(lacked: Condition | undefined, { agent, ask }: PolicyQuestion): Denial {
  switch (lacked) {
    case undefined:
    case 'agents':
    case 'host':
      return deny('host_denied', `no rule lets ${agent} reach ${ask.host}`)
    case 'scheme':
      return deny('plain_denied', `no rule lets ${agent} speak plain HTTP to ${ask.host}`)
    case 'port':
      return portDenied(agent, ask.host, ask.port)
    case 'method':
    case 'path':
    case 'git':
      break
  }
  return deny('request_denied', `no rule lets ${agent} make this request to ${ask.host}`)
}

function enforceHost(policy: Policy, agent: Agent, host: Host, port: number | undefined): HostVerdict {
  let conditional = false
  let otherPort = false
  for (const rule of policy.rulesFor(host)) {
    if (!coversAgent(rule, agent.id)) continue
    if (port !== undefined && !coversPort(rule, port)) {
      otherPort ||= rule.effect === 'allow'
      continue
    }
    if (rule.effect === 'deny') {
      // Without a port in question, a refusal for some ports leaves the others to later rules.
      if (isWholeHost(rule) && (port !== undefined || rule.ports === undefined)) return ruleDenied(rule)
      conditional = true
      continue
    }
    // A refusal that looks into requests came first: it can only be kept if requests are seen.
    return rule.inspect || conditional ? { kind: 'inspect', rule } : { kind: 'splice', rule }
  }
  if (otherPort) return portDenied(agent.id, host, port)
  return deny('host_denied', `no rule lets ${agent.id} reach ${host}${port === 22 ? overSsh(host) : ''}`)
}

function portDenied(agent: AgentId, host: Host, port: number | undefined): Denial {
  return deny('port_denied', `no rule lets ${agent} reach port ${port} of ${host}${port === 22 ? overSsh(host) : ''}`)
}

/** A remote over ssh has no credential here: git takes HTTPS in its place (git-config, `url.<base>.insteadOf`). */
function overSsh(host: Host): string {
  return `; for git over ssh, use HTTPS: git config --global url."https://${host}/".insteadOf "git@${host}:"`
}

// RFC 8484 section 4.1: the path is the server's choice and `dns` its parameter; `/dns-query` is what servers use.
function asksDns({ segments, others, ask }: PolicyQuestion): boolean {
  if (ask.dnsMessage || isDnsQuery(segments)) return true
  if (others.some((other) => isDnsQuery(other.segments))) return true
  return ask.query.length > 1 && /[?&](?:d|%64|%44)(?:n|%6e|%4e)(?:s|%73|%53)=/i.test(ask.query)
}

function isDnsQuery(segments: Segments): boolean {
  let last = segments.length - 1
  while (last > 0 && segments[last] === '') last -= 1
  return segments[last]?.toLowerCase() === 'dns-query'
}

function namesPath(rule: Rule, { segments }: PolicyQuestion): boolean {
  return rule.paths?.some((pattern) => pattern.at(-1) === segments.at(-1) && matchesPath(pattern, segments)) ?? false
}

function ruleDenied(rule: Rule): Denial {
  return deny('rule_denied', rule.reason ?? `rule ${rule.id} refuses this`, rule)
}

function deny(code: ErrorCode, reason: string, rule?: Rule): Denial {
  return rule ? { kind: 'deny', code, reason, rule } : { kind: 'deny', code, reason }
}
