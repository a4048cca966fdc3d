import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { formatIssue } from '#config/issue.ts'
import { settingKeys } from '#config/setting-keys.ts'
import { loadSettings } from '#config/settings.ts'
import type { LoadedSettings } from '#config/settings.ts'
import { adminSocket } from '#config/settings-schema.ts'
import { line } from './command.ts'
import type { Input, Options, Terminal } from './command.ts'

/** One flag for each setting, and the file they may stand in. */
export const settingOptions: Options = {
  config: { type: 'string', short: 'c' },
  ...Object.fromEntries(settingKeys.map(({ flag }) => [flag, { type: 'string' } as const])),
}

export const settingHelp: Readonly<Record<string, string>> = {
  config: 'settings file (default: iron-proxy.yaml, if it is there)',
  ...Object.fromEntries(
    settingKeys.map(({ flag, description, fallback }) => [
      flag,
      description + (fallback === undefined ? '' : ` (default ${written(fallback)})`),
    ]),
  ),
}

/** A default as one would write it behind the flag. */
function written(fallback: unknown): string {
  return typeof fallback === 'string' ? fallback : JSON.stringify(fallback).replace(/^(?:\[\]|\{\})$/, 'none')
}

/** Reads the settings a command was called with, and tells what is wrong with them. */
export async function readSettings({ values }: Input, terminal: Terminal): Promise<LoadedSettings> {
  const { config, ...flags } = values
  const file = typeof config === 'string' ? config : standardFile(terminal)
  const loaded = await loadSettings({ file, env: terminal.env, flags })
  for (const issue of loaded.issues) line(terminal.stderr, formatIssue(issue))
  return loaded
}

/**
 * The same, for a command that speaks with a running proxy: where nothing says which one, it is that of the working directory, and
 * else the one that `iron-proxy sandbox` keeps in the user's home.
 */
export async function readOperatorSettings(input: Input, terminal: Terminal): Promise<LoadedSettings> {
  const loaded = await readSettings(input, terminal)
  const { settings, origins } = loaded
  if (!settings || origins.get('listen.admin')?.origin !== 'default' || existsSync(adminSocket)) return loaded
  const socket = join(homeInstance(terminal), 'admin.sock')
  return existsSync(socket) ? { ...loaded, settings: { ...settings, listen: { ...settings.listen, admin: { socket } } } } : loaded
}

/** The directory of the proxy that `iron-proxy sandbox` starts: policies, secrets, CA and state of one user of this machine. */
export function homeInstance({ env }: Pick<Terminal, 'env'>): string {
  return join(env['HOME'] ?? '.', '.iron-proxy')
}

/** The settings file of the working directory; one named by the environment goes before it. */
export function standardFile({ env }: Terminal): string | undefined {
  const name = 'iron-proxy.yaml'
  return env['IRON_PROXY_CONFIG'] === undefined && existsSync(name) ? name : undefined
}
