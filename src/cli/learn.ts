import { dirname, join } from 'node:path'
import { formatIssue } from '#config/issue.ts'
import { loadPolicies } from '#config/load.ts'
import type { LoadedPolicies } from '#config/load.ts'
import { unifiedDiff } from '#policy-tools/append.ts'
import { draftInto, draftPolicy } from '#policy-tools/draft.ts'
import type { LearnOptions } from '#policy-tools/learn.ts'
import { risks } from '#policy-tools/risks.ts'
import type { Risk } from '#policy-tools/risks.ts'
import { Traffic } from '#policy-tools/traffic.ts'
import { inputHelp, inputOptions, readAudit } from './audit-input.ts'
import { exit, CommandFailure, line, UsageError } from './command.ts'
import type { Command, ExitCode, Terminal } from './command.ts'
import { readNamed, writeNamed } from './files.ts'
import { readSettings, settingHelp, settingOptions } from './settings.ts'

/** What may be included; the others no rule of ours allows. */
const includable: readonly Risk[] = risks.filter((risk) => ['delete', 'upload', 'refused'].includes(risk))

export const learn: Command = {
  name: 'learn',
  summary: 'propose the least policy that lets through what the audit has seen',
  usage: '[options] [FILE…]',
  options: {
    ...settingOptions,
    ...inputOptions,
    agent: { type: 'string', short: 'a' },
    include: { type: 'string' },
    merge: { type: 'string' },
    'whole-hosts': { type: 'boolean' },
    into: { type: 'string' },
    write: { type: 'boolean' },
    out: { type: 'string', short: 'o' },
  },
  help: {
    ...settingHelp,
    ...inputHelp,
    agent: 'only what this agent did',
    include: `risky requests too: ${includable.join(', ')}; several with commas`,
    merge: 'more paths than this that differ in one segment become one pattern (default 8)',
    'whole-hosts': 'whole hosts, without methods and paths',
    into: 'print a diff that adds what is missing to this policy file',
    write: 'with --into: edit the file',
    out: 'write to this file instead',
  },
  words: 1000,
  settings: ['config', 'policies', 'audit-file', 'audit-nats-url', 'audit-nats-subject', 'audit-nats-credentials'],
  examples: [
    'iron-proxy learn --since 2d audit.ndjson > policies/learned.yaml',
    'iron-proxy learn --into policies/crew.yaml --write audit.ndjson',
  ],
  async run(input, terminal) {
    const { agent, include, merge, into, write, out, since, until, nats, 'whole-hosts': wholeHosts, ...values } = input.values
    if (write && into === undefined) throw new UsageError('--write edits the file that --into names')
    const options = { merge: mergeOf(merge), wholeHosts: wholeHosts === true }
    const { settings } = await readSettings({ ...input, values }, terminal)
    if (!settings) return exit.config
    const directory = typeof into === 'string' ? dirname(into) : settings.policies
    const existing = await loadPolicies(directory)
    const traffic = new Traffic(includeOf(include))
    const tally = await readAudit(input.positionals, { values: { since, until, nats } }, settings, terminal, (kind) => {
      if (agent === undefined || kind.record.agent === agent) traffic.add(kind)
    })
    if (tally.skipped > 0) line(terminal.stderr, `iron-proxy learn: ${tally.skipped} lines are no audit records`)
    if (typeof into === 'string') return edit(into, directory, existing, traffic, options, write === true, out, terminal)
    const { text, leftOut } = await draftPolicy(traffic, existing, options)
    await print(`# Learned from the audit; read it before you use it.\n${text}${leftOut && `\n${leftOut}`}`, out, terminal)
    return exit.ok
  },
}

async function edit(
  file: string,
  directory: string,
  existing: LoadedPolicies,
  traffic: Traffic,
  options: LearnOptions,
  write: boolean,
  out: unknown,
  terminal: Terminal,
): Promise<ExitCode> {
  const text = String(await readNamed(file))
  if (!existing.snapshot) {
    for (const issue of existing.issues) if (issue.severity === 'error') line(terminal.stderr, formatIssue(issue))
    return exit.config
  }
  const named = existing.files.find((each) => join(each) === join(file))
  if (named === undefined) throw new CommandFailure(`${file}: is no policy file of ${directory}`, exit.config)
  const draft = await draftInto(traffic, existing, directory, { file: named, text }, options)
  if (!draft)
    throw new CommandFailure(`${file}: its rules are no list of lines to add to; \`iron-proxy fmt\` makes it one`, exit.config)
  if (write) await writeNamed(file, draft.text)
  else await print(unifiedDiff(file, text, draft.text), out, terminal)
  terminal.stderr.write(draft.leftOut)
  return exit.ok
}

async function print(text: string, out: unknown, { stdout }: Terminal): Promise<void> {
  if (typeof out === 'string') await writeNamed(out, text)
  else stdout.write(text)
}

function mergeOf(value: unknown): number {
  const merge = value === undefined ? 8 : Number(value)
  if (!Number.isInteger(merge) || merge < 1) throw new UsageError('--merge takes a whole number from 1')
  return merge
}

function includeOf(value: unknown): ReadonlySet<Risk> {
  if (typeof value !== 'string') return new Set()
  const asked = value.split(',')
  const strange = asked.find((each) => !(includable as readonly string[]).includes(each))
  if (strange !== undefined) throw new UsageError(`--include takes ${includable.join(', ')}, and not ${JSON.stringify(strange)}`)
  return new Set(asked as Risk[])
}
