/** runs/ answers: what happened in a run, and what came of it? `sources.ts` and `nats.ts` are where lines come from. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Settings } from '#config/settings-schema.ts'
import { RunHistory, timelineOf } from '#timeline/runs.ts'
import type { RunSummary } from '#timeline/runs.ts'
import { causeText, countsText, stepText } from '#timeline/step-text.ts'
import { stepKey, stepOf } from '#timeline/step.ts'
import type { Step } from '#timeline/step.ts'
import { exit, line, UsageError } from '../command.ts'
import type { Command, ExitCode, Terminal } from '../command.ts'
import { readOperatorSettings, settingHelp, settingOptions } from '../settings.ts'
import { eachEvent } from './nats.ts'
import { eachLine, newLines } from './sources.ts'
import type { Named } from './sources.ts'

/** Milliseconds between two looks of `tail`. */
const pause = 300

/** Steps of which `tail` remembers that it showed them. */
const mostShown = 100_000

const colours = { plain: undefined, good: 32, refused: 33, wrong: 31 } as const

interface Asked extends Named {
  readonly json: boolean
  readonly nats: boolean
  readonly agent: string | undefined
  readonly most: number
}

export const runs: Command = {
  name: 'runs',
  summary: 'list runs, or show what happened in one: calls, tools, edits, cost, refusals, and what came of it',
  usage: '[show ID|tail] [options]',
  options: {
    ...settingOptions,
    agent: { type: 'string', short: 'a' },
    lines: { type: 'string', short: 'n' },
    file: { type: 'string' },
    events: { type: 'string' },
    memory: { type: 'string' },
    nats: { type: 'boolean' },
    json: { type: 'boolean' },
  },
  help: {
    ...settingHelp,
    agent: 'of this agent',
    lines: 'at most so many of the latest (default 50)',
    file: 'read this audit file and the rotated ones beside it (default: `audit.file`, else the running proxy)',
    events: 'files of what agents’ hooks wrote, with commas between them (default: `runs.events`)',
    memory: 'file of the crew’s memory (default: `runs.memory`)',
    nats: 'read the events of `audit.nats` in place of files',
    json: 'for scripts',
  },
  words: 2,
  settings: ['config', 'audit-file', 'runs-events', 'runs-memory', 'audit-nats-url', 'listen-admin', 'admin-token'],
  examples: [
    'iron-proxy runs',
    'iron-proxy runs show 6f1c3c1e-0d1c-4b9e-9b0a-6f0d4b1f9a11',
    'iron-proxy runs tail --agent coder',
  ],
  async run(input, terminal) {
    const { agent, lines, file, events, memory, nats, json, ...values } = input.values
    const [what = 'list', id] = input.positionals
    const most = lines === undefined ? 50 : Number(lines)
    if (!Number.isInteger(most) || most < 1) throw new UsageError('--lines takes a whole number from 1')
    if (what !== 'list' && what !== 'show' && what !== 'tail') throw new UsageError('write show ID, tail, or nothing')
    if ((what === 'show') !== (id !== undefined)) throw new UsageError(what === 'show' ? 'name the run' : `${what} takes no id`)
    const asked: Asked = {
      audit: textOf(file),
      events: textOf(events)?.split(','),
      memory: textOf(memory),
      json: json === true,
      nats: nats === true,
      agent: textOf(agent),
      most,
    }
    if (nats && what === 'tail') throw new UsageError('tail follows files or the running proxy; subscribe to NATS itself')
    const { settings } = await readOperatorSettings({ positionals: [], values }, terminal)
    if (!settings) return exit.config
    if (what === 'tail') return tail(settings, asked, terminal)
    return id === undefined ? list(settings, asked, terminal) : show(id, settings, asked, terminal)
  },
}

function textOf(value: string | boolean | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined
}

async function list(settings: Settings, asked: Asked, { stdout, stderr }: Terminal): Promise<ExitCode> {
  const found = new RunHistory()
  await lines(settings, asked, (text) => found.add(text))
  const summaries = found
    .summaries()
    .filter(({ agent }) => asked.agent === undefined || agent === asked.agent)
    .slice(0, asked.most)
  if (asked.json) line(stdout, JSON.stringify(summaries))
  else if (summaries.length === 0) line(stderr, 'iron-proxy runs: no run is known here; see deploy/agent for who names runs')
  else for (const run of summaries) line(stdout, rowOf(run))
  return exit.ok
}

