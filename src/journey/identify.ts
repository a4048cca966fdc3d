import type { Address } from '#base/address.ts'
import { inCidr, parseAddress } from '#base/address.ts'
import { LruMap } from '#base/async.ts'
import { agentsOfPod } from '#policy/pods.ts'
import type { Pod } from '#policy/pods.ts'
import type { Agent, Denial, Policy } from '#policy/types.ts'
import { narrow } from './ephemeral.ts'
import type { Run, Runs } from '#contracts/runs.ts'
import type { Owner, Owners } from '#contracts/owners.ts'
import type { Vault } from '#contracts/grants.ts'
import type { Arrival } from '#contracts/request.ts'
import type { Exchange, Snapshot } from '#contracts/snapshot.ts'

export type Identity = { readonly kind: 'agent'; readonly agent: Agent } | Denial

/** What identifying asks of the rooms outside. */
export interface Witnesses {
  readonly vault: Pick<Vault, 'verify'>
  readonly runs: Runs
  /** Left out: no cluster is watched. */
  readonly owners?: Owners | undefined
}

/**
 * Step 2: who speaks? By source address, or by username and password on the explicit proxy; where both speak they must
 * agree. Unknown or ambiguous is a denial, and 407 is answered only where credentials would change the answer.
 */
export function identify(
  arrival: Pick<Arrival, 'door' | 'peer' | 'proxyAuth'>,
  snapshot: Snapshot | undefined,
  witnesses: Witnesses,
): ({ readonly kind: 'agent' } & Exchange) | Denial {
  if (!snapshot) return deny('no_policy', 'no policy is loaded')
  const run = arrival.door === 'proxy' && arrival.proxyAuth ? witnesses.runs.find(arrival.proxyAuth) : undefined
  if (run) return identifyRun(run, arrival.peer.address, snapshot, witnesses.owners)
  const identity =
    arrival.door === 'proxy'
      ? identifyProxy(arrival, snapshot, witnesses)
      : identifyAddress(snapshot, arrival.peer.address, witnesses.owners)
  if (identity.kind === 'deny') return identity
  const { agent } = identity
  return { kind: 'agent', agent, snapshot, runId: witnesses.runs.boundTo(agent.id) }
}

/** A run speaks from wherever no other agent than its own does. */
function identifyRun(
  run: Run | 'refused' | 'pending',
  address: Address,
  snapshot: Snapshot,
  owners?: Owners,
): ({ readonly kind: 'agent' } & Exchange) | Denial {
  // Its address alone may be that of its agent, which may more than the run did.
  if (run === 'pending') return deny('run_pending', 'the run is not known here, and nobody else can be asked now')
  if (run === 'refused') return deny('proxy_auth_required', 'the run has ended, or the password is wrong')
  const narrowed = narrow(snapshot, run)
  if (!narrowed) return deny('agent_unknown', `the policy has no agent ${run.agent} any more`)
  const neighbours = agentsAt(snapshot.policy, address, owners?.at(address))
  if (neighbours.length > 0 && !neighbours.some(({ id }) => id === run.agent))
    return deny('agent_ambiguous', `the address belongs to ${neighbours[0]?.id}, the run to ${run.agent}`)
  return { kind: 'agent', ...narrowed, run, runId: run.id }
}

/** Who has this source address, by the ranges of the policy and by the pod that owns it? */
export function identifyAddress(snapshot: Snapshot, address: Address, owners?: Owners): Identity {
  const owner = owners?.at(address)
  // What speaks from a node is anybody there, whatever range the node is in.
  if (owner?.kind === 'node')
    return deny(
      'agent_masqueraded',
      `${address} is the address of a node: the source was masqueraded on its way, or the pod is on the network of its node`,
    )
  if (owner?.kind === 'several')
    return deny('agent_ambiguous', `${address} belongs to two pods, ${owner.pods.map(nameOf).join(' and ')}, until one is gone`)
  // Not even an agent whose range it is in: the pod may be another agent.
  if (owner?.kind === 'doubtful') return deny('agent_pending', `${address} ${doubts[owner.because](owner.pod)}`)
  const [agent, other] = agentsAt(snapshot.policy, address, owner)
  if (agent && !other) return { kind: 'agent', agent }
  if (agent && other) return deny('agent_ambiguous', `${address} belongs to both ${agent.id} and ${other.id}`)
  if (owner?.kind === 'pending') return deny('agent_pending', `not all pods are known yet, and ${address} may be one of them`)
  return deny(
    'agent_unknown',
    owner?.kind === 'pod'
      ? `no agent selects the pod ${nameOf(owner.pod)} at ${address}`
      : `no agent has the address ${address}${owner ? ', and no watched pod' : ''}`,
  )
}

/** The agent at an address as a socket tells it, in a word for metrics: `unknown` is nobody. */
export function agentNameAt(snapshot: Snapshot | undefined, peer: string, owners?: Owners): string {
  const address = parseAddress(peer)
  const identity = snapshot && address && identifyAddress(snapshot, address, owners)
  return identity?.kind === 'agent' ? identity.agent.id : 'unknown'
}

function identifyProxy(arrival: Pick<Arrival, 'peer' | 'proxyAuth'>, snapshot: Snapshot, { vault, owners }: Witnesses): Identity {
  const { address } = arrival.peer
  const candidates = [...snapshot.policy.agents.values()].filter((agent) => agent.proxyAuth.length > 0)
  if (candidates.length === 0) return identifyAddress(snapshot, address, owners)
  const auth = arrival.proxyAuth
  if (!auth) {
    const identity = identifyAddress(snapshot, address, owners)
    return identity.kind === 'deny' ? deny('proxy_auth_required', identity.reason) : identity
  }
  const agent = candidates.find((each) =>
    each.proxyAuth.some(({ username, password }) => username === auth.username && vault.verify(password, auth.password.expose())),
  )
  if (!agent) return deny('proxy_auth_required', 'the username or password is wrong')
  const neighbours = agentsAt(snapshot.policy, address, owners?.at(address))
  if (neighbours.length > 0 && !neighbours.includes(agent)) {
    return deny('agent_ambiguous', `the address belongs to ${neighbours[0]?.id}, the password to ${agent.id}`)
  }
  return { kind: 'agent', agent }
}

/** Every agent that an address speaks for: by range, and as the pod it belongs to or last belonged to. */
function agentsAt(policy: Policy, address: Address, owner: Owner | undefined): readonly Agent[] {
  const ranged = agentsInRange(policy, address)
  if (owner?.kind !== 'pod' && owner?.kind !== 'doubtful') return ranged
  const selected = agentsOfPod(policy, owner.pod)
  return ranged.length === 0 ? selected : [...new Set([...ranged, ...selected])]
}

const doubts = {
  handed: (pod: Pod) => `belonged to ${nameOf(pod)}, and another pod has claimed it since`,
  silent: (pod: Pod) => `belonged to ${nameOf(pod)} when the API last spoke of its namespace, which is too long ago`,
} as const

function nameOf({ namespace, name }: Pod): string {
  return `${namespace}/${name}`
}

const known = new WeakMap<Policy, LruMap<Address, readonly Agent[]>>()

/** Every agent whose ranges hold an address; remembered per policy, since the answer never changes. */
function agentsInRange(policy: Policy, address: Address): readonly Agent[] {
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
