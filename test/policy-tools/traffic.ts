import { AuditTally } from '#policy-tools/audit-lines.ts'
import type { Seen } from '#policy-tools/audit-lines.ts'
import { Traffic } from '#policy-tools/traffic.ts'
import type { Risk } from '#policy-tools/risks.ts'
import { auditLine } from '#observe/audit-line.ts'
import { record } from '../observe/records.ts'

/** Records of an agent in report mode, as the audit writes them, added up. */
export function trafficOf(records: readonly Partial<Seen>[], include: readonly Risk[] = []): Traffic {
  const traffic = new Traffic(new Set(include))
  const tally = new AuditTally((kind) => traffic.add(kind))
  for (const each of records) tally.push(Buffer.from(`${lineOf(each)}\n`))
  tally.end()
  return traffic
}

export function lineOf(some: Partial<Seen>): string {
  const watched = { agent: 'a', peer: '127.0.0.1', verdict: 'would_deny', code: 'host_denied', rule: undefined } as const
  return auditLine(record({ ...watched, host: 'x.test', path: '/', ...some }))
}
