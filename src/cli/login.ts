import { createInterface } from 'node:readline/promises'
import { askAdmin, problemOf } from './admin.ts'
import { exit, line, UsageError } from './command.ts'
import type { Command } from './command.ts'
import { readSettings, settingHelp, settingOptions } from './settings.ts'

export const login: Command = {
  name: 'login',
  summary: 'log a credential of a running proxy in: a link out, a code back',
  usage: '[options] CREDENTIAL',
  options: { ...settingOptions, code: { type: 'string' } },
  help: { ...settingHelp, code: 'the code, if a link was printed before; otherwise it is asked for' },
  examples: ['iron-proxy login claude', 'iron-proxy login claude --code CODE'],
  async run(input, terminal) {
    const { code, ...values } = input.values
    const [credential] = input.positionals
    if (credential === undefined) throw new UsageError('name a credential')
    const { settings } = await readSettings({ ...input, values }, terminal)
    if (!settings) return exit.config
    let given = typeof code === 'string' ? code : undefined
    if (given === undefined) {
      const begun = await askAdmin(settings, 'POST', '/v1/login', { credential })
      if (begun.status !== 200) {
        line(terminal.stderr, `iron-proxy: ${problemOf(begun)}`)
        return exit.unavailable
      }
      line(
        terminal.stdout,
        `Open this link, log in, and bring back the code it shows:\n\n${(begun.body as { url: string }).url}\n`,
      )
      const prompt = createInterface({ input: terminal.stdin, output: terminal.stdout })
      given = await prompt.question('Code: ').finally(() => prompt.close())
    }
    const finished = await askAdmin(settings, 'POST', '/v1/login/code', { credential, code: given })
    if (finished.status !== 200) {
      line(terminal.stderr, `iron-proxy: ${problemOf(finished)}`)
      return exit.unavailable
    }
    line(terminal.stdout, `${credential} is logged in (generation ${(finished.body as { generation: number }).generation})`)
    return exit.ok
  },
}
