/** The table in README.md, as the suite found it. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Observed } from './stage.ts'
import type { Client, Door, Installed, State } from './types.ts'

export interface Row {
  readonly client: Client
  readonly door: Door
  readonly state: State
  /** Text: why it was not run. */
  readonly result: Observed | string
}

const readme = join(import.meta.dirname, 'README.md')
const between = /(?<=<!-- table -->\n)[^]*(?=<!-- \/table -->)/

/** The most that a client may take to show a refusal and stop. */
export const goal = { seconds: 5, requests: 4 } as const

/** Writes the table between its marks. */
export function writeTable(rows: readonly Row[], installed: Installed): void {
  const text = readFileSync(readme, 'utf8')
  writeFileSync(readme, text.replace(between, `\n${tableOf(rows, installed)}\n`))
}

function tableOf(rows: readonly Row[], installed: Installed): string {
  const sections = new Map<string, Row[]>()
  for (const row of rows) sections.set(row.client.family, [...(sections.get(row.client.family) ?? []), row])
  return [...sections]
    .map(([family, all]) => {
      const lines = all.map(
        ({ client, door, state, result }) =>
          `| ${named(client, installed)} | ${door} | ${state} | ${cells(client, state, result)} |`,
      )
      return `### ${family}\n\n| client | door | state | what a person sees | requests | seconds |\n| --- | --- | --- | --- | --- | --- |\n${lines.join('\n')}`
    })
    .join('\n\n')
}

function named(client: Client, installed: Installed): string {
  const version = client.version(installed)
  return version === undefined ? client.id : `${client.id} ${version}`
}

function cells(client: Client, state: State, result: Observed | string): string {
  if (typeof result === 'string') return `– ${result} | | `
  const { served, shown, saw, requests, seconds } = result
  const good = state === 'normal' || state === 'refresh' ? served : shown
  const miss = client.misses?.[state]
  const what = miss !== undefined ? `**${miss}**: ` : good ? '' : client.shows === 'body' ? '**reason not shown**: ' : ''
  return `${what}${code(saw)} | ${requests} | ${seconds.toFixed(1)}`
}

function code(text: string): string {
  return text === '' ? '(nothing)' : `\`${lasting(text).replaceAll('`', "'").replaceAll('|', '\\|')}\``
}

/** Without what is new in each run: times, request ids and temporary files. */
function lasting(text: string): string {
  return text
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z?/g, '…')
    .replaceAll(/\b[0-9A-HJKMNP-TV-Z]{26}\b/g, '…')
    .replaceAll(/\/(?:tmp|var|root|home)\/[^\s'"]*/g, '…')
}
