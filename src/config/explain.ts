/** Why a request would be let through or refused, step by step, in the words of the policy files. */
import { readFile } from 'node:fs/promises'
import { parseAuthority } from '#base/host.ts'
import type { Credential } from '#credentials/types.ts'
import { admit } from '#journey/admit.ts'
import { askOf } from '#journey/answer.ts'
import type { Snapshot } from '#contracts/snapshot.ts'
import { inCidr } from '#base/address.ts'
import type { Address } from '#base/address.ts'
import { decideHost, explainDecision } from '#policy/decide.ts'
import type { Condition } from '#policy/match.ts'
import type { Agent, Ask, Denial, HostVerdict, Position, Verdict } from '#policy/types.ts'
import { budgetText, explainBudgets, explainMeter } from './explain-cost.ts'
import type { ExplainedBudget, ExplainedMeter } from './explain-cost.ts'

/** One rule that was compared, in order; the last may be the one that decides. */
export interface ExplainedStep {
  readonly rule: string
  readonly position: Position
  readonly effect: 'allow' | 'deny'
  /** `undefined`: it matched. */
  readonly differs: Condition | undefined
  /** What the rule asks for there, where that is a path: its patterns. */
  readonly wants: readonly string[] | undefined
}

/** A credential of the deciding rule and the places its stub is looked for; no value is ever in it. */
export interface ExplainedCredential {
  readonly id: string
  readonly places: readonly string[]
  /** Why it is not swapped in after all. */
  readonly unused: string | undefined
}

export interface Explanation {
  readonly agent: string
  readonly mode: Agent['mode']
  readonly ask: Ask
  /** What DNS, SNI and CONNECT are told. */
  readonly host: HostVerdict['kind']
  readonly steps: readonly ExplainedStep[]
  readonly verdict: Verdict['kind'] | 'would_deny'
  readonly code: string | undefined
  readonly reason: string | undefined
  readonly rule: string | undefined
  readonly position: Position | undefined
  /** The line of YAML at that position, when the file was at hand. */
  readonly line: string | undefined
  readonly credentials: readonly ExplainedCredential[]
  readonly meter: ExplainedMeter | undefined
  /** What the request must fit; empty where it costs nothing. */
  readonly budgets: readonly ExplainedBudget[]
}

/** What cannot be explained because it was asked wrongly. */
export interface Unexplained {
  readonly problem: string
}

/** Explains one request of an agent. `lineOf` reads a line of a policy file; without it the line is left out. */
export function explain(
  snapshot: Snapshot,
  agentId: string,
  method: string,
  url: string,
  lineOf?: (position: Position) => string | undefined,
): Explanation | Unexplained {
  const agent = snapshot.policy.agents.get(agentId)
  if (!agent)
    return {
      problem: `no agent is called ${JSON.stringify(agentId)}; there is ${[...snapshot.policy.agents.keys()].join(', ') || 'none'}`,
    }
  const ask = parseAsk(method, url)
  if ('problem' in ask) return ask
  const question = askOf(snapshot, ask)
  const { steps, verdict } = explainDecision(snapshot.policy, agent, question)
  const shared = sharedAddress(snapshot, agent)
  const refusal = shared ?? (verdict.kind === 'deny' ? verdict : verdict.wouldDeny)
  // An agent's own token call is answered before anything is metered.
  const meter = refusal || question.answered ? undefined : explainMeter(verdict.rule, ask)
  const denial = refusal ?? (meter?.code && { code: meter.code, reason: meter.reason, rule: verdict.rule })
  const rule = denial ? denial.rule : verdict.rule
  return {
    agent: agentId,
    mode: agent.mode,
    ask,
    host: decideHost(snapshot.policy, agent, ask.host, ask.port).kind,
    steps: steps.map(({ rule: { id, position, effect, paths }, differs }) => {
      const wants = differs === 'path' ? paths?.map((pattern) => `/${pattern.join('/')}`) : undefined
      return { rule: id, position, effect, differs, wants }
    }),
    verdict: denial ? (agent.mode === 'report' && !shared ? 'would_deny' : 'deny') : verdict.kind,
    code: denial?.code,
    reason: denial?.reason,
    rule: rule?.id,
    position: rule?.position,
    line: rule && lineOf?.(rule.position),
    credentials: denial ? [] : explainCredentials(snapshot, agent, ask, verdict),
    meter,
    budgets: meter && ['metered', 'priced'].includes(meter.kind) ? explainBudgets(snapshot, agent) : [],
  }
}

