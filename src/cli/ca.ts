import { AuthorityError, createAuthority } from '#ca/authority.ts'
import { bundlePem } from '#ca/bundle.ts'
import { writeAuthority } from '#ca/files.ts'
import { activate, retire, stage } from '#ca/rotate.ts'
import type { RotationPlace } from '#ca/rotate.ts'
import { loadTrust } from '#ca/trust.ts'
import type { Settings } from '#config/settings-schema.ts'
import { askAdmin } from './admin.ts'
import { exit, line, UsageError } from './command.ts'
import type { Command, ExitCode, Input, Terminal } from './command.ts'
import { writeNamed } from './files.ts'
import { readSettings, settingHelp, settingOptions } from './settings.ts'

export const ca: Command = {
  name: 'ca',
  summary: 'make the CA, show it, replace it, print what agents should trust',
  usage: 'init | status | bundle | rotate --stage|--activate|--retire [options]',
  options: {
    ...settingOptions,
    name: { type: 'string' },
    days: { type: 'string' },
    out: { type: 'string', short: 'o' },
    only: { type: 'string' },
    stage: { type: 'boolean' },
    activate: { type: 'boolean' },
    retire: { type: 'boolean' },
    force: { type: 'boolean' },
    json: { type: 'boolean' },
  },
  help: {
    ...settingHelp,
    name: 'init, rotate: common name of the root',
    days: 'init, rotate: how long it lives (default 3650)',
    out: 'bundle: write to this file instead of standard output',
    only: 'bundle: `ours` leaves the public roots out',
    stage: 'rotate: make the next root; agents are handed both from now on',
    activate: 'rotate: sign with the next root; the old one vouches for it',
    retire: 'rotate: the old root is trusted no more, and its key is deleted',
    force: 'rotate: activate although the old root cannot vouch for the next',
    json: 'status: for scripts',
  },
  words: 1,
  settings: ['config', 'ca-cert', 'ca-key'],
  examples: [
    'iron-proxy ca init',
    'iron-proxy ca status',
    'iron-proxy ca bundle --out bundle.crt',
    'iron-proxy ca rotate --stage',
  ],
  async run(input, terminal) {
    const { name, days, out, only, json, stage: stages, activate: activates, retire: retires, force, ...values } = input.values
    const { settings } = await readSettings({ ...input, values }, terminal)
    if (!settings) return exit.config
    const place = { certPath: settings.ca.cert, keyPath: settings.ca.key, now: Date.now(), uid: terminal.uid }
    if (only !== undefined && only !== 'ours') throw new UsageError('--only takes ours')
    const order = { commonName: String(name ?? 'iron-proxy CA'), days: wholeDays(days) }
    try {
      switch (input.positionals[0]) {
        case 'init':
          await writeAuthority(createAuthority({ ...order, now: place.now }), place)
          line(terminal.stdout, `made ${place.certPath} and ${place.keyPath}; give agents the first and nobody the second`)
          return exit.ok
        case 'status':
          return await status(place, settings, Boolean(json), terminal)
        case 'bundle': {
          const bundle = bundlePem((await loadTrust(place)).ours, { only })
          if (typeof out === 'string') await writeNamed(out, bundle)
          else terminal.stdout.write(bundle)
          return exit.ok
        }
        case 'rotate': {
          const steps = Object.entries({ stage: stages, activate: activates, retire: retires }).flatMap(([step, on]) =>
            on ? [step] : [],
          )
          if (steps.length !== 1) throw new UsageError('say one of --stage, --activate and --retire')
          line(terminal.stdout, await rotate(steps[0] ?? '', place, order, Boolean(force)))
          return exit.ok
        }
        case undefined:
        default:
          throw new UsageError('say init, status, bundle or rotate')
      }
    } catch (error) {
      if (!(error instanceof AuthorityError)) throw error
      line(terminal.stderr, `iron-proxy: ${error.message}`)
      return error.code === 'ca_missing' ? exit.noInput : exit.config
    }
  },
}

/** Takes one step and tells the next. */
async function rotate(step: string, place: RotationPlace, order: Parameters<typeof stage>[1], force: boolean): Promise<string> {
  switch (step) {
    case 'stage': {
      const { crossSigned } = await stage(place, order)
      return crossSigned
        ? 'staged: the bundle has both roots now. When agents have fetched it (`iron-proxy ca status`), go on with --activate'
        : 'staged: the bundle has both roots now. The root in force cannot vouch for the next one, so wait until EVERY agent has the bundle and has been started anew; then go on with --activate --force'
    }
    case 'activate':
      await activate(place, force)
      return 'activated: the proxy signs with the new root, and the old one vouches for it. When every agent has been started anew with the bundle, end with --retire'
    default:
      await retire(place)
      return 'retired: only the new root is trusted, and the key of the old one is deleted'
  }
}

async function status(place: RotationPlace, settings: Settings, json: boolean, { stdout }: Terminal): Promise<ExitCode> {
  const { active, others, bundle } = await loadTrust(place)
  const { fingerprint, notBefore, notAfter } = active
  const iso = (at: number) => new Date(at).toISOString()
  const facts = {
    certificate: place.certPath,
    fingerprint,
    notBefore: iso(notBefore),
    notAfter: iso(notAfter),
    ...Object.fromEntries(others.map((each) => [each.role, `${each.fingerprint} until ${iso(each.notAfter)}`])),
    bundle,
    ...(await ofRunning(settings)),
  }
  const told = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value))
  const text = Object.entries(facts).map(([name, value]) => `${name.padEnd(12)} ${told(value)}`)
  line(stdout, json ? JSON.stringify(facts, null, 2) : text.join('\n'))
  return exit.ok
}

/** What only a running proxy knows: its intermediate, and which bundle each agent has fetched. */
async function ofRunning(settings: Settings): Promise<object> {
  const answer = await askAdmin(settings, 'GET', '/v1/status').catch(() => undefined)
  if (answer?.status !== 200) return {}
  const { issuing, fetched } = (answer.body as { ca?: { issuing?: unknown; fetched?: unknown } }).ca ?? {}
  return { issuing, fetched }
}

function wholeDays(days: Input['values'][string]): number {
  const count = days === undefined ? 3650 : Number(days)
  if (!Number.isInteger(count) || count < 1) throw new UsageError('--days takes a whole number of days')
  return count
}
