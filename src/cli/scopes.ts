import { join } from 'node:path'
import { stringify } from 'yaml'
import { formatIssue } from '#config/issue.ts'
import { exit, line, UsageError } from './command.ts'
import type { Command } from './command.ts'
import { readNamed, writeNamed } from './files.ts'
import { readCapabilities } from './scopes/capabilities.ts'
import type { Capabilities } from './scopes/capabilities.ts'
import { claudeOf } from './scopes/claude.ts'
import { policyOf } from './scopes/policy.ts'
import { rbacOf } from './scopes/rbac.ts'

/** Each layer: the file it makes for an agent, and what stands in it. */
const layers = {
  policy: {
    file: (agent: string) => `${agent}.yaml`,
    text: (given: Capabilities) => `# Made by iron-proxy scopes; edit capabilities.yaml instead.\n${yaml(policyOf(given))}`,
  },
  claude: {
    file: (agent: string) => `${agent}.settings.json`,
    text: (given: Capabilities) => `${JSON.stringify(claudeOf(given), null, 2)}\n`,
  },
  rbac: {
    file: (agent: string) => `${agent}.rbac.yaml`,
    text: (given: Capabilities) =>
      rbacOf(given)
        .map((manifest) => `---\n${yaml(manifest)}`)
        .join(''),
  },
} as const

function yaml(value: object): string {
  return stringify(value, { lineWidth: 0, aliasDuplicateObjects: false })
}

type Layer = keyof typeof layers

export const scopes: Command = {
  name: 'scopes',
  summary: 'turn what an agent may into policy rules, Claude denials and RBAC',
  usage: '[options] FILE...',
  options: { as: { type: 'string' }, out: { type: 'string', short: 'o' } },
  help: {
    as: 'policy, claude or rbac (default: policy; with --out all three)',
    out: 'write to AGENT.yaml, AGENT.settings.json and AGENT.rbac.yaml in this directory',
  },
  words: Infinity,
  examples: [
    'iron-proxy scopes deploy/agent/agents/example-devbot/capabilities.yaml',
    'iron-proxy scopes --as claude deploy/agent/agents/example-devbot/capabilities.yaml',
  ],
  async run({ values, positionals }, { stdout, stderr }) {
    const { as, out } = values
    if (positionals.length === 0) throw new UsageError('name a capabilities.yaml')
    if (as !== undefined && !isLayer(as)) throw new UsageError('--as takes policy, claude or rbac')
    const wanted: readonly Layer[] = as === undefined ? (out === undefined ? ['policy'] : ['policy', 'claude', 'rbac']) : [as]
    const read: Capabilities[] = []
    for (const file of positionals) {
      const { capabilities, issues } = readCapabilities(file, await readNamed(file))
      for (const issue of issues) line(stderr, formatIssue(issue))
      if (!capabilities) return exit.config
      read.push(capabilities)
    }
    for (const given of read) {
      for (const layer of wanted) {
        const { file, text } = layers[layer]
        if (typeof out === 'string') await writeNamed(join(out, file(given.agent)), text(given))
        else stdout.write(text(given))
      }
    }
    return exit.ok
  },
}

function isLayer(text: string | boolean): text is Layer {
  return typeof text === 'string' && Object.hasOwn(layers, text)
}
