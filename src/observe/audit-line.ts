import type { AuditRecord } from '#contracts/audit-record.ts'
import { LineBuffer } from './line-buffer.ts'
import { asciiJson, bounded } from './text.ts'

/** Longest texts in characters. A record of the greatest length is about 6 KiB. */
const limits = { host: 255, path: 2048, method: 32, reason: 1024, word: 128 } as const

/** One record as one line of JSON, without its line end. */
export function auditLine(record: AuditRecord): string {
  const line = new LineBuffer(2048)
  writeAuditLine(record, line)
  return line.take().toString('latin1')
}

/**
 * Writes one record as one line of JSON, without its line end. Only the fields named here are ever written, whatever else an
 * object may carry; every text has a bound and none can break out of its line. The first and the last part of a line are the same for
 * many records, so `parts` keeps them in bytes.
 */
export function writeAuditLine(record: AuditRecord, line: LineBuffer, parts: LineParts = new LineParts()): void {
  word(line, '{"id":', record.id)
  word(line, ',"time":', record.time)
  parts.writeArrival(record, line)
  text(line, ',"path":', record.path, limits.path)
  plain(line, ',"git":', record.git)
  parts.writeVerdict(record, line)
  object(line, ',"scrubbed":', record.scrubbed)
  word(line, ',"credential":', record.credential)
  value(line, ',"answered":', record.answered)
  value(line, ',"captured":', record.captured)
  word(line, ',"budget":', record.budget)
  value(line, ',"waited":', record.waited)
  object(line, ',"limits":', record.limits)
  writeUsage(record.usage, line)
  object(line, ',"unpriced":', record.unpriced && boundedModel(record.unpriced))
  value(line, ',"status":', record.status)
  value(line, ',"bytesUp":', record.bytesUp)
  value(line, ',"bytesDown":', record.bytesDown)
  value(line, ',"duration":', record.duration)
  value(line, ',"ttfb":', record.ttfb)
  common(line, ',"upstream":', record.upstream, limits.host)
  word(line, ',"parent":', record.parent)
  word(line, ',"runId":', record.runId)
  word(line, ',"traceId":', record.traceId)
  common(line, ',"policyHash":', record.policyHash)
  object(line, ',"dns":', record.dns && boundedDns(record.dns))
  value(line, ',"count":', record.count)
  line.raw('}')
}

/** Who asked for what, but for the path. */
function writeArrival(record: AuditRecord, line: LineBuffer): void {
  plain(line, ',"type":', record.type)
  plain(line, ',"event":', record.event)
  if (record.agent === null) line.raw(',"agent":null')
  else common(line, ',"agent":', record.agent)
  common(line, ',"peer":', record.peer)
  plain(line, ',"door":', record.door)
  common(line, ',"protocol":', record.protocol)
  text(line, ',"method":', record.method, limits.method)
  plain(line, ',"scheme":', record.scheme)
  common(line, ',"host":', record.host, limits.host)
  value(line, ',"port":', record.port)
}

function writeVerdict(record: AuditRecord, line: LineBuffer): void {
  common(line, ',"rule":', record.rule)
  plain(line, ',"verdict":', record.verdict)
  plain(line, ',"code":', record.code)
  text(line, ',"reason":', record.reason, limits.reason)
  line.raw(',"swaps":[')
  record.swaps.forEach(({ credential, place }, i) => {
    common(line, i === 0 ? '{"credential":' : ',{"credential":', credential)
    common(line, ',"place":', place)
    line.raw('}')
  })
  line.raw(']')
}

/** A part of a line in bytes, and the fields that it was written from. */
interface Part<Fields> {
  readonly of: Fields
  readonly bytes: Uint8Array
}

type Arrival = Pick<
  AuditRecord,
  'type' | 'event' | 'agent' | 'peer' | 'door' | 'protocol' | 'method' | 'scheme' | 'host' | 'port'
>
type Verdict = Pick<AuditRecord, 'rule' | 'verdict' | 'swaps'>

/** Parts that are kept for one rule, and rules in all. Rules are words of the policy, so a stranger cannot fill this. */
const mostParts = { each: 16, rules: 500 } as const
const longestHost = 64

/** The parts that lines have in common, by the rule of their record. */
export class LineParts {
  readonly #arrivals = new Map<string, Part<Arrival>[]>()
  readonly #verdicts = new Map<string, Part<Verdict>[]>()

