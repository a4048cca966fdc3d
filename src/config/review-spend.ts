/** Spend that an edit of the policy would leave behind: an account goes by the names of its budget and its agent. */
import type { Snapshot } from '#contracts/snapshot.ts'
import type { Issue } from './issue.ts'

/** What a running proxy says was spent on an account in the window that runs. */
export interface SpentRow {
  readonly budget: string
  /** `*`: shared by a crew. */
  readonly holder: string
  readonly tokens: number
  /** US dollars. */
  readonly usd: number
}

/** A warning for each account with spend that no agent of this policy is held to; it names the command that carries the spend over. */
export function reviewSpend({ policy, budgets }: Snapshot, spent: readonly SpentRow[], directory: string): readonly Issue[] {
  const held = new Set<string>()
  for (const { id, budgets: names } of policy.agents.values())
    for (const name of names) held.add(keyOf(name, budgets.get(name)?.per === 'crew' ? '*' : id))
  return spent
    .filter(({ budget, holder }) => !held.has(keyOf(budget, holder)))
    .map(({ budget, holder, tokens, usd }) => {
      const amount = [tokens > 0 ? `${tokens} tokens` : '', usd > 0 ? `${usd.toFixed(2)} dollars` : ''].filter(Boolean).join(', ')
      const agent = holder === '*' ? '' : ` of agent ${holder}`
      const from = `${budget}${holder === '*' ? '' : ` --agent ${holder}`}`
      return {
        severity: 'warning',
        position: { file: directory, line: 0, column: 0 },
        path: 'budgets',
        message:
          `${amount} are spent of budget ${JSON.stringify(budget)}${agent} in the window that runs, and this policy has no such account: ` +
          `under a new name it begins at zero; \`iron-proxy budget move ${from} --to BUDGET --to-agent AGENT\` carries it over`,
      } satisfies Issue
    })
}

function keyOf(budget: string, holder: string): string {
  return JSON.stringify([budget, holder])
}
