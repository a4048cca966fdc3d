import { formatIssue } from '#config/issue.ts'
import { loadPolicyAt } from '#config/load.ts'
import { diffPolicies, diffText } from '#policy-tools/policy-diff.ts'
import { exit, line, UsageError } from './command.ts'
import type { Command } from './command.ts'

export const diff: Command = {
  name: 'diff',
  summary: 'compare two policies by the requests that they decide otherwise',
  usage: '[options] OLD NEW',
  options: { json: { type: 'boolean' } },
  help: { json: 'for scripts' },
  words: 2,
  examples: ['iron-proxy diff policies/ edited/', 'iron-proxy diff --json old.yaml new.yaml'],
  async run({ values, positionals: [before, after] }, terminal) {
    if (before === undefined || after === undefined) throw new UsageError('give two policies, each a file or a directory')
    const [one, other] = await Promise.all([loadPolicyAt(before), loadPolicyAt(after)])
    if (!one.snapshot || !other.snapshot) {
      for (const issue of [...one.issues, ...other.issues])
        if (issue.severity === 'error') line(terminal.stderr, formatIssue(issue))
      return exit.config
    }
    const found = diffPolicies(one.snapshot, other.snapshot)
    line(terminal.stdout, values['json'] ? JSON.stringify(found, null, 2) : diffText(found))
    const same = found.differences.length + found.added.length + found.removed.length === 0
    return same ? exit.ok : exit.findings
  },
}
