import type { BudgetMeasure, BudgetRow } from '#admin/budgets.ts'
import { toldByAdmin } from './admin.ts'
import { exit, line, UsageError } from './command.ts'
import type { Command, ExitCode, Input, Terminal } from './command.ts'
import { readOperatorSettings, settingHelp, settingOptions } from './settings.ts'

/** A limit of an account as `GET /v1/budgets` gives it: tokens are weighted, money is in US dollars. */
export const budget: Command = {
  name: 'budget',
  summary: 'show what agents have used of their budgets, set, reset or rename it, or put their clock right',
  usage: 'show [NAME] | set NAME [options] | reset NAME [options] | move NAME [options] | clock',
  options: {
    ...settingOptions,
    agent: { type: 'string' },
    tokens: { type: 'string' },
    usd: { type: 'string' },
    to: { type: 'string' },
    'to-agent': { type: 'string' },
    json: { type: 'boolean' },
  },
  help: {
    ...settingHelp,
    agent: 'set, reset, move: this agent; left out where the budget is shared by a crew',
    tokens: 'set: what counts as used in this window, in weighted tokens',
    usd: 'set: what counts as used in this window, in US dollars',
    to: 'move: what the budget is called now',
    'to-agent': 'move: what the agent is called now',
    json: 'for scripts',
  },
  words: 2,
  settings: ['config', 'listen-admin', 'admin-token'],
  examples: [
    'iron-proxy budget show',
    'iron-proxy budget set crew --agent devbot --tokens 1000000',
    'iron-proxy budget reset crew --agent devbot',
    'iron-proxy budget move crew --agent devbot --to-agent builder',
    'iron-proxy budget clock',
  ],
  async run(input, terminal) {
    const { agent, tokens, usd, json, to, 'to-agent': toAgent, ...values } = input.values
    const [verb, name, ...rest] = input.positionals
    if (!['show', 'set', 'reset', 'move', 'clock'].includes(verb ?? '') || rest.length > 0)
      throw new UsageError('say show, set, reset, move or clock')
    if (verb === 'clock') {
      if (name !== undefined) throw new UsageError(`unexpected argument ${JSON.stringify(name)}`)
      return putClockRight(values, terminal)
    }
    if (verb !== 'show' && name === undefined) throw new UsageError(`name the budget to ${verb}`)
    if (verb === 'move' && to === undefined && toAgent === undefined)
      throw new UsageError('say what it is called now: --to, --to-agent or both')
    const change = verb === 'set' ? changeOf({ tokens, usd }) : { tokens: 0, usd: 0 }
    const { settings } = await readOperatorSettings({ positionals: [], values }, terminal)
    if (!settings) return exit.config
    const all =
      verb === 'show'
        ? await toldByAdmin(settings, 'GET', '/v1/budgets')
        : verb === 'move'
          ? await toldByAdmin(settings, 'POST', '/v1/budgets/move', { budget: name, agent, to, to_agent: toAgent })
          : await toldByAdmin(settings, 'POST', '/v1/budgets/set', { budget: name, agent, ...change })
    const shown = verb === 'move' ? (to ?? name) : name
    const rows = (all as readonly BudgetRow[]).filter((row) => shown === undefined || row.budget === shown)
    if (rows.length === 0) {
      line(terminal.stderr, name === undefined ? 'no agent has a budget' : `no agent has a budget called ${JSON.stringify(name)}`)
      return exit.findings
    }
    line(terminal.stdout, json ? JSON.stringify(rows, null, 2) : rows.map(described).join('\n'))
    return exit.ok
  },
}

interface ClockAnswer {
  readonly before: number
  readonly ahead: number
  readonly emptied: readonly { readonly budget: string; readonly holder: string; readonly began: string }[]
}

/** Takes the clock of the proxy's machine for right, where budgets go by another time. */
async function putClockRight(values: Input['values'], terminal: Terminal): Promise<ExitCode> {
  const { settings } = await readOperatorSettings({ positionals: [], values }, terminal)
  if (!settings) return exit.config
  const { before, ahead, emptied } = (await toldByAdmin(settings, 'POST', '/v1/budgets/clock', {})) as ClockAnswer
  line(terminal.stdout, `budgets were ${Math.round(before)} s ahead of the clock, and are ${Math.round(ahead)} s ahead of it now`)
  for (const { budget: name, holder, began } of emptied)
    line(terminal.stdout, `${name} ${holder}: the window of ${began} has not begun; what was spent in it is taken back`)
  return exit.ok
}

function changeOf({ tokens, usd }: Input['values']): { readonly tokens?: number; readonly usd?: number } {
  const change = {
    ...(tokens !== undefined && { tokens: numberOf('tokens', tokens) }),
    ...(usd !== undefined && { usd: numberOf('usd', usd) }),
  }
  if (Object.keys(change).length === 0) throw new UsageError('say what counts as used: --tokens, --usd or both')
  return change
}

function numberOf(name: string, text: string | boolean): number {
  const value = Number(text)
  if (typeof text !== 'string' || text.trim() === '' || !Number.isFinite(value) || value < 0)
    throw new UsageError(`--${name} takes a number that is not negative`)
  if (name === 'tokens' && !Number.isInteger(value)) throw new UsageError('--tokens takes a whole number')
  return value
}

function described({ budget: name, holder, window, resets, requests, tokens, usd }: BudgetRow): string {
  const measures = [measure(tokens, 'tokens', String), measure(usd, 'usd', (value) => value.toFixed(2))].filter(
    (text) => text !== '',
  )
  return `${name.padEnd(16)} ${holder.padEnd(16)} ${window.padEnd(6)} ${measures.join('; ') || 'no limit'}; ${requests} requests; resets ${resets}`
}

function measure({ limit, used, reserved }: BudgetMeasure, unit: string, format: (value: number) => string): string {
  if (limit === null) return ''
  return `${format(used)} of ${format(limit)} ${unit}${reserved > 0 ? ` (${format(reserved)} more held)` : ''}`
}
