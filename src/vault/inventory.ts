import { patternText } from '#base/host.ts'
import type { Credential } from '#credentials/types.ts'
import type { LeaseStatus } from './lease-status.ts'

/** Every credential as an operator may see it: whose, where, and how it is. Never a value. */
export function inventory(credentials: Iterable<Credential>, statuses: readonly LeaseStatus[]): readonly object[] {
  const leases = new Map(statuses.map((status) => [status.id, status]))
  return Array.from(credentials, ({ id, kind, hosts, agents }) => ({
    id,
    kind,
    hosts: hosts.map(patternText),
    agents: agents ? [...agents] : 'all',
    ...leases.get(id),
  }))
}
