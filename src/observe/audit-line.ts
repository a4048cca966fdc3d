import type { AuditRecord } from '#journey/types.ts'
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
 * object may carry; every text has a bound and none can break out of its line.
 */
export function writeAuditLine(record: AuditRecord, line: LineBuffer): void {
  word(line, '{"id":', record.id)
  word(line, ',"time":', record.time)
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
  text(line, ',"path":', record.path, limits.path)
  common(line, ',"rule":', record.rule)
  plain(line, ',"verdict":', record.verdict)
  plain(line, ',"code":', record.code)
  text(line, ',"reason":', record.reason, limits.reason)
  writeSwaps(record, line)
  object(line, ',"scrubbed":', record.scrubbed)
  word(line, ',"credential":', record.credential)
  value(line, ',"answered":', record.answered)
  value(line, ',"captured":', record.captured)
  word(line, ',"budget":', record.budget)
  value(line, ',"waited":', record.waited)
  object(line, ',"limits":', record.limits)
  object(line, ',"usage":', record.usage && boundedUsage(record.usage))
  value(line, ',"status":', record.status)
  value(line, ',"bytesUp":', record.bytesUp)
  value(line, ',"bytesDown":', record.bytesDown)
  value(line, ',"duration":', record.duration)
  value(line, ',"ttfb":', record.ttfb)
  common(line, ',"upstream":', record.upstream, limits.host)
  word(line, ',"parent":', record.parent)
  word(line, ',"runId":', record.runId)
  common(line, ',"policyHash":', record.policyHash)
  object(line, ',"dns":', record.dns && boundedDns(record.dns))
  value(line, ',"count":', record.count)
  line.raw('}')
}

function writeSwaps({ swaps }: AuditRecord, line: LineBuffer): void {
  line.raw(',"swaps":[')
  swaps.forEach(({ credential, place }, i) => {
    common(line, i === 0 ? '{"credential":' : ',{"credential":', credential)
    common(line, ',"place":', place)
    line.raw('}')
  })
  line.raw(']')
}

function boundedUsage(usage: NonNullable<AuditRecord['usage']>): object {
  return { ...usage, meter: bounded(usage.meter, limits.word), model: bounded(usage.model, limits.word) }
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
  line.raw(String(written))
}

function object(line: LineBuffer, name: string, written: object | undefined): void {
  if (written === undefined) return
  line.raw(name)
  line.raw(asciiJson(JSON.stringify(written)))
}
