import { patternText } from '#base/host.ts'
import type { Credential } from '#credentials/types.ts'
import { scopeWords } from '#credentials/whoami/words.ts'
import type { KnownIdentity } from './identities.ts'
import type { LeaseStatus } from './leases/lease-status.ts'

/** What is known of a grant beyond how its lease is. */
export interface GrantFacts {
  /** Whether there is a value, in force or not. */
  readonly loaded: boolean
  readonly identity: KnownIdentity | undefined
  readonly warnings: readonly string[]
}

/** Every credential as an operator may see it: whose, where, and how it is. Never a value. */
export function inventory(
  credentials: Iterable<Credential>,
  statuses: readonly LeaseStatus[],
  known: (credential: Credential) => GrantFacts,
): readonly object[] {
  const leases = new Map(statuses.map((status) => [status.id, status]))
  return Array.from(credentials, (credential) => {
    const { id, kind, hosts, agents } = credential
    const status = leases.get(id)
    const { loaded, identity, warnings } = known(credential)
    return {
      id,
      kind,
      hosts: hosts.map(patternText),
      agents: agents ? [...agents] : 'all',
      loaded,
      ...status,
      ...(status?.scopes && { scopes: scopeWords(status.scopes) }),
      ...(identity && { identity }),
      ...(warnings.length > 0 && { warnings }),
    }
  })
}