async function show(id: string, settings: Settings, asked: Asked, terminal: Terminal): Promise<ExitCode> {
  const { stdout, stderr } = terminal
  const kept: string[] = []
  await lines(settings, asked, (text) => void (text.includes(id) && kept.push(text)))
  const { summary, steps } = timelineOf(id, kept)
  if (!summary) {
    line(stderr, `iron-proxy runs: nothing is known of the run ${JSON.stringify(id)}`)
    return exit.findings
  }
  if (asked.json) {
    line(stdout, JSON.stringify({ run: summary, steps: steps.map(plainStep) }))
    return exit.ok
  }
  line(stdout, `run ${summary.id} of ${summary.agent ?? '-'}: ${summary.state}, ${summary.began} to ${summary.ended}`)
  const about = [
    ['set off by', causeText(summary.by)],
    ['label', summary.label ?? ''],
    ['counted', countsText(summary)],
    ['came of it', summary.links.join(' ')],
  ] as const
  for (const [name, text] of about) if (text !== '') line(stdout, `  ${name}: ${text}`)
  for (const step of steps) line(stdout, stepLine(step, terminal.colour))
  return exit.ok
}

async function tail(settings: Settings, asked: Asked, terminal: Terminal): Promise<ExitCode> {
  const stop = new AbortController()
  const offs = (['SIGINT', 'SIGTERM'] as const).map((name) => terminal.onSignal(name, () => stop.abort()))
  terminal.stdout.on('error', () => stop.abort())
  const look = newLines(settings, asked)
  const shown = new Set<string>()
  const news = async () =>
    (await look())
      .flatMap((text) => stepOf(text) ?? [])
      .filter(({ step }) => asked.agent === undefined || agentOf(step) === asked.agent)
      .filter(({ step }) => !shown.has(stepKey(step)))
      .toSorted((a, b) => a.step.at - b.step.at)
  let wanted = (await news()).slice(-asked.most)
  while (!stop.signal.aborted) {
    for (const { run, step } of wanted) {
      if (shown.size >= mostShown) shown.clear()
      shown.add(stepKey(step))
      line(
        terminal.stdout,
        asked.json ? JSON.stringify({ run, ...plainStep(step) }) : `${run.slice(0, 8)} ${stepLine(step, terminal.colour)}`,
      )
    }
    await sleep(pause, undefined, { signal: stop.signal }).catch(() => {})
    wanted = stop.signal.aborted ? [] : await news()
  }
  for (const off of offs) off()
  return exit.ok
}

async function lines(settings: Settings, asked: Asked, take: (line: string) => void): Promise<void> {
  if (asked.nats) {
    await eachEvent(settings, take)
    if (asked.memory === undefined && settings.runs.memory === undefined) return
    await eachLine(settings, { ...asked, audit: undefined, events: [] }, take)
  } else await eachLine(settings, asked, take)
}

function agentOf(step: Step): string | null {
  return step.from === 'audit' ? step.record.agent : step.from === 'agent' ? step.event.agent : step.memory.agent
}

/** The line behind a step, with where it came from. */
function plainStep(step: Step): object {
  const { from } = step
  return { from, ...(from === 'audit' ? step.record : from === 'agent' ? step.event : step.memory) }
}

function stepLine(step: Step, colour: boolean): string {
  const { what, text, mood } = stepText(step)
  const paint = colour ? colours[mood] : undefined
  const told = `${what.padEnd(8)} ${text}`
  return `${new Date(step.at).toISOString().slice(11, 23)} ${step.from.padEnd(6)} ${paint === undefined ? told : `\u001B[${paint}m${told}\u001B[0m`}`
}

function rowOf(run: RunSummary): string {
  const cells = [
    run.began.slice(0, 19),
    run.id.padEnd(36),
    (run.agent ?? '-').padEnd(12),
    run.state.padEnd(8),
    countsText(run),
    causeText(run.by),
    run.links.join(' '),
  ]
  return cells
    .filter((cell) => cell !== '')
    .join('  ')
    .trimEnd()
}
