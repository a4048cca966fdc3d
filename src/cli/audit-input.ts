/** Audit records for commands that look back: files, standard input, or the stream of NATS. */
import { createReadStream } from 'node:fs'
import { createGunzip } from 'node:zlib'
import { fileFault } from '#base/file-fault.ts'
import type { Settings } from '#config/settings-schema.ts'
import { readNats } from '#observe/nats-read.ts'
import { AuditTally } from '#policy-tools/audit-lines.ts'
import type { Tallied } from '#policy-tools/audit-lines.ts'
import { exit, CommandFailure, UsageError } from './command.ts'
import type { Input, Options, Terminal } from './command.ts'

export const inputOptions: Options = {
  since: { type: 'string' },
  until: { type: 'string' },
  nats: { type: 'boolean' },
}

export const inputHelp: Readonly<Record<string, string>> = {
  since: 'only what began from then on: 36h, 2d, or a time such as 2026-11-02T08:00Z',
  until: 'only what began before then',
  nats: 'read the stream of `audit.nats` in place of files',
}

/** Reads all records and hands them over, alike ones together. Throws `Failure` and `UsageError`. */
export async function readAudit(
  files: readonly string[],
  { values }: Pick<Input, 'values'>,
  settings: Settings,
  { stdin }: Terminal,
  take: (kind: Tallied) => void,
): Promise<AuditTally> {
  const tally = new AuditTally(take, { from: timeOf(values['since'], '--since'), to: timeOf(values['until'], '--until') })
  const { nats } = settings.audit
  if (values['nats']) {
    if (nats.url === undefined) throw new UsageError('--nats takes its place from audit.nats.url; give --audit-nats-url')
    await pour(readNats({ ...nats, url: nats.url }), nats.url, tally)
    return tally
  }
  const named = files.length > 0 ? files : settings.audit.file === undefined ? undefined : [settings.audit.file]
  if (!named) throw new UsageError('name an audit file, "-" for standard input, or give --nats')
  for (const file of named) await pour(file === '-' ? stdin : bytesOf(file), file, tally)
  return tally
}

async function pour(chunks: AsyncIterable<Uint8Array>, name: string, tally: AuditTally): Promise<void> {
  try {
    for await (const chunk of chunks) tally.push(chunk)
  } catch (error) {
    throw new CommandFailure(`${name}: cannot be read: ${fileFault(error)}`, exit.noInput)
  }
  tally.end()
}

/** A rotated file may be compressed. */
function bytesOf(file: string): AsyncIterable<Uint8Array> {
  const stream = createReadStream(file, { highWaterMark: 1 << 20 })
  if (!file.endsWith('.gz')) return stream
  const plain = createGunzip()
  stream.on('error', (error) => plain.destroy(error))
  return stream.pipe(plain)
}

const units = { m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const

/** A time as records write it. */
function timeOf(value: unknown, flag: string): string | undefined {
  if (typeof value !== 'string') return undefined
  const [, count, unit = ''] = /^(\d{1,6})([mhdw])$/.exec(value) ?? []
  const time = count === undefined ? Date.parse(value) : Date.now() - Number(count) * units[unit as keyof typeof units]
  if (Number.isNaN(time)) throw new UsageError(`${flag} takes 36h, 2d or a time such as 2026-11-02T08:00Z`)
  return new Date(time).toISOString()
}
