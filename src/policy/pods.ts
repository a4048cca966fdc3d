/** Which agent is this pod? The policy's selectors say it; which pod has an address is the matter of identity/. */
import type { Agent, Policy } from './types.ts'

export interface PodSelector {
  readonly namespace: string
  /** All of these, with these very values. */
  readonly labels: Readonly<Record<string, string>>
  /** `undefined`: any. */
  readonly serviceAccount?: string | undefined
}

/** A pod as far as it says who speaks. */
export interface Pod {
  /** Of this pod alone: another of the same name has another one. */
  readonly uid: string
  readonly namespace: string
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly serviceAccount: string
}

const known = new WeakMap<Policy, WeakMap<Pod, readonly Agent[]>>()

/**
 * Every agent that a selector of the policy makes this pod; more than one is for the caller to refuse. Remembered, since
 * neither of the two ever changes: a pod that gets other labels is another object.
 */
export function agentsOfPod(policy: Policy, pod: Pod): readonly Agent[] {
  let memory = known.get(policy)
  if (!memory) known.set(policy, (memory = new WeakMap()))
  let agents = memory.get(pod)
  if (!agents) {
    agents = [...policy.agents.values()].filter((agent) => agent.pods.some((selector) => selects(selector, pod)))
    memory.set(pod, agents)
  }
  return agents
}

/** The namespaces whose pods the policy wants to know, in the order of their names. */
export function namespacesOf(policy: Policy): readonly string[] {
  const names = [...policy.agents.values()].flatMap(({ pods }) => pods.map(({ namespace }) => namespace))
  return [...new Set(names)].toSorted()
}

function selects({ namespace, labels, serviceAccount }: PodSelector, pod: Pod): boolean {
  return (
    pod.namespace === namespace &&
    (serviceAccount === undefined || pod.serviceAccount === serviceAccount) &&
    Object.entries(labels).every(([name, value]) => Object.hasOwn(pod.labels, name) && pod.labels[name] === value)
  )
}
