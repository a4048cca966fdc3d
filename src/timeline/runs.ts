/** Runs out of lines: each with what it cost, what was refused and what came of it. */
import type { AuditRecord, MeteredUsage } from '#contracts/audit-record.ts'
import type { Cause, TimelineEvent } from './run-event.ts'
import { stepKey, stepOf } from './step.ts'
import type { Step } from './step.ts'

/** A run at a glance. Times are ISO 8601; tokens are counted, not weighted; money is in US dollars. */
export interface RunSummary {
  readonly id: string
  readonly agent: string | null
  readonly began: string
  readonly ended: string
  /** What set it off, as far as the agent's hooks knew. */
  readonly by: Cause | undefined
  readonly label: string | undefined
  readonly state: 'running' | 'done' | 'failed' | 'stopped' | 'ended'
  readonly requests: number
  readonly refused: number
  readonly tokens: number
  readonly usd: number
  readonly tools: number
  readonly edits: number
  readonly commands: number
  readonly errors: number
  /** Records that it wrote into the crew's memory. */
  readonly memory: number
  readonly pushes: number
  /** Pull requests and issues that it opened or named. */
  readonly links: readonly string[]
}

type Growing = { -readonly [Key in keyof RunSummary]: RunSummary[Key] } & { seen: Set<string>; at: number; last: number }

const mostLinks = 20
const linkShape = /https:\/\/github\.com\/[\w.-]+\/[\w.-]+\/(?:pull|issues)\/\d+/g

/** Takes lines in any order, each at most once. */
export class RunHistory {
  readonly #runs = new Map<string, Growing>()

  add(line: string): void {
    const found = stepOf(line)
    if (found) this.addStep(found.run, found.step)
  }

  addStep(id: string, step: Step): void {
    const run = this.#run(id, step.at)
    const key = stepKey(step)
    if (run.seen.has(key)) return
    run.seen.add(key)
    if (step.at < run.at) run.at = step.at
    if (step.at > run.last) run.last = step.at
    switch (step.from) {
      case 'audit':
        return addRecord(run, step.record)
      case 'agent':
        return addEvent(run, step.event)
      case 'memory':
        run.memory += 1
        run.agent ??= step.memory.agent
        return
      default:
        return step satisfies never
    }
  }

  /** The newest first. */
  summaries(): readonly RunSummary[] {
    return [...this.#runs.values()].toSorted((a, b) => b.at - a.at).map(summaryOf)
  }

  #run(id: string, at: number): Growing {
    let run = this.#runs.get(id)
    if (!run) this.#runs.set(id, (run = emptyRun(id, at)))
    return run
  }
}

/** The steps of one run, in the order of their time; a cause comes before what it set off. */
export function timelineOf(
  id: string,
  lines: Iterable<string>,
): { readonly summary: RunSummary | undefined; readonly steps: readonly Step[] } {
  const runs = new RunHistory()
  const steps = new Map<string, Step>()
  for (const line of lines) {
    // Cheaper than parsing; ids need no escape in JSON.
    if (!line.includes(id)) continue
    const found = stepOf(line)
    if (found?.run !== id) continue
    runs.addStep(id, found.step)
    const key = stepKey(found.step)
    if (!steps.has(key)) steps.set(key, found.step)
  }
  const [summary] = runs.summaries()
  return { summary, steps: [...steps.values()].toSorted((a, b) => a.at - b.at || rank(a) - rank(b)) }
}

/** Of steps in the same millisecond: a run begins before its prompt, that before its calls, and it ends last. */
function rank(step: Step): number {
  const event = step.from === 'audit' ? step.record.event : step.from === 'agent' ? step.event.event : 'wrote'
  if (event === 'minted' || event === 'bound') return 0
  if (event === 'started') return 1
  if (event === 'prompt') return 2
  if (event === 'outcome') return 5
  return event === 'ended' ? 6 : step.from === 'agent' ? 4 : 3
}

function addRecord(run: Growing, record: AuditRecord): void {
  run.agent ??= record.agent
  const { type, event, verdict, usage, method, path = '', status = 0 } = record
  if (type === 'run') {
    if (event === 'minted') run.label ??= record.reason
    if (event === 'ended' && run.state === 'running') run.state = 'ended'
    return
  }
  if (type === 'request' || type === 'upgrade') run.requests += 1
  if (verdict === 'deny' || verdict === 'would_deny') run.refused += 1
  if (verdict === 'error') run.errors += 1
  if (usage) {
    run.tokens += tokensOf(usage)
    run.usd += usage.usd ?? 0
  }
  if (verdict !== 'allow' || status < 200 || status > 299) return
  if (path.endsWith('/git-receive-pack')) run.pushes += 1
  const [, repository] = /^\/repos\/([^/]+\/[^/]+)\/pulls$/.exec(path) ?? []
  if (method === 'POST' && repository !== undefined && record.host === 'api.github.com')
    addLink(run, `https://github.com/${repository}/pulls`)
}

function addEvent(run: Growing, event: TimelineEvent): void {
  run.agent ??= event.agent
  run.by ??= event.by
  if (event.event === 'tool' || event.event === 'edit' || event.event === 'command') run.tools += 1
  if (event.event === 'edit') run.edits += 1
  if (event.event === 'command') run.commands += 1
  if (event.event === 'error') run.errors += 1
  if (event.event === 'outcome') run.state = event.outcome ?? 'done'
  for (const [link] of `${event.head ?? ''} ${event.reason ?? ''}`.matchAll(linkShape)) addLink(run, link)
}

function addLink(run: Growing, link: string): void {
  if (!run.links.includes(link) && run.links.length < mostLinks) run.links = [...run.links, link]
}

/** All tokens of a call; `reasoning` is a part of `output`. */
export function tokensOf(usage: MeteredUsage): number {
  let sum = 0
  for (const [name, count] of Object.entries(usage))
    if (typeof count === 'number' && name !== 'usd' && name !== 'reasoning') sum += count
  return sum
}

function emptyRun(id: string, at: number): Growing {
  return {
    id,
    agent: null,
    began: '',
    ended: '',
    by: undefined,
    label: undefined,
    state: 'running',
    requests: 0,
    refused: 0,
    tokens: 0,
    usd: 0,
    tools: 0,
    edits: 0,
    commands: 0,
    errors: 0,
    memory: 0,
    pushes: 0,
    links: [],
    seen: new Set(),
    at,
    last: at,
  }
}

function summaryOf({ seen: _seen, at, last, ...run }: Growing): RunSummary {
  return {
    ...run,
    usd: Math.round(run.usd * 1e9) / 1e9,
    began: new Date(at).toISOString(),
    ended: new Date(last).toISOString(),
  }
}
