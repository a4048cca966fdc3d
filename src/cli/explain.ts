import { explain as explainRequest, explanationText, lineReader } from '#config/explain.ts'
import { formatIssue } from '#config/issue.ts'
import { loadPolicies } from '#config/load.ts'
import { exit, line, UsageError } from './command.ts'
import type { Command } from './command.ts'
import { readSettings, settingHelp, settingOptions } from './settings.ts'

export const explain: Command = {
  name: 'explain',
  summary: 'show how a request would be decided, and by which line',
  usage: '--agent AGENT [options] URL',
  options: {
    ...settingOptions,
    agent: { type: 'string', short: 'a' },
    method: { type: 'string', short: 'X' },
    json: { type: 'boolean' },
  },
  help: { ...settingHelp, agent: 'who asks', method: 'GET, unless said', json: 'for scripts' },
  words: 1,
  settings: ['config', 'policies'],
  examples: [
    'iron-proxy explain --agent local https://api.github.com/user',
    'iron-proxy explain -a local -X DELETE https://api.github.com/repos/a/b',
  ],
  async run(input, terminal) {
    const { agent, method = 'GET', json, ...values } = input.values
    const [url] = input.positionals
    if (typeof agent !== 'string' || url === undefined) throw new UsageError('give an agent and a URL')
    const { settings } = await readSettings({ ...input, values }, terminal)
    if (!settings) return exit.config
    const { snapshot, issues, files } = await loadPolicies(settings.policies)
    if (!snapshot) {
      for (const issue of issues) line(terminal.stderr, formatIssue(issue))
      return exit.config
    }
    const explanation = explainRequest(snapshot, agent, String(method), url, await lineReader(files))
    if ('problem' in explanation) throw new UsageError(explanation.problem)
    line(terminal.stdout, json ? JSON.stringify(explanation, null, 2) : explanationText(explanation))
    return explanation.verdict === 'allow' ? exit.ok : exit.findings
  },
}
