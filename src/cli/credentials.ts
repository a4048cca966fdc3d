import { toldByAdmin } from './admin.ts'
import { exit, line, UsageError } from './command.ts'
import type { Command } from './command.ts'
import { readOperatorSettings, settingHelp, settingOptions } from './settings.ts'

interface Row {
  readonly id: string
  readonly kind: string
  readonly loaded: boolean
  readonly generation?: number
  readonly expiresAt?: number
  readonly needsLogin?: string
  readonly lastRefresh?: { readonly at: number; readonly result: string }
  readonly scopes?: readonly string[]
  readonly identity?: {
    readonly kind: 'known' | 'unknown'
    readonly who?: string
    readonly about?: readonly string[]
    readonly scopes?: readonly string[]
    readonly reason?: string
  }
  readonly warnings?: readonly string[]
}

export const credentials: Command = {
  name: 'credentials',
  summary: 'show how the credentials of a running proxy are; never a value',
  usage: '[options] [CREDENTIAL]',
  options: { ...settingOptions, json: { type: 'boolean' }, whoami: { type: 'boolean' } },
  help: { ...settingHelp, json: 'for scripts', whoami: 'ask the provider now whose it is and what it may do' },
  words: 1,
  settings: ['config', 'listen-admin', 'admin-token'],
  examples: ['iron-proxy credentials', 'iron-proxy credentials --whoami github', 'iron-proxy credentials --json'],
  async run(input, terminal) {
    const { json, whoami, ...values } = input.values
    const [credential] = input.positionals
    const { settings } = await readOperatorSettings({ ...input, values }, terminal)
    if (!settings) return exit.config
    const all = whoami
      ? await toldByAdmin(settings, 'POST', '/v1/whoami', { credential })
      : await toldByAdmin(settings, 'GET', '/v1/credentials')
    const rows = (all as readonly Row[]).filter(({ id }) => credential === undefined || id === credential)
    if (credential !== undefined && rows.length === 0)
      throw new UsageError(`there is no credential ${JSON.stringify(credential)}`)
    line(terminal.stdout, json ? JSON.stringify(rows, null, 2) : rows.map(described).join('\n'))
    return rows.some(({ needsLogin }) => needsLogin) ? exit.findings : exit.ok
  },
}

function described(row: Row): string {
  const { id, kind, loaded, generation, expiresAt, needsLogin, lastRefresh, warnings = [] } = row
  const value = generation === undefined ? (loaded ? 'loaded' : 'no value yet') : `generation ${generation}`
  const facts = [
    needsLogin ? `needs login: ${needsLogin}` : value,
    expiresAt === undefined ? '' : `expires ${new Date(expiresAt).toISOString()}`,
    lastRefresh ? `${lastRefresh.result} ${new Date(lastRefresh.at).toISOString()}` : '',
    ...identified(row),
  ]
  const told = facts.filter((each) => each !== '').join(', ')
  return [`${id.padEnd(24)} ${kind.padEnd(12)} ${told}`, ...warnings.map((warning) => `  warning: ${warning}`)].join('\n')
}

/** Whose it is and what it may do, as far as somebody said. */
function identified({ identity, scopes = identity?.scopes }: Row): readonly string[] {
  const about = identity?.about?.length ? ` (${identity.about.join(', ')})` : ''
  return [
    identity === undefined ? '' : identity.kind === 'known' ? `${identity.who}${about}` : `unknown: ${identity.reason}`,
    scopes ? `scopes ${scopes.length > 0 ? scopes.join(' ') : 'none'}` : '',
  ]
}
