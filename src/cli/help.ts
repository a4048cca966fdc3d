/** What `--help` prints. */
import type { Command } from './command.ts'
import { settingHelp } from './settings.ts'

/** The list of commands. */
export function overview(commands: readonly Command[], colour: boolean): string {
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

/** All about one command. Every command takes every setting as a flag; shown are those that it is about. */
export function manual({ name, summary, usage, options, help, examples, settings }: Command, colour: boolean): string {
  const shown = Object.entries(options).filter(
    ([option]) => settings === undefined || !Object.hasOwn(settingHelp, option) || settings.includes(option),
  )
  const rows = shown.map(([option, { short, type }]) => ({
    flag: `  ${short ? `-${short}, ` : '    '}--${option}${type === 'string' ? ' VALUE' : ''}`,
    text: help[option] ?? '',
  }))
  if (shown.length < Object.keys(options).length)
    rows.push({ flag: '      --SETTING VALUE', text: 'any other setting; `iron-proxy run --help` has them all' })
  rows.push({ flag: '  -h, --help', text: 'this text' })
  const width = Math.max(...rows.map(({ flag }) => flag.length)) + 2
  return [
    bold(`iron-proxy ${name}`, colour) + (usage && ` ${usage}`),
    `  ${summary}`,
    '',
    ...rows.map(({ flag, text }) => flag.padEnd(width) + text),
    '',
    'Examples',
    ...examples.map((example) => `  ${example}`),
  ].join('\n')
}

function bold(text: string, colour: boolean): string {
  return colour ? `\u001B[1m${text}\u001B[0m` : text
}