/** Nobody is this agent: every address it speaks from is another's too. */
export function sharedAddress({ policy }: Snapshot, agent: Agent): Denial | undefined {
  if (agent.cidrs.length === 0 || agent.pods.length > 0 || agent.proxyAuth.length > 0) return undefined
  const others = [...policy.agents.values()].filter((other) => other !== agent)
  const owners = agent.cidrs.map((own) =>
    others.find(({ cidrs }) => cidrs.some((cidr) => cidr.bits <= own.bits && inCidr(own.base.toString() as Address, cidr))),
  )
  const [other] = owners
  if (!other || owners.includes(undefined)) return undefined
  return { kind: 'deny', code: 'agent_ambiguous', reason: `what ${agent.id} speaks from belongs to ${other.id} too` }
}

/** Reads the lines of policy files, for `explain`; files that have gone have no lines. */
export async function lineReader(files: readonly string[]): Promise<(position: Position) => string | undefined> {
  const texts = await Promise.all(
    files.map(async (file) => [file, (await readFile(file, 'utf8').catch(() => '')).split('\n')] as const),
  )
  const lines = new Map(texts)
  return ({ file, line }) => lines.get(file)?.[line - 1]?.trim()
}

// Not `new URL`: it repairs what the proxy refuses, and would explain another request than the one that was asked about.
function parseAsk(method: string, url: string): Ask | Unexplained {
  const parts = /^(https?):\/\/([^/?#]*)([^?]*)(\?.*)?$/.exec(url)
  if (!/^[A-Z][A-Z-]*$/.test(method)) return { problem: `${JSON.stringify(method)} is not a method; write it in upper case` }
  const authority = parts?.[2] === undefined ? undefined : parseAuthority(parts[2])
  if (!parts || !authority) return { problem: `${JSON.stringify(url)} is not an http or https URL with a plain host name` }
  const scheme = parts[1] === 'http' ? 'http' : 'https'
  return {
    scheme,
    host: authority.host,
    port: authority.port ?? (scheme === 'http' ? 80 : 443),
    method,
    path: parts[3] || '/',
    query: parts[4] ?? '',
  }
}

function explainCredentials(snapshot: Snapshot, agent: Agent, ask: Ask, verdict: Verdict): ExplainedCredential[] {
  if (verdict.kind === 'deny' || !verdict.rule) return []
  const used = admit(verdict, { agent, snapshot }, { ...ask, headers: [] }).credentials
  return verdict.rule.credentials.flatMap((id) => {
    const credential = snapshot.credentials.get(id)
    return credential ? [{ id, places: placesOf(credential), unused: whyUnused(credential, used, agent, ask) }] : []
  })
}

function whyUnused(credential: Credential, used: readonly Credential[], agent: Agent, ask: Ask): string | undefined {
  if (used.includes(credential)) return undefined
  if (ask.scheme === 'http') return 'nothing is swapped over plain HTTP'
  return credential.agents && !credential.agents.has(agent.id) ? `not granted to ${agent.id}` : `not scoped to ${ask.host}`
}

function placesOf({ placer }: Credential): string[] {
  return [...placer.headers.map((name) => `header:${name}`), ...placer.params.map((name) => `query:${name}`)]
}

function differsText({ differs, wants }: ExplainedStep): string {
  return wants ? `${differs} differs from ${wants.join(', ')}` : `${differs} differs`
}

/** The explanation for people, one fact a line. */
export function explanationText(explanation: Explanation): string {
  const { agent, mode, ask, host, steps, verdict, code, reason, rule, position, line, credentials, meter, budgets } = explanation
  const port = ask.port === (ask.scheme === 'http' ? 80 : 443) ? '' : `:${ask.port}`
  const decided = rule === undefined ? 'no rule' : `rule ${rule}`
  return [
    `${agent}${mode === 'report' ? ' (report mode)' : ''}: ${ask.method} ${ask.scheme}://${ask.host}${port}${ask.path}${ask.query}`,
    `  host     ${host}`,
    ...steps.map(
      (step) => `  rule     ${step.rule} (${step.effect}): ${step.differs === undefined ? 'matches' : differsText(step)}`,
    ),
    `  verdict  ${verdict} by ${decided}${code === undefined ? '' : `: ${code}, ${reason}`}`,
    ...(position
      ? [`  at       ${position.file}:${position.line}:${position.column}${line === undefined ? '' : `  ${line}`}`]
      : []),
    ...credentials.map(({ id, places, unused }) => `  swap     ${id}: ${unused ?? places.join(', ')}`),
    ...(meter && !meter.code ? [`  meter    ${meter.provider}: ${meter.kind}`] : []),
    ...budgets.map((budget) => `  budget   ${budgetText(budget)}`),
  ].join('\n')
}
