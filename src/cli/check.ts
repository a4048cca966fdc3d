import { accessSync, constants } from 'node:fs'
import { resolve } from 'node:path'
import { checkJson, checkPolicies, checkText } from '#config/check.ts'
import type { SeenModels } from '#config/check.ts'
import { reviewSettings } from '#config/review-settings.ts'
import { unusableFiles } from '#config/setting-files.ts'
import type { SecretRef } from '#base/secret.ts'
import type { Settings } from '#config/settings-schema.ts'
import { askAdmin } from './admin.ts'
import { exit, line } from './command.ts'
import type { Command, Terminal } from './command.ts'
import { readOperatorSettings, settingHelp, settingOptions } from './settings.ts'

export const check: Command = {
  name: 'check',
  summary: 'say everything that is wrong with policies and settings',
  usage: '[options] [DIRECTORY]',
  options: { ...settingOptions, json: { type: 'boolean' }, strict: { type: 'boolean' }, print: { type: 'boolean' } },
  help: { ...settingHelp, json: 'for scripts', strict: 'warnings fail too', print: 'show each setting and where it comes from' },
  words: 1,
  settings: ['config', 'policies', 'listen-admin', 'admin-token'],
  examples: ['iron-proxy check policies/', 'iron-proxy check --config iron-proxy.yaml --print'],
  async run(input, terminal) {
    const { json, strict, print, ...values } = input.values
    const { settings, origins } = await readOperatorSettings({ ...input, values }, terminal)
    if (!settings) return exit.config
    if (print) {
      for (const [path, { value, origin }] of origins)
        line(terminal.stdout, `${path.padEnd(24)} ${JSON.stringify(value)}  (${origin})`)
    }
    const directory = input.positionals[0] ?? settings.policies
    const seen = await seenBy(directory, settings)
    const besides = [...(await unusableFiles(settings)), ...reviewSettings(settings, origins)]
    const report = await checkPolicies(directory, (ref) => readable(ref, terminal.env), besides, seen)
    line(terminal.stdout, json ? checkJson(report) : checkText(report))
    return report.ok && !(strict && report.counts.warnings > 0) ? exit.ok : exit.findings
  },
}

/** Milliseconds a running proxy has to say what was spent. */
const patience = 2_000

/** What the proxy that runs on this directory has charged, and could not price; without one nothing is known. */
async function seenBy(directory: string, settings: Settings): Promise<SeenModels | undefined> {
  const answer = await askAdmin(settings, 'GET', '/v1/budgets/spent', undefined, patience).catch(() => undefined)
  if (answer?.status !== 200) return undefined
  const { policies, ...seen } = answer.body as SeenModels & { readonly policies: string }
  // Another proxy of this machine may have the usual port.
  return policies === resolve(directory) ? seen : undefined
}

function readable(ref: SecretRef, env: Terminal['env']): boolean {
  if ('env' in ref) return (env[ref.env] ?? '') !== ''
  try {
    accessSync(ref.file, constants.R_OK)
    return true
  } catch {
    return false
  }
}
