import type { AuditRecord } from '#contracts/audit-record.ts'

/** A record of an ordinary request, with what a test wants otherwise. */
export function record(some: Partial<AuditRecord> = {}): AuditRecord {
  return {
    id: '01JD0000000000000000000000',
    time: '2026-01-01T00:00:00.000Z',
    type: 'request',
    event: 'exchange',
    agent: 'devbot',
    peer: '127.0.1.5',
    door: 'https',
    protocol: 'h2',
    method: 'GET',
    scheme: 'https',
    host: 'api.github.com',
    port: 443,
    path: '/user',
    rule: 'github-api',
    verdict: 'allow',
    swaps: [],
    status: 200,
    bytesUp: 0,
    bytesDown: 0,
    duration: 12,
    ...some,
  }
}
