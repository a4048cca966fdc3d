import { existsSync } from 'node:fs'
import { fileFault } from '#base/file-fault.ts'
import type { Settings } from '#config/settings-schema.ts'
import { oldFiles } from '#observe/rotation.ts'
import { fingerprint, headsFile, readHeads, readPublicKey } from '#observe/signed-heads.ts'
import { verifyChain } from '#observe/verify-chain.ts'
import type { ChainReport } from '#observe/verify-chain.ts'
import { exit, CommandFailure, line, UsageError } from './command.ts'
import type { Command, Input } from './command.ts'
import { readSettings, settingHelp, settingOptions } from './settings.ts'

/** Files that may be named at once. */
const mostFiles = 1_000

export const audit: Command = {
  name: 'audit',
  summary: 'verify that nobody changed the audit (`audit.chain`), or print the public key of its heads',
  usage: 'verify|key [options] [FILE…]',
  options: { ...settingOptions, key: { type: 'string' }, heads: { type: 'string' }, json: { type: 'boolean' } },
  help: {
    ...settingHelp,
    key: 'file of the key, public or private (default: `audit.signKey`)',
    heads: 'file of the signed heads (default: beside the audit, `.heads`)',
    json: 'for scripts',
  },
  words: mostFiles,
  settings: ['config', 'audit-file', 'audit-sign-key'],
  examples: [
    'iron-proxy audit verify',
    'iron-proxy audit key > audit.pub',
    'iron-proxy audit verify --key audit.pub --heads copy.heads audit.jsonl.* audit.jsonl',
  ],
  async run(input, terminal) {
    const { key: keyFile, heads: headsPath, json, ...values } = input.values
    const [what, ...named] = input.positionals
    if (what !== 'verify' && what !== 'key') throw new UsageError('write verify or key')
    const { settings } = await readSettings({ positionals: [], values }, terminal)
    if (!settings) return exit.config
    const key = await keyOf(keyFile, settings)
    if (what === 'key') {
      terminal.stdout.write(key.export({ type: 'spki', format: 'pem' }))
      return exit.ok
    }
    const { file } = settings.audit
    if (named.length === 0 && file === undefined) throw new UsageError('name the files of the audit: `audit.file` is not set')
    const files = named.length > 0 ? named.filter((each) => !each.endsWith('.heads')) : await auditFiles(file ?? '')
    const heads = typeof headsPath === 'string' ? headsPath : headsFile(file ?? named.at(-1) ?? '')
    const report = await reading(heads, async () => verifyChain(files, await readHeads(heads), key))
    if (json) line(terminal.stdout, JSON.stringify(report))
    else terminal.stdout.write(reportText(report, fingerprint(key)))
    return report.findings.length === 0 && report.records > 0 ? exit.ok : exit.findings
  },
}

async function keyOf(named: Input['values'][string], { audit: { signKey } }: Settings) {
  const path = typeof named === 'string' ? named : signKey
  return reading(path, () => readPublicKey(path))
}

/** The file that grows, and those before it. */
async function auditFiles(file: string): Promise<readonly string[]> {
  return [...(await oldFiles(file)), ...(existsSync(file) ? [file] : [])]
}

async function reading<Read>(path: string, read: () => Promise<Read>): Promise<Read> {
  try {
    return await read()
  } catch (error) {
    const { code, path: at = path, message } = error as NodeJS.ErrnoException
    throw new CommandFailure(code === undefined ? message : `${at}: cannot be read: ${fileFault(error)}`, exit.noInput)
  }
}

function reportText({ records, unchained, heads, signedTo, unsigned, findings, warnings }: ChainReport, key: string): string {
  const count = (number: number, noun: string) => `${number.toLocaleString('en')} ${noun}${number === 1 ? '' : 's'}`
  const said = [
    ...findings.map((text) => `changed: ${text}`),
    ...warnings.map((text) => `warning: ${text}`),
    ...(unchained > 0 ? [`warning: ${count(unchained, 'line')} from before the chain began`] : []),
    records === 0
      ? 'no record has a link of the chain; set audit.chain'
      : `${count(records, 'record')}, ${count(heads, 'head')} of the key ${key}: ` +
        `${findings.length === 0 ? 'whole' : 'not whole'}, signed up to record ${signedTo.toLocaleString('en')}` +
        (unsigned > 0 ? `, ${unsigned.toLocaleString('en')} not signed yet` : ''),
  ]
  return `${said.join('\n')}\n`
}
