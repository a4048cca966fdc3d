import type { AuditRecord } from '#journey/types.ts'
import { asciiJson, bounded } from './text.ts'

/** Longest texts in characters. A record of the greatest length is about 6 KiB. */
const limits = { host: 255, path: 2048, method: 32, reason: 1024, word: 128 } as const

/**
 * One record as one line of JSON, without its line end. Only the fields named here are ever written, whatever else an
 * object may carry; every text has a bound and none can break out of its line.
 */
export function auditLine(record: AuditRecord): string {
  return asciiJson(
    JSON.stringify({
      id: word(record.id),
      time: word(record.time),
      type: record.type,
      event: record.event,
      agent: record.agent === null ? null : word(record.agent),
      peer: word(record.peer),
      door: record.door,
      protocol: word(record.protocol),
      method: cut(record.method, limits.method),
      scheme: record.scheme,
      host: cut(record.host, limits.host),
      port: record.port,
      path: cut(record.path, limits.path),
      rule: word(record.rule),
      verdict: record.verdict,
      code: record.code,
      reason: cut(record.reason, limits.reason),
      swaps: record.swaps.map(({ credential, place }) => ({ credential: word(credential), place: word(place) })),
      scrubbed: record.scrubbed,
      credential: word(record.credential),
      answered: record.answered,
      captured: record.captured,
      budget: word(record.budget),
      waited: record.waited,
      limits: record.limits,
      usage: record.usage && { ...record.usage, meter: word(record.usage.meter), model: word(record.usage.model) },
      status: record.status,
      bytesUp: record.bytesUp,
      bytesDown: record.bytesDown,
      duration: record.duration,
      ttfb: record.ttfb,
      upstream: cut(record.upstream, limits.host),
      parent: word(record.parent),
      runId: word(record.runId),
      policyHash: word(record.policyHash),
      dns: record.dns && {
        qtype: word(record.dns.qtype),
        rcode: word(record.dns.rcode),
        outcome: word(record.dns.outcome),
        proto: record.dns.proto,
      },
      count: record.count,
    }),
  )
}

function word(text: string | undefined): string | undefined {
  return cut(text, limits.word)
}

function cut(text: string | undefined, limit: number): string | undefined {
  return text === undefined ? undefined : bounded(text, limit)
}
