/** Asks a policy the cases of its tests, and says which rules no case decides. */
import type { Snapshot } from '#contracts/snapshot.ts'
import type { Agent, Rule } from '#policy/types.ts'
import { judge, judgeName } from './judge.ts'
import type { Judgment } from './judge.ts'
import type { Case, TestSuite } from './test-file.ts'

export interface CaseResult {
  readonly test: Case
  /** The agent that was asked for. */
  readonly agent: string
  /** The case in one line: `devbot GET https://api.example.com/`. */
  readonly asked: string
  /** What the policy answers; `undefined`: it could not be asked. */
  readonly judgment: Judgment | undefined
  /** What differs, one sentence each; none: the case passes. */
  readonly faults: readonly string[]
}

export interface SuiteResult {
  readonly file: string
  readonly results: readonly CaseResult[]
}

/** Runs every case of one file against one snapshot. */
export function runTests(snapshot: Snapshot, { file, cases }: TestSuite): SuiteResult {
  return { file, results: cases.map((test) => runCase(snapshot, test)) }
}

/** The rules that decide no case, in the order of the policy. */
export function untested(snapshot: Snapshot, suites: readonly SuiteResult[]): readonly Rule[] {
  const decided = new Set(suites.flatMap(({ results }) => results.map(({ judgment }) => judgment?.rule)))
  return snapshot.policy.rules.filter((rule) => !decided.has(rule))
}

function runCase(snapshot: Snapshot, test: Case): CaseResult {
  const { agents } = snapshot.policy
  const id = test.agent ?? (agents.size === 1 ? [...agents.keys()][0] : undefined)
  const agent = id === undefined ? undefined : agents.get(id)
  const asked = 'url' in test.target ? `${test.method} ${test.target.url}` : test.target.name
  const base = { test, agent: id ?? '', asked: id === undefined ? asked : `${id} ${asked}` }
  if (!agent) {
    const known = [...agents.keys()].join(', ') || 'none'
    const fault = id === undefined ? `name an agent; there is ${known}` : `no agent is called "${id}"; there is ${known}`
    return { ...base, judgment: undefined, faults: [fault] }
  }
  const judgment = ask(snapshot, agent, test)
  if ('problem' in judgment) return { ...base, judgment: undefined, faults: [judgment.problem] }
  return { ...base, judgment, faults: compare(test, judgment) }
}

function ask(snapshot: Snapshot, agent: Agent, { method, target, headers }: Case): Judgment | { readonly problem: string } {
  if ('name' in target) return judgeName(snapshot, agent, target.name)
  const flat: string[] = []
  for (const [name, value] of Object.entries(headers)) {
    const sent =
      typeof value === 'string' ? value : snapshot.credentials.get(value.credential)?.placer.sample?.(name.toLowerCase())
    if (sent === undefined) {
      const id = typeof value === 'string' ? value : value.credential
      const there = snapshot.credentials.has(id)
      return {
        problem: there
          ? `${id} does not travel in the header ${name}; write the header as it is sent`
          : `the policy has no credential "${id}"`,
      }
    }
    flat.push(name, sent)
  }
  return judge(snapshot, agent, { method, url: target.url, headers: flat })
}

function compare({ expected }: Case, judgment: Judgment): string[] {
  const { verdict, code, rule, credentials, meter } = expected
  const faults: string[] = []
  const differ = (what: string, wanted: string | null, got: string | undefined) => {
    if ((wanted ?? undefined) !== got) faults.push(`${what}: expected ${wanted ?? 'none'}, got ${got ?? 'none'}`)
  }
  const exact = verdict === 'inspect' || verdict === 'splice'
  if (verdict !== (exact ? judgment.door : judgment.verdict))
    faults.push(`verdict: expected ${verdict}, got ${answerText(judgment)}`)
  if (code !== undefined) differ('code', code, judgment.code)
  if (rule !== undefined) differ('rule', rule, judgment.rule?.id)
  if (credentials !== undefined) differ('credentials', listText(credentials), listText(judgment.credentials))
  if (meter !== undefined) differ('meter', meter, judgment.meter)
  return faults
}

function listText(ids: readonly string[]): string {
  return ids.length === 0 ? 'none' : ids.toSorted().join(', ')
}

/** `deny by rule no-delete: rule_denied, agents do not delete repositories`. */
export function answerText({ verdict, door, code, reason, rule }: Judgment): string {
  return `${verdict}${door === undefined ? '' : ` (${door})`} by ${rule ? `rule ${rule.id}` : 'no rule'}${code === undefined ? '' : `: ${code}, ${reason}`}`
}
