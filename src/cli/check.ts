import { accessSync, constants } from 'node:fs'
import { checkJson, checkPolicies, checkText } from '#config/check.ts'
import { unusableFiles } from '#config/setting-files.ts'
import type { SecretRef } from '#base/secret.ts'
import { exit, line } from './command.ts'
import type { Command, Terminal } from './command.ts'
import { readSettings, settingHelp, settingOptions } from './settings.ts'

export const check: Command = {
  name: 'check',
  summary: 'say everything that is wrong with policies and settings',
  usage: '[options] [DIRECTORY]',
  options: { ...settingOptions, json: { type: 'boolean' }, strict: { type: 'boolean' }, print: { type: 'boolean' } },
  help: { ...settingHelp, json: 'for scripts', strict: 'warnings fail too', print: 'show each setting and where it comes from' },
  words: 1,
  settings: ['config', 'policies'],
  examples: ['iron-proxy check policies/', 'iron-proxy check --config iron-proxy.yaml --print'],
  async run(input, terminal) {
    const { json, strict, print, ...values } = input.values
    const { settings, origins } = await readSettings({ ...input, values }, terminal)
    if (!settings) return exit.config
    if (print) {
      for (const [path, { value, origin }] of origins)
        line(terminal.stdout, `${path.padEnd(24)} ${JSON.stringify(value)}  (${origin})`)
    }
    const directory = input.positionals[0] ?? settings.policies
    const report = await checkPolicies(directory, (ref) => readable(ref, terminal.env), await unusableFiles(settings))
    line(terminal.stdout, json ? checkJson(report) : checkText(report))
    return report.ok && !(strict && report.counts.warnings > 0) ? exit.ok : exit.findings
  },
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
