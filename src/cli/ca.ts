import { writeFile } from 'node:fs/promises'
import { AuthorityError, createAuthority } from '#ca/authority.ts'
import { bundlePem } from '#ca/bundle.ts'
import { loadAuthority, writeAuthority } from '#ca/files.ts'
import { exit, line, UsageError } from './command.ts'
import type { Command, ExitCode, Input, Terminal } from './command.ts'
import { readSettings, settingHelp, settingOptions } from './settings.ts'

export const ca: Command = {
  name: 'ca',
  summary: 'make the CA, show it, print what agents should trust',
  usage: 'init | status | bundle [options]',
  options: {
    ...settingOptions,
    name: { type: 'string' },
    days: { type: 'string' },
    out: { type: 'string', short: 'o' },
    only: { type: 'string' },
    json: { type: 'boolean' },
  },
  help: {
    ...settingHelp,
    name: 'init: common name of the CA',
    days: 'init: how long it lives (default 3650)',
    out: 'bundle: write to this file instead of standard output',
    only: 'bundle: `ours` leaves the public roots out',
    json: 'status: for scripts',
  },
  examples: ['iron-proxy ca init', 'iron-proxy ca status', 'iron-proxy ca bundle --out bundle.crt'],
  async run(input, terminal) {
    const { name, days, out, only, json, ...values } = input.values
    const { settings } = await readSettings({ ...input, values }, terminal)
    if (!settings) return exit.config
    const paths = { certPath: settings.ca.cert, keyPath: settings.ca.key }
    const now = Date.now()
    try {
      switch (input.positionals[0]) {
        case 'init': {
          const made = createAuthority({ commonName: String(name ?? 'iron-proxy CA'), days: wholeDays(days), now })
          await writeAuthority(made, paths)
          line(terminal.stdout, `made ${paths.certPath} and ${paths.keyPath}; give agents the first and nobody the second`)
          return exit.ok
        }
        case 'status':
          return await status({ ...paths, now, uid: terminal.uid }, Boolean(json), terminal)
        case 'bundle': {
          const { certPem } = await loadAuthority({ ...paths, now, uid: terminal.uid })
          const bundle = bundlePem(certPem, { only: only === 'ours' ? 'ours' : undefined })
          if (typeof out === 'string') await writeFile(out, bundle)
          else terminal.stdout.write(bundle)
          return exit.ok
        }
        case undefined:
        default:
          throw new UsageError('say init, status or bundle')
      }
    } catch (error) {
      if (!(error instanceof AuthorityError)) throw error
      line(terminal.stderr, `iron-proxy: ${error.message}`)
      return error.code === 'ca_missing' ? exit.noInput : exit.config
    }
  },
}

async function status(paths: Parameters<typeof loadAuthority>[0], json: boolean, { stdout }: Terminal): Promise<ExitCode> {
  const { fingerprint, notBefore, notAfter } = await loadAuthority(paths)
  const facts = {
    certificate: paths.certPath,
    fingerprint,
    notBefore: new Date(notBefore).toISOString(),
    notAfter: new Date(notAfter).toISOString(),
  }
  const text = Object.entries(facts).map(([name, value]) => `${name.padEnd(12)} ${value}`)
  line(stdout, json ? JSON.stringify(facts, null, 2) : text.join('\n'))
  return exit.ok
}

function wholeDays(days: Input['values'][string]): number {
  const count = days === undefined ? 3650 : Number(days)
  if (!Number.isInteger(count) || count < 1) throw new UsageError('--days takes a whole number of days')
  return count
}
