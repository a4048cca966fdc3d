import { matchesHost } from '#base/host.ts'
import { stubsOfOne } from '#credentials/swap/stubs.ts'
import type { Credential } from '#credentials/types.ts'
import { indexAnswers } from '#credentials/oauth/answers.ts'
import type { Agent } from '#policy/types.ts'
import type { Snapshot } from '#contracts/snapshot.ts'
import type { Run } from '#contracts/runs.ts'

/** The policy as one run has it. */
export interface Narrowed {
  readonly agent: Agent
  readonly snapshot: Snapshot
}

const known = new WeakMap<Run, { readonly of: Snapshot; readonly narrowed: Narrowed }>()

/**
 * What is left of a snapshot for a run: the rules for its hosts, the credentials it has stubs for, and one more budget. Never
 * more than the snapshot gives its agent, since all of it is taken from there. `undefined`: the policy has no such agent.
 */
export function narrow(of: Snapshot, run: Run): Narrowed | undefined {
  const before = known.get(run)
  if (before?.of === of) return before.narrowed
  const agent = of.policy.agents.get(run.agent)
  if (!agent) return undefined
  const narrowed = { agent: agentOf(agent, run), snapshot: snapshotOf(of, run) }
  known.set(run, { of, narrowed })
  return narrowed
}

/** Nobody watches over a run, so that report mode is not for it. */
function agentOf(agent: Agent, { budget }: Run): Agent {
  return Object.freeze({ ...agent, mode: 'enforce', budgets: budget ? [...agent.budgets, budget.id] : agent.budgets })
}

function snapshotOf(of: Snapshot, run: Run): Snapshot {
  const { policy } = of
  const { hosts, budget } = run
  const credentials = runCredentials(run, of.credentials)
  return Object.freeze({
    ...of,
    policy: hosts
      ? Object.freeze({
          ...policy,
          rulesFor: (host: Parameters<typeof policy.rulesFor>[0]) =>
            hosts.some((pattern) => matchesHost(pattern, host)) ? policy.rulesFor(host) : [],
        })
      : policy,
    credentials,
    answers: indexAnswers(credentials.values()),
    stubs: stubsOfOne(of.stubs, credentials.values()),
    budgets: budget ? new Map([...of.budgets, [budget.id, budget]]) : of.budgets,
  })
}

/** The credentials of a run, each under its own stub. */
export function runCredentials({ stubs }: Run, credentials: Snapshot['credentials']): Map<string, Credential> {
  return new Map(
    [...stubs].flatMap(([id, stub]) => {
      const credential = credentials.get(id)
      return credential ? [[id, Object.freeze(credential.withStub(stub))] as const] : []
    }),
  )
}
