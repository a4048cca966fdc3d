import { matchesHost } from '#base/host.ts'
import type { Credential } from '#credentials/types.ts'
import { scopedTo } from '#credentials/swap/stubs.ts'
import type { Allowance } from '#policy/types.ts'
import type { Exchange } from '#contracts/snapshot.ts'
import type { RequestHead } from '#contracts/request.ts'

/** What an allowed request may use. */
export interface Admission {
  /** Those of the deciding rule that are scoped to this host and granted to this agent. */
  readonly credentials: readonly Credential[]
  /** Whose real values must not come back: all that this host has ever been sent, whoever asks now. */
  readonly guarded: readonly Credential[]
  readonly foreign: 'refuse' | 'allow'
}

/** Step 4: what comes with the allowance. In report mode a would-be denial gets nothing at all. */
export function admit(verdict: Allowance, { agent, snapshot }: Exchange, { host, scheme }: RequestHead): Admission {
  const guarded = scopedTo(snapshot.stubs, host)
  const { rule } = verdict
  if (!rule || verdict.wouldDeny) return { credentials: none, guarded, foreign: 'allow' }
  if (scheme === 'http' || rule.credentials.length === 0) return { credentials: none, guarded, foreign: rule.foreign }
  const credentials: Credential[] = []
  for (const id of rule.credentials) {
    const credential = snapshot.credentials.get(id)
    if (credential && isUsable(credential, agent.id, host)) credentials.push(credential)
  }
  return { credentials, guarded, foreign: rule.foreign }
}

const none: readonly never[] = []

function isUsable({ hosts, agents }: Credential, agent: string, host: RequestHead['host']): boolean {
  if (agents !== undefined && !agents.has(agent)) return false
  for (const pattern of hosts) if (matchesHost(pattern, host)) return true
  return false
}
