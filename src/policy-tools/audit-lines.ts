/**
 * Reads audit lines by the million. Most lines of a day say the same of another moment, so a line is parsed once for all that
 * share what a decision depends on, and counted from then on.
 */
import type { AuditRecord } from '#contracts/audit-record.ts'

/** What the tools look at in a record. */
export type Seen = Pick<AuditRecord, 'type' | 'event' | 'agent' | 'peer' | 'door' | 'verdict' | 'swaps'> &
  Partial<
    Pick<
      AuditRecord,
      'id' | 'time' | 'method' | 'scheme' | 'host' | 'port' | 'path' | 'rule' | 'code' | 'reason' | 'credential' | 'git'
    >
  >

/** Records that are alike, and how many there were. */
export interface Tallied {
  /** The first of them. */
  readonly record: Seen
  count: number
}

/** Kinds of lines that are held at once; past it they are handed over, and counted anew. More of them outlive the young heap. */
const mostKinds = 8_192

/** Bytes of the longest line that is read; the audit writes none of a tenth of it. */
const longestLine = 1 << 20

/** Takes the bytes of audit files, in pieces of any size, and hands over what they say. */
export class AuditTally {
  /** Lines that are no audit record. */
  skipped = 0
  lines = 0
  readonly #take: (kind: Tallied) => void
  readonly #from: string
  readonly #to: string
  #kinds = new Map<string, Tallied>()
  #rest = ''

  /** `window`: ISO 8601 times; a record is counted from the first on and before the second. */
  constructor(
    take: (kind: Tallied) => void,
    window: { readonly from?: string | undefined; readonly to?: string | undefined } = {},
  ) {
    this.#take = take
    this.#from = window.from ?? ''
    this.#to = window.to ?? '\uffff'
  }

  push(chunk: Uint8Array): void {
    // One character a byte: what the audit writes is ASCII.
    const text = this.#rest + Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength).toString('latin1')
    let start = 0
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', start)) {
      if (end > start) this.#line(text, start, end)
      start = end + 1
    }
    this.#rest = start === 0 ? text : copyOf(text.slice(start))
    if (this.#rest.length > longestLine) {
      this.#rest = ''
      this.skipped += 1
    }
  }

  /** The end: the last line may lack its line end. */
  end(): void {
    if (this.#rest !== '') this.#line(this.#rest, 0, this.#rest.length)
    this.#rest = ''
    this.#flush()
  }

  #line(text: string, start: number, end: number): void {
    this.lines += 1
    const line = text.slice(start, end)
    const key = keyOf(line)
    if (key === undefined) return this.#odd(line)
    const known = this.#kinds.get(key.text)
    if (!within(key.time, this.#from, this.#to)) return
    if (known) return void (known.count += 1)
    const own = copyOf(key.text)
    const record = parsed(own, line)
    if (!record) return void (this.skipped += 1)
    this.#hold(own, record)
  }

  /** A line that the audit did not write in its own order: an event of NATS, or of another program. */
  #odd(line: string): void {
    const record = parsedWhole(line)
    if (!record) return void (this.skipped += 1)
    if (!within(record.time ?? '', this.#from, this.#to)) return
    this.#hold(`${this.#kinds.size} ${line}`, record)
  }

  #hold(key: string, record: Seen): void {
    if (this.#kinds.size >= mostKinds) this.#flush()
    this.#kinds.set(key, { record, count: 1 })
  }

  #flush(): void {
    for (const kind of this.#kinds.values()) this.#take(kind)
    this.#kinds = new Map()
  }
}

function within(time: string, from: string, to: string): boolean {
  return time >= from && time < to
}

/** A string of its own, that keeps no larger one alive. */
function copyOf(text: string): string {
  return Buffer.from(text, 'latin1').toString('latin1')
}

/**
 * What lines that a decision cannot tell apart have in common: all from the type to the swaps, and the credential behind them.
 * A quote within a text is escaped, so none of these marks can stand in one.
 */
function keyOf(line: string): { readonly text: string; readonly time: string } | undefined {
  const type = line.indexOf(',"type":')
  const swaps = line.indexOf(',"swaps":[', type)
  const time = line.indexOf('"time":"')
  if (type < 0 || swaps < 0 || time < 0 || time > type) return undefined
  const end = line.indexOf(']', swaps)
  const credential = line.indexOf(',"credential":"', end)
  const text = line.slice(type, end)
  const when = line.slice(time + 8, line.indexOf('"', time + 8))
  if (credential < 0) return { text: `${text}]`, time: when }
  return { text: `${text}]${line.slice(credential, line.indexOf('"', credential + 15) + 1)}`, time: when }
}

/** The fields of a key, with the id and the time of its line: half of what the line holds need not be parsed. */
function parsed(key: string, line: string): Seen | undefined {
  try {
    const record = JSON.parse(`{${key.slice(1)}}`) as Record<string, unknown>
    if (!isRecord(record) || !line.endsWith('}')) return undefined
    record['id'] = textAt(line, '"id":"')
    record['time'] = textAt(line, '"time":"')
    return record as unknown as Seen
  } catch {
    return undefined
  }
}

function textAt(line: string, mark: string): string {
  const start = line.indexOf(mark) + mark.length
  return copyOf(line.slice(start, line.indexOf('"', start)))
}

function parsedWhole(line: string): Seen | undefined {
  try {
    const value: unknown = JSON.parse(line)
    // A CloudEvent, as `audit.nats` publishes it, has the record within.
    const record: unknown = isMap(value) && 'specversion' in value ? value['data'] : value
    return isMap(record) && isRecord(record) ? (record as unknown as Seen) : undefined
  } catch {
    return undefined
  }
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isRecord(value: Record<string, unknown>): boolean {
  const { type, event, verdict, agent, swaps, method, scheme, host, port, path } = value
  const text = (each: unknown) => each === undefined || typeof each === 'string'
  return (
    [type, event, verdict].every((each) => typeof each === 'string') &&
    (agent === null || typeof agent === 'string') &&
    Array.isArray(swaps) &&
    swaps.every((swap) => isMap(swap) && typeof swap['credential'] === 'string') &&
    [method, scheme, host, path].every(text) &&
    (port === undefined || typeof port === 'number')
  )
}
