import { parseArgs } from 'node:util'
import { audit } from './audit.ts'
import { allow, deny } from './allow.ts'
import { budget } from './budget.ts'
import { ca } from './ca.ts'
import { check } from './check.ts'
import { didYouMean } from '#base/did-you-mean.ts'
import { exit, CommandFailure, line, UsageError } from './command.ts'
import type { Command, Input, Terminal } from './command.ts'
import { credentials } from './credentials.ts'
import { demo } from './demo/demo.ts'
import { diff } from './diff.ts'
import { doctor } from './doctor/doctor.ts'
import { env } from './env.ts'
import { explain } from './explain.ts'
import { fmt } from './fmt.ts'
import { healthcheck } from './healthcheck.ts'
import { init } from './init/init.ts'
import { learn } from './learn.ts'
import { login } from './login.ts'
import { replay } from './replay.ts'
import { logs } from './logs/logs.ts'
import { page } from './page.ts'
import { run } from './run.ts'
import { runs } from './runs/runs.ts'
import { sandboxInside } from './sandbox/inside.ts'
import { sandbox } from './sandbox/sandbox.ts'
import { schema } from './schema.ts'
import { scopes } from './scopes.ts'
import { state } from './state.ts'
import { test } from './test.ts'
import { manual, overview } from './help.ts'
import { version } from './version.ts'

/** Every command there is, in the order of `--help`. */
export const commands: readonly Command[] = [
  sandbox,
  run,
  check,
  explain,
  test,
  learn,
  replay,
  diff,
  fmt,
  logs,
  allow,
  deny,
  runs,
  page,
  audit,
  ca,
  env,
  credentials,
  login,
  budget,
  scopes,
  init,
  doctor,
  state,
  demo,
  schema,
  healthcheck,
  version,
]

/** Runs one command line. Never rejects on what a user can type. */
export async function dispatch(argv: readonly string[], terminal: Terminal): Promise<number> {
  const [name = '--help', ...rest] = argv
  if (name === '--version' || name === '-v') return version.run({ values: {}, positionals: [] }, terminal)
  if (name === '--help' || name === '-h' || name === 'help') {
    line(terminal.stdout, overview(commands, terminal.colour))
    return exit.ok
  }
  const command = [...commands, sandboxInside].find((each) => each.name === name)
  if (!command) {
    const meant = didYouMean(
      name,
      commands.map((each) => each.name),
    )
    line(terminal.stderr, `iron-proxy: there is no command ${JSON.stringify(name)}${meant}; see iron-proxy --help`)
    return exit.usage
  }
  try {
    const input = parse(command, rest)
    if (input.values['help']) {
      line(terminal.stdout, manual(command, terminal.colour))
      return exit.ok
    }
    return await command.run(input, terminal)
  } catch (error) {
    if (error instanceof UsageError) {
      line(terminal.stderr, `iron-proxy ${name}: ${error.message}; see iron-proxy ${name} --help`)
      return exit.usage
    }
    if (!(error instanceof CommandFailure)) throw error
    line(terminal.stderr, `iron-proxy ${name}: ${error.message}`)
    return error.exit
  }
}

function parse({ options, words = 0 }: Command, args: readonly string[]): Input {
  const all = { ...options, help: { type: 'boolean', short: 'h' } } as const
  let input: Input
  try {
    input = parseArgs({ args: [...args], options: all, allowPositionals: true })
  } catch (error) {
    throw new UsageError(inOurWords(error as NodeJS.ErrnoException, Object.keys(all)))
  }
  const extra = input.positionals[words]
  if (extra !== undefined && !input.values['help']) throw new UsageError(`${JSON.stringify(extra)} is one word too many`)
  return input
}

/** What `parseArgs` says, in one line: it has advice of its own for each mistake, and some of that takes three. */
function inOurWords({ code, message }: NodeJS.ErrnoException, known: readonly string[]): string {
  const option = /--?\w[\w-]*(?=[\s']|$)/.exec(message.replace(/'-\w, /, "'"))?.[0] ?? ''
  if (code === 'ERR_PARSE_ARGS_UNKNOWN_OPTION')
    return `there is no option ${option}${didYouMean(option.replace(/^--?/, ''), known).replace('"', '"--')}`
  if (message.includes('does not take')) return `${option} takes no value`
  return `${option} takes a value${message.includes('ambiguous') ? `; write one that begins with a dash as ${option}=-…` : ''}`
}
