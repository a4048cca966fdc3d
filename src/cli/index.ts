import { parseArgs } from 'node:util'
import { budget } from './budget.ts'
import { ca } from './ca.ts'
import { check } from './check.ts'
import { exit, line, UsageError } from './command.ts'
import type { Command, ExitCode, Input, Terminal } from './command.ts'
import { credentials } from './credentials.ts'
import { demo } from './demo/demo.ts'
import { doctor } from './doctor/doctor.ts'
import { env } from './env.ts'
import { explain } from './explain.ts'
import { healthcheck } from './healthcheck.ts'
import { init } from './init/init.ts'
import { login } from './login.ts'
import { run } from './run.ts'
import { schema } from './schema.ts'
import { scopes } from './scopes.ts'
import { state } from './state.ts'
import { version } from './version.ts'

/** Every command there is, in the order of `--help`. */
export const commands: readonly Command[] = [
  run,
  check,
  explain,
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
export async function dispatch(argv: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const [name = '--help', ...rest] = argv
  if (name === '--version' || name === '-v') return version.run({ values: {}, positionals: [] }, terminal)
  if (name === '--help' || name === '-h' || name === 'help') {
    line(terminal.stdout, overview(terminal.colour))
    return exit.ok
  }
  const command = commands.find((each) => each.name === name)
  if (!command) {
    line(terminal.stderr, `iron-proxy: there is no command ${JSON.stringify(name)}; see iron-proxy --help`)
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
    if (!(error instanceof UsageError)) throw error
    line(terminal.stderr, `iron-proxy ${name}: ${error.message}; see iron-proxy ${name} --help`)
    return exit.usage
  }
}

function parse(command: Command, args: readonly string[]): Input {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: { ...command.options, help: { type: 'boolean', short: 'h' } },
      allowPositionals: true,
    })
    return { values: values, positionals }
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
}

function overview(colour: boolean): string {
  const rows = commands.map(({ name, summary }) => `  ${bold(name.padEnd(13), colour)}${summary}`)
  return [
    'An egress credential firewall: agents hold stubs, the proxy holds the secrets.',
    '',
    'iron-proxy COMMAND [options]',
    '',
    ...rows,
    '',
    'iron-proxy COMMAND --help tells more.',
  ].join('\n')
}

function manual({ name, summary, usage, options, help, examples }: Command, colour: boolean): string {
  const rows = Object.entries(options).map(([option, { short, type }]) => {
    const flag = `${short ? `-${short}, ` : '    '}--${option}${type === 'string' ? ' VALUE' : ''}`
    return `  ${flag.padEnd(34)}${help[option] ?? ''}`
  })
  return [
    `${bold(`iron-proxy ${name}`, colour)} ${usage}`,
    `  ${summary}`,
    '',
    ...rows,
    '',
    'Examples',
    ...examples.map((example) => `  ${example}`),
  ].join('\n')
}

function bold(text: string, colour: boolean): string {
  return colour ? `\u001B[1m${text}\u001B[0m` : text
}
