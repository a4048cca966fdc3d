import { createInterface } from 'node:readline/promises'
import { adminUrl, toldByAdmin } from './admin.ts'
import { exit, line, UsageError } from './command.ts'
import type { Command } from './command.ts'
import { readSettings, settingHelp, settingOptions } from './settings.ts'

export const login: Command = {
  name: 'login',
  summary: 'log a credential of a running proxy in: a link out, a code back',
  usage: '[options] CREDENTIAL',
  options: { ...settingOptions, code: { type: 'string' }, page: { type: 'boolean' } },
  help: {
    ...settingHelp,
    code: 'the code, if a link was printed before; otherwise it is asked for',
    page: 'print a link to a page for all of it, good once and for ten minutes, and ask for nothing',
  },
  words: 1,
  settings: ['config', 'listen-admin', 'admin-token'],
  examples: ['iron-proxy login claude', 'iron-proxy login claude --page', 'iron-proxy login claude --code CODE'],
  async run(input, terminal) {
    const { code, page, ...values } = input.values
    const [credential] = input.positionals
    if (credential === undefined) throw new UsageError('name a credential')
    const { settings } = await readSettings({ ...input, values }, terminal)
    if (!settings) return exit.config
    let given = typeof code === 'string' ? code : undefined
    if (given === undefined) {
      const begun = await toldByAdmin(settings, 'POST', '/v1/login', { credential })
      const links = begun as { readonly url: string; readonly page: string }
      const there = `${adminUrl(settings)}${links.page}`
      if (page) {
        line(terminal.stdout, there)
        return exit.ok
      }
      line(
        terminal.stdout,
        `Open this link, log in, and bring back the code it shows:\n\n${links.url}\n\nOr do it all on a page, within ten minutes:\n\n${there}\n`,
      )
      const prompt = createInterface({ input: terminal.stdin, output: terminal.stdout })
      given = await prompt.question('Code: ').finally(() => prompt.close())
    }
    const finished = await toldByAdmin(settings, 'POST', '/v1/login/code', { credential, code: given })
    const { ok, message } = finished as { readonly ok: boolean; readonly message: string }
    line(terminal.stdout, message)
    return ok ? exit.ok : exit.findings
  },
}
