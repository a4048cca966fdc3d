import { fileFault } from '#base/file-fault.ts'
import { formatIssue } from '#config/issue.ts'
import { unusableFiles } from '#config/setting-files.ts'
import type { Settings } from '#config/settings-schema.ts'
import { backUp } from '#store/state-backup.ts'
import { copyState } from '#store/state-copy.ts'
import { restoreState } from '#store/state-restore.ts'
import { isRedisPlace } from '#store/redis/place.ts'
import { StoreError } from '#store/store-error.ts'
import type { StoreFault } from '#store/store-error.ts'
import { exit, CommandFailure, line, UsageError } from './command.ts'
import type { Command, ExitCode, Terminal } from './command.ts'
import { readSettings, settingHelp, settingOptions } from './settings.ts'

export const state: Command = {
  name: 'state',
  summary: 'back up and restore grants, spend and runs, or carry them from a file to Redis',
  usage: 'backup FILE | restore FILE [--trust-grants] | copy [options]',
  options: { ...settingOptions, from: { type: 'string' }, 'trust-grants': { type: 'boolean' } },
  help: {
    ...settingHelp,
    from: 'copy: the file that `state` was until now (default: .iron-proxy/state.db)',
    'trust-grants': 'restore: no proxy has used the logins since the backup; without it each needs a new login',
  },
  words: 2,
  settings: ['config', 'state', 'seal-key', 'redis-password', 'redis-prefix'],
  examples: [
    'iron-proxy state backup /backups/monday.db',
    'iron-proxy state restore /backups/monday.db',
    'iron-proxy state copy --state redis://cache:6379/0',
    'iron-proxy state copy --from /data/state.db --config iron-proxy.yaml',
  ],
  async run(input, terminal) {
    const { from, 'trust-grants': trust, ...values } = input.values
    const [verb, file] = input.positionals
    if (verb !== 'backup' && verb !== 'restore' && verb !== 'copy') throw new UsageError('say backup, restore or copy')
    if (verb === 'copy' && file !== undefined) throw new UsageError(`unexpected argument ${JSON.stringify(file)}`)
    if (verb !== 'copy' && file === undefined) throw new UsageError(`name the file to ${verb === 'backup' ? 'write' : 'read'}`)
    if (verb !== 'copy' && from !== undefined) throw new UsageError('--from is for copy; say --state')
    if (verb !== 'restore' && trust !== undefined) throw new UsageError('--trust-grants is for restore')
    const { settings } = await readSettings({ positionals: [], values }, terminal)
    if (!settings) return exit.config
    try {
      if (verb === 'copy') return await copy(typeof from === 'string' ? from : '.iron-proxy/state.db', settings, terminal)
      if (isRedisPlace(settings.state))
        throw new UsageError('the state is on a Redis: back up its files, and each replica brings back what it knows')
      if (verb === 'backup') return writeBackup(file ?? '', settings, terminal)
      return restore(file ?? '', settings, { terminal, trustGrants: trust === true })
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      throw new CommandFailure(error.message, exits[error.code] ?? exit.config)
    }
  },
}

/** Other faults are mended in the settings, or with another key or file. */
const exits: Readonly<Partial<Record<StoreFault, ExitCode>>> = {
  store_io: exit.unavailable,
  store_locked: exit.unavailable,
  store_in_use: exit.unavailable,
  store_full: exit.cantCreate,
  store_readonly: exit.cantCreate,
  store_missing: exit.noInput,
}

function writeBackup(file: string, settings: Settings, { stdout }: Terminal): ExitCode {
  try {
    const parts = backUp(settings.state, file, Date.now())
    line(stdout, `${file}: ${parts.join(', ')}; keep ${settings.sealKey} elsewhere: without it the backup opens for nobody`)
    return exit.ok
  } catch (error) {
    if (error instanceof StoreError) throw error
    throw new CommandFailure(`${file}: cannot be written: ${fileFault(error)}`, exit.cantCreate)
  }
}

function restore(
  file: string,
  { state: path, sealKey }: Settings,
  { terminal, trustGrants }: { readonly terminal: Terminal; readonly trustGrants: boolean },
): ExitCode {
  const { at, grants, accounts, runs, aside } = restoreState({
    file,
    path,
    sealKey,
    uid: terminal.uid,
    trustGrants,
    now: Date.now(),
  })
  for (const { credential, generation, needsLogin } of grants)
    line(
      terminal.stdout,
      `${credential}: generation ${generation}${needsLogin ? `, needs a login: iron-proxy login ${credential}` : ''}`,
    )
  for (const moved of aside) line(terminal.stdout, `what was there is now ${moved}`)
  line(
    terminal.stdout,
    `${grants.length} grants, the spend of ${accounts} accounts and ${runs} runs of ${new Date(at).toISOString()} are in ${path}`,
  )
  return exit.ok
}

async function copy(from: string, settings: Settings, terminal: Terminal): Promise<ExitCode> {
  if (!isRedisPlace(settings.state)) throw new UsageError('say where to with --state redis://host:6379/0')
  const unusable = (await unusableFiles(settings)).filter(({ path }) => path.startsWith('redis.'))
  for (const issue of unusable) line(terminal.stderr, formatIssue(issue))
  if (unusable.length > 0) return exit.config
  const { grants, accounts, runs } = await copyState(from, settings, terminal.uid)
  for (const { credential, generation, kept } of grants)
    line(terminal.stdout, `${credential}: generation ${generation}${kept ? ' was there already, and stays' : ''}`)
  line(
    terminal.stdout,
    `${grants.length} grants, the spend of ${accounts} accounts and ${runs} runs are in ${settings.state.replace(/\/\/[^@/]*@/, '//')}`,
  )
  return exit.ok
}
