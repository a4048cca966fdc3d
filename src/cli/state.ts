import { formatIssue } from '#config/issue.ts'
import { unusableFiles } from '#config/setting-files.ts'
import { copyState } from '#store/state-copy.ts'
import { isRedisPlace } from '#store/redis-place.ts'
import { StoreError } from '#store/store-error.ts'
import { exit, line, UsageError } from './command.ts'
import type { Command } from './command.ts'
import { readSettings, settingHelp, settingOptions } from './settings.ts'

export const state: Command = {
  name: 'state',
  summary: 'carry grants, spend and runs from a file to Redis',
  usage: 'copy [options]',
  options: { ...settingOptions, from: { type: 'string' } },
  help: { ...settingHelp, from: 'copy: the file that `state` was until now (default: .iron-proxy/state.db)' },
  words: 1,
  settings: ['config', 'state', 'seal-key', 'redis-password', 'redis-prefix'],
  examples: [
    'iron-proxy state copy --state redis://cache:6379/0',
    'iron-proxy state copy --from /data/state.db --config iron-proxy.yaml',
  ],
  async run(input, terminal) {
    const { from = '.iron-proxy/state.db', ...values } = input.values
    if (input.positionals[0] !== 'copy' || input.positionals.length > 1 || typeof from !== 'string')
      throw new UsageError('say copy')
    const { settings } = await readSettings({ positionals: [], values }, terminal)
    if (!settings) return exit.config
    if (!isRedisPlace(settings.state)) throw new UsageError('say where to with --state redis://host:6379/0')
    const unusable = (await unusableFiles(settings)).filter(({ path }) => path.startsWith('redis.'))
    for (const issue of unusable) line(terminal.stderr, formatIssue(issue))
    if (unusable.length > 0) return exit.config
    try {
      const { grants, accounts, runs } = await copyState(from, settings, terminal.uid)
      for (const { credential, generation, kept } of grants)
        line(terminal.stdout, `${credential}: generation ${generation}${kept ? ' was there already, and stays' : ''}`)
      line(
        terminal.stdout,
        `${grants.length} grants, the spend of ${accounts} accounts and ${runs} runs are in ${settings.state.replace(/\/\/[^@/]*@/, '//')}`,
      )
      return exit.ok
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      line(terminal.stderr, `iron-proxy: ${error.message}`)
      return error.code === 'store_io' ? exit.unavailable : exit.config
    }
  },
}
