import { claudeTools } from './capabilities.ts'
import type { Capabilities } from './capabilities.ts'

/** Verbs of kubectl that change something, or get inside. */
const changing = [
  'annotate',
  'apply',
  'attach',
  'autoscale',
  'cp',
  'create',
  'debug',
  'delete',
  'drain',
  'edit',
  'exec',
  'expose',
  'label',
  'patch',
  'port-forward',
  'replace',
  'rollout',
  'run',
  'scale',
  'set',
  'taint',
] as const

/** Those of them that `change` allows. */
const allowed: ReadonlySet<string> = new Set([
  'annotate',
  'apply',
  'create',
  'edit',
  'label',
  'patch',
  'replace',
  'rollout',
  'scale',
  'set',
])

/**
 * `permissions.deny` of Claude Code's settings, which holds also where permissions are bypassed. A hint to the model and no
 * boundary: a shell has many ways to say the same. Source: code.claude.com/docs/en/permissions
 */
export function claudeOf(capabilities: Capabilities): { readonly permissions: { readonly deny: readonly string[] } } {
  const { tools, repositories, kubernetes, matrix } = capabilities
  const missing = claudeTools.filter((tool) => !tools.includes(tool))
  const commands = [
    ...((repositories?.push.length ?? 0) > 0 ? [] : ['git push']),
    ...(repositories ? [] : ['git clone', 'git fetch', 'git pull', 'gh']),
    ...(kubernetes ? kubectlDenied(kubernetes.change.length > 0) : ['kubectl']),
  ]
  return {
    permissions: {
      deny: [
        ...missing,
        // Without a shell there is nothing to say about what is typed there.
        ...(missing.includes('Bash') ? [] : commands.map((command) => `Bash(${command}:*)`)),
        ...(matrix ? [] : ['mcp__matrix']),
      ],
    },
  }
}

function kubectlDenied(mayChange: boolean): readonly string[] {
  const denied = changing.filter((verb) => !(mayChange && allowed.has(verb)))
  return [...denied, 'get secret', 'get secrets', 'describe secret', 'describe secrets'].map((words) => `kubectl ${words}`)
}
