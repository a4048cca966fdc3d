import { matchesHost } from '#base/host.ts'
import type { Credential } from '#credentials/types.ts'
import { scopedTo } from '#credentials/stubs.ts'
import type { Allowance } from '#policy/types.ts'
import type { Exchange, RequestHead } from './types.ts'

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
  if (!rule || verdict.wouldDeny) return { credentials: [], guarded, foreign: 'allow' }
  const credentials =
    scheme === 'http' ? [] : rule.credentials.flatMap((id) => usable(snapshot.credentials.get(id), agent.id, host))
  return { credentials, guarded, foreign: rule.foreign }
}

function usable(credential: Credential | undefined, agent: string, host: RequestHead['host']): readonly Credential[] {
  if (!credential?.hosts.some((pattern) => matchesHost(pattern, host))) return []
  return credential.agents === undefined || credential.agents.has(agent) ? [credential] : []
}
