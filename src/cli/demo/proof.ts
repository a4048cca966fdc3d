import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { AuditRecord } from '#contracts/audit-record.ts'
import type { Stage } from './stage.ts'
import type { DemoStep } from './step.ts'

export const proof: DemoStep = {
  title: 'the audit says what happened, and no real value is anywhere but upstream',
  async act(stage) {
    const record = await swapRecord(stage)
    const places = {
      ...(await stage.operatorReads()),
      'the agent’s output': stage.agent.received,
      'the agent’s files': await filesOf(stage),
    }
    const leaks = Object.entries(places).filter(([, text]) => Object.values(stage.reals).some((real) => holds(text, real)))
    const empty = Object.entries(places).filter(([, text]) => text === '')
    const searched = Object.entries(places).map(([name, text]) => `${name} (${Math.ceil(text.length / 1024)} KiB)`)
    return {
      rows: [
        ['one audit line', record ? readable(record) : 'none'],
        ['searched', searched.join(', ')],
        [
          'found',
          leaks.length === 0
            ? 'no real value, neither plain nor in base64'
            : leaks.map(([name]) => `a real value in ${name}`).join(', '),
        ],
      ],
      held: {
        'the audit has a line for the swap': record !== undefined,
        'there is something to search in each place': empty.length === 0,
        'no real value is in any of it': leaks.length === 0,
      },
    }
  },
}

/** The record of a request that got the real token; it may be on its way to the file for a moment. */
async function swapRecord({ operatorReads, signal }: Stage): Promise<AuditRecord | undefined> {
  for (let turn = 0; turn < 20; turn += 1) {
    const whole = (await operatorReads())['audit']?.split('\n').slice(0, -1) ?? []
    const found = whole
      .map((line) => JSON.parse(line) as AuditRecord)
      .find(({ swaps, type }) => type === 'request' && swaps.length > 0)
    if (found) return found
    await sleep(50, undefined, { signal })
  }
  return undefined
}

/** The parts of a record that fit on three lines. */
function readable({
  time,
  agent,
  door,
  protocol,
  method,
  host,
  path,
  rule,
  verdict,
  swaps,
  scrubbed,
  status,
  upstream,
  duration,
}: AuditRecord): string {
  return [
    { time, agent, door, protocol, duration },
    { method, host, path, rule, verdict, status },
    { swaps, scrubbed, upstream },
  ]
    .map((part) => JSON.stringify(part).slice(1, -1))
    .join('\n')
}

async function filesOf({ agent }: Stage): Promise<string> {
  const entries = await readdir(agent.home, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile())
  const texts = await Promise.all(files.map(({ parentPath, name }) => readFile(join(parentPath, name), 'latin1')))
  return texts.join('\n')
}

/** Whether a value stands in a text, as it is or inside base64, which looks different at each of its three alignments. */
function holds(text: string, value: string): boolean {
  return [value, ...[0, 1, 2].map((before) => inBase64(value, before))].some((spelling) => text.includes(spelling))
}

function inBase64(value: string, before: number): string {
  const whole = Buffer.from('-'.repeat(before) + value).toString('base64')
  // Characters at the edges carry bits of their neighbours too.
  return whole.slice(Math.ceil((before * 8) / 6), Math.floor(((before + value.length) * 8) / 6))
}
