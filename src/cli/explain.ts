import type { BudgetRow } from '#admin/budgets.ts'
import { existsSync } from 'node:fs'
import { dirname, relative, resolve } from 'node:path'
import type { ExplainedBudget, BudgetForecast } from '#config/explain-cost.ts'
import { explain as explainRequest, explanationText, lineReader } from '#config/explain.ts'
import { formatIssue } from '#config/issue.ts'
import { loadPolicies, testFilePattern } from '#config/load.ts'
import type { Settings } from '#config/settings-schema.ts'
import type { Snapshot } from '#contracts/snapshot.ts'
import { judge } from '#policy-tools/judge.ts'
import { withCase } from '#policy-tools/save-case.ts'
import { readTests } from '#policy-tools/test-file.ts'
import { askAdmin } from './admin.ts'
import { exit, CommandFailure, line, UsageError } from './command.ts'
import type { Command } from './command.ts'
import { readNamed, writeNamed } from './files.ts'
import { readOperatorSettings, settingHelp, settingOptions } from './settings.ts'

export const explain: Command = {
  name: 'explain',
  summary: 'show how a request would be decided, and by which line',
  usage: '[--agent AGENT] [options] URL',
  options: {
    ...settingOptions,
    agent: { type: 'string', short: 'a' },
    method: { type: 'string', short: 'X' },
    json: { type: 'boolean' },
    save: { type: 'string' },
  },
  help: {
    ...settingHelp,
    agent: 'who asks; not needed where the policy has one agent',
    method: 'GET, unless said',
    json: 'for scripts',
    save: 'add this request, and how it is decided, to the test file of this name',
  },
  words: 1,
  settings: ['config', 'policies', 'listen-admin', 'admin-token'],
  examples: [
    'iron-proxy explain --agent local https://api.github.com/user',
    'iron-proxy explain -a local -X DELETE https://api.github.com/repos/a/b',
    'iron-proxy explain -a local --save policies/local.test.yaml https://api.github.com/user',
  ],
  async run(input, terminal) {
    const { agent, method = 'GET', json, save, ...values } = input.values
    const [url] = input.positionals
    if (url === undefined) throw new UsageError('give a URL')
    const { settings } = await readOperatorSettings({ ...input, values }, terminal)
    if (!settings) return exit.config
    const { snapshot, issues, files } = await loadPolicies(settings.policies)
    if (!snapshot) {
      for (const issue of issues) line(terminal.stderr, formatIssue(issue))
      return exit.config
    }
    const agents = [...snapshot.policy.agents.keys()]
    const who = typeof agent === 'string' ? agent : agents.length === 1 ? agents[0] : undefined
    if (who === undefined) throw new UsageError(`give an agent with -a: ${agents.join(', ') || 'the policy has none'}`)
    const explanation = explainRequest(snapshot, who, String(method), url, await lineReader(files))
    if ('problem' in explanation) throw new UsageError(explanation.problem)
    const budgets = await filled(explanation.budgets, settings)
    const full = { ...explanation, budgets }
    line(terminal.stdout, json ? JSON.stringify(full, null, 2) : explanationText(full))
    if (typeof save === 'string') await saveCase(save, snapshot, who, { method: String(method), url }, settings.policies)
    return explanation.verdict === 'allow' ? exit.ok : exit.findings
  },
}

/** Adds the request to a test file, which is made where it is not there. Throws `Failure`. */
async function saveCase(
  file: string,
  snapshot: Snapshot,
  agent: string,
  request: { readonly method: string; readonly url: string },
  policies: string,
): Promise<void> {
  if (!testFilePattern.test(file)) throw new UsageError(`${file}: a test file ends in .test.yaml`)
  const asked = snapshot.policy.agents.get(agent)
  const judgment = asked && judge(snapshot, asked, { ...request, headers: [] })
  if (!judgment || 'problem' in judgment) throw new UsageError(judgment?.problem ?? `no agent is called ${agent}`)
  const folder = dirname(resolve(file))
  const policy = folder === resolve(policies) ? undefined : relative(folder, resolve(policies))
  const text = existsSync(file) ? String(await readNamed(file)) : undefined
  const saved = withCase(text, agent, request, judgment, policy)
  if (saved === undefined || readTests(file, Buffer.from(saved)).issues.length > 0)
    throw new CommandFailure(
      `${file}: has no list of cases to add to; \`iron-proxy test\` says what is wrong with it`,
      exit.config,
    )
  await writeNamed(file, saved)
}

/** Milliseconds a running proxy has to say how full budgets are; without it the limits alone are shown. */
const patience = 2_000

/** The budgets with what a running proxy tells of them, where one answers and knows them. */
async function filled(budgets: readonly ExplainedBudget[], settings: Settings): Promise<readonly ExplainedBudget[]> {
  if (budgets.length === 0) return budgets
  // Without its token there is nobody to ask either.
  const answer = await askAdmin(settings, 'GET', '/v1/budgets', undefined, patience).catch(() => undefined)
  const rows = answer?.status === 200 && Array.isArray(answer.body) ? (answer.body as readonly BudgetRow[]) : []
  return budgets.map((budget) => {
    const row = rows.find((each) => each.budget === budget.id && each.holder === budget.holder)
    return row ? { ...budget, standing: standingOf(row) } : budget
  })
}

function standingOf({ tokens, usd, resets }: BudgetRow): BudgetForecast {
  return {
    used: { tokens: tokens.used, usd: usd.used },
    reserved: { tokens: tokens.reserved, usd: usd.reserved },
    resets,
  }
}
