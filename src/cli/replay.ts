import { formatIssue } from '#config/issue.ts'
import { loadPolicyAt } from '#config/load.ts'
import { Replay, replayText } from '#policy-tools/replay.ts'
import { inputHelp, inputOptions, readAudit } from './audit-input.ts'
import { exit, line } from './command.ts'
import type { Command } from './command.ts'
import { readSettings, settingHelp, settingOptions } from './settings.ts'

export const replay: Command = {
  name: 'replay',
  summary: 'decide again what the audit has seen, under an edited policy, and show what changes',
  usage: '[options] [FILE…]',
  options: { ...settingOptions, ...inputOptions, policy: { type: 'string' }, json: { type: 'boolean' } },
  help: {
    ...settingHelp,
    ...inputHelp,
    policy: 'the edited policy, a file or a directory (default: the setting `policies`)',
    json: 'for scripts',
  },
  words: 1000,
  settings: ['config', 'policies', 'audit-file', 'audit-nats-url', 'audit-nats-subject', 'audit-nats-credentials'],
  examples: ['iron-proxy replay --policy edited/ --since 1d audit.ndjson', 'iron-proxy replay --nats --json'],
  async run(input, terminal) {
    const { policy, json, since, until, nats, ...values } = input.values
    const { settings } = await readSettings({ ...input, values }, terminal)
    if (!settings) return exit.config
    const { snapshot, issues } = await loadPolicyAt(typeof policy === 'string' ? policy : settings.policies)
    if (!snapshot) {
      for (const issue of issues) if (issue.severity === 'error') line(terminal.stderr, formatIssue(issue))
      return exit.config
    }
    const again = new Replay(snapshot)
    const tally = await readAudit(input.positionals, { values: { since, until, nats } }, settings, terminal, (kind) =>
      again.add(kind),
    )
    const { changes, decided, changed } = again
    if (tally.skipped > 0) line(terminal.stderr, `iron-proxy replay: ${tally.skipped} lines are no audit records`)
    line(terminal.stdout, json ? JSON.stringify({ records: tally.lines, decided, changed, changes }, null, 2) : replayText(again))
    return changed === 0 ? exit.ok : exit.findings
  },
}