  writeArrival(record: AuditRecord, line: LineBuffer): void {
    const { rule, host = '' } = record
    if (rule === undefined || host.length > longestHost) return writeArrival(record, line)
    const parts = partsOf(this.#arrivals, rule)
    for (let i = 0; i < parts.length; i += 1) {
      const part = parts[i] as Part<Arrival>
      if (isSameArrival(part.of, record)) return line.put(part.bytes)
    }
    const before = line.length
    writeArrival(record, line)
    keep(parts, { of: arrivalOf(record), bytes: line.copyFrom(before) })
  }

  writeVerdict(record: AuditRecord, line: LineBuffer): void {
    const { rule, verdict, swaps } = record
    if (rule === undefined || record.code !== undefined || record.reason !== undefined) return writeVerdict(record, line)
    const parts = partsOf(this.#verdicts, rule)
    for (let i = 0; i < parts.length; i += 1) {
      const part = parts[i] as Part<Verdict>
      if (isSameVerdict(part.of, record)) return line.put(part.bytes)
    }
    const before = line.length
    writeVerdict(record, line)
    keep(parts, { of: { rule, verdict, swaps }, bytes: line.copyFrom(before) })
  }
}

function partsOf<Fields>(known: Map<string, Part<Fields>[]>, rule: string): Part<Fields>[] {
  let parts = known.get(rule)
  if (parts) return parts
  if (known.size >= mostParts.rules) known.clear()
  known.set(rule, (parts = []))
  return parts
}

function keep<Fields>(parts: Part<Fields>[], part: Part<Fields>): void {
  if (parts.length === mostParts.each) parts.shift()
  parts.push(part)
}

function arrivalOf(record: AuditRecord): Arrival {
  const { type, event, agent, peer, door, protocol, method, scheme, host, port } = record
  // A copy of its own: a part of a head would keep the whole head in memory.
  const own = host === undefined ? undefined : Buffer.from(host, 'latin1').toString('latin1')
  return { type, event, agent, peer, door, protocol, method, scheme, host: own, port }
}

function isSameArrival(one: Arrival, other: Arrival): boolean {
  return (
    one.host === other.host &&
    one.method === other.method &&
    one.agent === other.agent &&
    one.peer === other.peer &&
    one.port === other.port &&
    one.door === other.door &&
    one.protocol === other.protocol &&
    one.scheme === other.scheme &&
    one.type === other.type &&
    one.event === other.event
  )
}

function isSameVerdict(one: Verdict, other: Verdict): boolean {
  if (one.rule !== other.rule || one.verdict !== other.verdict || one.swaps.length !== other.swaps.length) return false
  for (let i = 0; i < one.swaps.length; i += 1) {
    if (one.swaps[i]?.credential !== other.swaps[i]?.credential || one.swaps[i]?.place !== other.swaps[i]?.place) return false
  }
  return true
}

function boundedModel({ meter, model }: NonNullable<AuditRecord['unpriced']>): object {
  return { meter: bounded(meter, limits.word), model: bounded(model, limits.word) }
}

const usageCounts = (['input', 'cache_read', 'cache_write', 'output', 'reasoning', 'usd'] as const).map(
  (name) => ({ name, text: `,"${name}":` }) as const,
)
const usageWords = { meter: '{"meter":', model: ',"model":', estimated: ',"estimated":', charged: ',"charged":' } as const

function writeUsage(usage: AuditRecord['usage'], line: LineBuffer): void {
  if (!usage) return
  line.raw(',"usage":')
  common(line, usageWords.meter, usage.meter)
  common(line, usageWords.model, usage.model)
  for (const { name, text: before } of usageCounts) value(line, before, usage[name])
  value(line, usageWords.estimated, usage.estimated)
  plain(line, usageWords.charged, usage.charged)
  line.raw('}')
}

function boundedDns({ qtype, rcode, outcome, proto }: NonNullable<AuditRecord['dns']>): object {
  return { qtype: bounded(qtype, limits.word), rcode: bounded(rcode, limits.word), outcome: bounded(outcome, limits.word), proto }
}

function text(line: LineBuffer, name: string, written: string | undefined, limit: number): void {
  if (written === undefined) return
  line.raw(name)
  line.json(written, limit)
}

function word(line: LineBuffer, name: string, written: string | undefined): void {
  text(line, name, written, limits.word)
}

/** A word of the policy or of a few peers, which most records have in common. */
function common(line: LineBuffer, name: string, written: string | undefined, limit: number = limits.word): void {
  if (written === undefined) return
  line.raw(name)
  line.word(written, limit)
}

/** A word of a list of ours: nothing in it has to be looked at. */
function plain(line: LineBuffer, name: string, written: string | undefined): void {
  if (written === undefined) return
  line.raw(name)
  line.raw('"')
  line.raw(written)
  line.raw('"')
}

function value(line: LineBuffer, name: string, written: number | boolean | undefined): void {
  if (written === undefined) return
  line.raw(name)
  if (typeof written === 'number') line.number(written)
  else line.raw(String(written))
}

function object(line: LineBuffer, name: string, written: object | undefined): void {
  if (written === undefined) return
  line.raw(name)
  line.raw(asciiJson(JSON.stringify(written)))
}
