/** logs/ answers: what do my agents do, right now? `entry.ts` is one line, `sources.ts` where lines come from. */
import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileFault } from '#base/file-fault.ts'
import type { AuditRecord } from '#contracts/audit-record.ts'
import { exit, CommandFailure, line, UsageError } from '../command.ts'
import type { Command, Input, Terminal } from '../command.ts'
import { readOperatorSettings, settingHelp, settingOptions } from '../settings.ts'
import { entryText } from './entry.ts'
import { linesOfFile, linesOfProxy } from './sources.ts'

/** Milliseconds between two looks with `--follow`. */
const pause = 300

const verdicts = ['allow', 'deny', 'would_deny', 'error'] as const

export const logs: Command = {
  name: 'logs',
  summary: 'show what agents did, one line a request, and the rule that would allow what was refused',
  usage: '[options]',
  options: {
    ...settingOptions,
    follow: { type: 'boolean', short: 'f' },
    lines: { type: 'string', short: 'n' },
    agent: { type: 'string', short: 'a' },
    host: { type: 'string' },
    verdict: { type: 'string' },
    run: { type: 'string' },
    id: { type: 'string' },
    dns: { type: 'boolean' },
    file: { type: 'string' },
    json: { type: 'boolean' },
  },
  help: {
    ...settingHelp,
    follow: 'go on with what comes, until Ctrl-C',
    lines: 'at most so many of the latest (default 50)',
    agent: 'of this agent',
    host: 'to this host; *.example.com: to any below it',
    verdict: `${verdicts.join(', ')}; several with commas`,
    run: 'of this run',
    id: 'the request of this id, which refusals name as request_id',
    dns: 'DNS questions too',
    file: 'read this audit file (default: `audit.file`, else the running proxy)',
    json: 'the records as they are, for scripts',
  },
  settings: ['config', 'audit-file', 'listen-admin', 'admin-token'],
  examples: [
    'iron-proxy logs -f',
    'iron-proxy logs --verdict deny --agent coder',
    'iron-proxy logs --id 01JZX0000000000000000000000 --json',
  ],
  async run(input, terminal) {
    const { follow, lines, agent, host, verdict, run, id, dns, file, json, ...values } = input.values
    const wanted = filterOf({ agent, host, verdict, run, id, dns })
    const most = lines === undefined ? 50 : Number(lines)
    if (!Number.isInteger(most) || most < 1) throw new UsageError('--lines takes a whole number from 1')
    const { settings } = await readOperatorSettings({ positionals: [], values }, terminal)
    if (!settings) return exit.config
    const path = typeof file === 'string' ? file : settings.audit.file
    if (typeof file === 'string' && !existsSync(file))
      throw new CommandFailure(`${file}: cannot be read: it is not there`, exit.noInput)
    const source = path !== undefined && existsSync(path) ? linesOfFile(path) : linesOfProxy(settings)
    const look = async () => {
      try {
        return (await source())
          .filter((text) => text !== '')
          .flatMap(parsed)
          .filter(wanted)
      } catch (error) {
        if (error instanceof CommandFailure || path === undefined) throw error
        throw new CommandFailure(`${path}: cannot be read: ${fileFault(error)}`, exit.noInput)
      }
    }
    const show = (record: AuditRecord) =>
      line(terminal.stdout, json ? JSON.stringify(record) : entryText(record, terminal.colour))
    const found = (await look()).slice(-most)
    found.forEach(show)
    if (!follow) return found.length === 0 && id !== undefined ? notFound(String(id), terminal) : exit.ok
    const stop = new AbortController()
    const offs = (['SIGINT', 'SIGTERM'] as const).map((name) => terminal.onSignal(name, () => stop.abort()))
    terminal.stdout.on('error', () => stop.abort())
    while (!stop.signal.aborted) {
      await sleep(pause, undefined, { signal: stop.signal }).catch(() => {})
      if (!stop.signal.aborted) (await look()).forEach(show)
    }
    for (const off of offs) off()
    return exit.ok
  },
}

function notFound(id: string, { stderr }: Terminal): 1 {
  line(
    stderr,
    `iron-proxy logs: no record has the id ${JSON.stringify(id)}; the running proxy keeps the last 1,000, an audit file all`,
  )
  return exit.findings
}

function parsed(text: string): readonly AuditRecord[] {
  try {
    return [JSON.parse(text) as AuditRecord]
  } catch {
    // A line that was cut by a crash, or of a file that is no audit.
    return []
  }
}

function filterOf({ agent, host, verdict, run, id, dns }: Input['values']): (record: AuditRecord) => boolean {
  const asked = typeof verdict === 'string' ? verdict.split(',') : undefined
  const strange = asked?.find((each) => !(verdicts as readonly string[]).includes(each))
  if (strange !== undefined) throw new UsageError(`--verdict takes ${verdicts.join(', ')}, and not ${JSON.stringify(strange)}`)
  const zone = typeof host === 'string' && host.startsWith('*.') ? host.slice(1).toLowerCase() : undefined
  const isHost = (of: string | undefined) =>
    host === undefined || (zone === undefined ? of === String(host).toLowerCase() : (of?.endsWith(zone) ?? false))
  return (record) =>
    (dns === true || id !== undefined || record.type !== 'dns' || record.verdict !== 'allow') &&
    (agent === undefined || record.agent === agent) &&
    isHost(record.host) &&
    (asked?.includes(record.verdict) ?? true) &&
    (run === undefined || record.runId === run) &&
    (id === undefined || record.id === id)
}
