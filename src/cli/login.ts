import { createInterface } from 'node:readline/promises'
import { adminUrl, toldByAdmin } from './admin.ts'
import { exit, CommandFailure, line, UsageError } from './command.ts'
import type { Command, Terminal } from './command.ts'
import { readOperatorSettings, settingHelp, settingOptions } from './settings.ts'

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
    const { settings } = await readOperatorSettings({ ...input, values }, terminal)
    if (!settings) return exit.config
    const there = adminUrl(settings)
    if (page && there === undefined)
      throw new CommandFailure(
        'the admin door is a unix socket, which no browser opens; log in without --page, or run the proxy with --listen-admin 127.0.0.1:9465 and `adminToken`',
        exit.config,
      )
    let given = typeof code === 'string' ? code : undefined
    if (given === undefined) {
      const begun = await toldByAdmin(settings, 'POST', '/v1/login', { credential })
      const links = begun as { readonly url: string; readonly page: string }
      if (page) {
        line(terminal.stdout, `${adminUrl(settings)}${links.page}`)
        return exit.ok
      }
      const orPage = there === undefined ? '' : `Or do it all on a page, within ten minutes:\n\n${there}${links.page}\n\n`
      line(terminal.stdout, `Open this link, log in, and bring back the code it shows:\n\n${links.url}\n\n${orPage}`.trimEnd())
      given = await askForCode(credential, terminal)
    }
    const finished = await toldByAdmin(settings, 'POST', '/v1/login/code', { credential, code: given })
    const { ok, message } = finished as { readonly ok: boolean; readonly message: string }
    line(terminal.stdout, message)
    return ok ? exit.ok : exit.findings
  },
}

/** Reads one line. Standard input may end before it: then the login goes on with `--code`, while its link is good. */
async function askForCode(credential: string, { stdin, stdout }: Terminal): Promise<string> {
  const prompt = createInterface({ input: stdin, output: stdout })
  const { promise: ended, resolve } = Promise.withResolvers<undefined>()
  prompt.once('close', () => resolve(undefined))
  const given = await Promise.race([prompt.question('Code: '), ended]).finally(() => prompt.close())
  if (given !== undefined) return given
  line(stdout, '')
  throw new CommandFailure(
    `standard input ended before a code came; run \`iron-proxy login ${credential} --code CODE\` with the code of that link`,
    exit.noInput,
  )
}
