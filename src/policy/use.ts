import type { AgentId, CredentialId, Rule } from './types.ts'

/**
 * How much of a credential the rules let agents use. `reads`: GET, HEAD, OPTIONS and git fetch alone. `writes`: more than
 * that, on the paths or repositories that the rules name. `all`: whatever a whole host offers.
 */
export type Use = 'none' | 'reads' | 'writes' | 'all'

/** From least to most. */
const uses: readonly Use[] = ['none', 'reads', 'writes', 'all']

const safe: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])

/** The most that any rule allows. Rules that refuse are not looked at: the answer is rather too much than too little. */
export function useOf(
  rules: readonly Rule[],
  credential: { readonly id: CredentialId; readonly agents: ReadonlySet<AgentId> | undefined },
): Use {
  const giving = rules.filter((rule) => rule.credentials.includes(credential.id) && sharesAgents(rule, credential))
  return uses.findLast((use) => giving.some((rule) => useOfRule(rule) === use)) ?? 'none'
}

function useOfRule({ git, methods, paths }: Rule): Use {
  if (git) return git.push.length > 0 ? 'writes' : 'reads'
  if (methods?.isSubsetOf(safe)) return 'reads'
  return paths && !paths.some((path) => path.join('/') === '**') ? 'writes' : 'all'
}

function sharesAgents({ agents }: Rule, credential: { readonly agents: ReadonlySet<AgentId> | undefined }): boolean {
  return agents === undefined || credential.agents === undefined || !agents.isDisjointFrom(credential.agents)
}
