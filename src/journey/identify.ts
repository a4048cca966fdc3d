import type { Address } from '#base/address.ts'
import { inCidr } from '#base/address.ts'
import { LruMap } from '#base/async.ts'
import type { Agent, Denial, Policy } from '#policy/types.ts'
import { narrow } from './ephemeral.ts'
import type { Run } from './ephemeral.ts'
import type { Ports, Vault } from './ports.ts'
import type { Arrival, Exchange, Snapshot } from './types.ts'

export type Identity = { readonly kind: 'agent'; readonly agent: Agent } | Denial

/**
 * Step 2: who speaks? By source address, or by username and password on the explicit proxy; where both speak they must
 * agree. Unknown or ambiguous is a denial, and 407 is answered only where credentials would change the answer.
 */
export function identify(
  arrival: Pick<Arrival, 'door' | 'peer' | 'proxyAuth'>,
  snapshot: Snapshot | undefined,
  { vault, runs }: Pick<Ports, 'vault' | 'runs'>,
): ({ readonly kind: 'agent' } & Exchange) | Denial {
  if (!snapshot) return deny('no_policy', 'no policy is loaded')
  const run = arrival.door === 'proxy' && arrival.proxyAuth ? runs.find(arrival.proxyAuth) : undefined
  if (run) return identifyRun(run, arrival.peer.address, snapshot)
  const identity =
    arrival.door === 'proxy' ? identifyProxy(arrival, snapshot, vault) : identifyAddress(snapshot, arrival.peer.address)
  if (identity.kind === 'deny') return identity
  const { agent } = identity
  return { kind: 'agent', agent, snapshot, runId: runs.boundTo(agent.id) }
}

/** A run speaks from wherever no other agent than its own does. */
function identifyRun(
  run: Run | 'refused',
  address: Address,
  snapshot: Snapshot,
): ({ readonly kind: 'agent' } & Exchange) | Denial {
  // Its address alone may be that of its agent, which may more than the run did.
  if (run === 'refused') return deny('proxy_auth_required', 'the run has ended, or the password is wrong')
  const narrowed = narrow(snapshot, run)
  if (!narrowed) return deny('agent_unknown', `the policy has no agent ${run.agent} any more`)
  const neighbours = agentsAt(snapshot.policy, address)
  if (neighbours.length > 0 && !neighbours.some(({ id }) => id === run.agent))
    return deny('agent_ambiguous', `the address belongs to ${neighbours[0]?.id}, the run to ${run.agent}`)
  return { kind: 'agent', ...narrowed, run, runId: run.id }
}

/** Who has this source address? */
export function identifyAddress(snapshot: Snapshot, address: Address): Identity {
  const [agent, other] = agentsAt(snapshot.policy, address)
  if (!agent) return deny('agent_unknown', `no agent has the address ${address}`)
  if (other) return deny('agent_ambiguous', `${address} belongs to both ${agent.id} and ${other.id}`)
  return { kind: 'agent', agent }
}

function identifyProxy(arrival: Pick<Arrival, 'peer' | 'proxyAuth'>, snapshot: Snapshot, vault: Pick<Vault, 'verify'>): Identity {
  const { address } = arrival.peer
  const candidates = [...snapshot.policy.agents.values()].filter((agent) => agent.proxyAuth.length > 0)
  if (candidates.length === 0) return identifyAddress(snapshot, address)
  const auth = arrival.proxyAuth
  if (!auth) {
    const identity = identifyAddress(snapshot, address)
    return identity.kind === 'deny' ? deny('proxy_auth_required', identity.reason) : identity
  }
  const agent = candidates.find((each) =>
    each.proxyAuth.some(({ username, password }) => username === auth.username && vault.verify(password, auth.password.expose())),
  )
  if (!agent) return deny('proxy_auth_required', 'the username or password is wrong')
  const neighbours = agentsAt(snapshot.policy, address)
  if (neighbours.length > 0 && !neighbours.includes(agent)) {
    return deny('agent_ambiguous', `the address belongs to ${neighbours[0]?.id}, the password to ${agent.id}`)
  }
  return { kind: 'agent', agent }
}

const known = new WeakMap<Policy, LruMap<Address, readonly Agent[]>>()

/** Every agent whose ranges hold an address; remembered per policy, since the answer never changes. */
function agentsAt(policy: Policy, address: Address): readonly Agent[] {
  let memory = known.get(policy)
  if (!memory) known.set(policy, (memory = new LruMap(4096)))
  let agents = memory.get(address)
  if (!agents) {
    agents = [...policy.agents.values()].filter((agent) => agent.cidrs.some((cidr) => inCidr(address, cidr)))
    memory.set(address, agents)
  }
  return agents
}

function deny(code: Denial['code'], reason: string): Denial {
  return { kind: 'deny', code, reason }
}
