import { askAdmin, problemOf } from './admin.ts'
import { exit, line } from './command.ts'
import type { Command } from './command.ts'
import { readSettings, settingHelp, settingOptions } from './settings.ts'

interface Row {
  readonly id: string
  readonly kind: string
  readonly generation?: number
  readonly expiresAt?: number
  readonly needsLogin?: string
  readonly lastRefresh?: { readonly at: number; readonly result: string }
}

export const credentials: Command = {
  name: 'credentials',
  summary: 'show how the credentials of a running proxy are; never a value',
  usage: '[options]',
  options: { ...settingOptions, json: { type: 'boolean' } },
  help: { ...settingHelp, json: 'for scripts' },
  examples: ['iron-proxy credentials', 'iron-proxy credentials --json'],
  async run(input, terminal) {
    const { json, ...values } = input.values
    const { settings } = await readSettings({ ...input, values }, terminal)
    if (!settings) return exit.config
    const answer = await askAdmin(settings, 'GET', '/v1/credentials')
    if (answer.status !== 200) {
      line(terminal.stderr, `iron-proxy: ${problemOf(answer)}`)
      return exit.unavailable
    }
    const rows = answer.body as readonly Row[]
    line(terminal.stdout, json ? JSON.stringify(rows, null, 2) : rows.map(described).join('\n'))
    return rows.some(({ needsLogin }) => needsLogin) ? exit.findings : exit.ok
  },
}

function described({ id, kind, generation, expiresAt, needsLogin, lastRefresh }: Row): string {
  const state = needsLogin ? `needs login: ${needsLogin}` : generation === undefined ? 'no value yet' : `generation ${generation}`
  const expiry = expiresAt === undefined ? '' : `, expires ${new Date(expiresAt).toISOString()}`
  const last = lastRefresh ? `, ${lastRefresh.result} ${new Date(lastRefresh.at).toISOString()}` : ''
  return `${id.padEnd(24)} ${kind.padEnd(12)} ${state}${expiry}${last}`
}
