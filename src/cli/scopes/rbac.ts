import { resources } from './capabilities.ts'
import type { Capabilities, ClusterResource } from './capabilities.ts'

const reading = ['get', 'list', 'watch'] as const
/** Never `delete`: what an agent made and nobody wants is for people to take away. */
const changing = ['create', 'update', 'patch'] as const

/** A Kubernetes object as it is written. */
export type RbacManifest = Readonly<Record<string, unknown>>

/** A Role and its binding for each namespace, for the agent's service account; nothing where it has no part in the cluster. */
export function rbacOf({ agent, kubernetes }: Capabilities): readonly RbacManifest[] {
  if (!kubernetes) return []
  const { namespaces, read, change, serviceAccountNamespace } = kubernetes
  const rules = [...rulesFor([...new Set([...read, ...change])], reading), ...rulesFor(change, changing)]
  if (rules.length === 0) return []
  const name = `iron-proxy-scopes-${agent}`
  const apiVersion = 'rbac.authorization.k8s.io/v1'
  return namespaces.flatMap((namespace) => [
    { apiVersion, kind: 'Role', metadata: { name, namespace }, rules },
    {
      apiVersion,
      kind: 'RoleBinding',
      metadata: { name, namespace },
      subjects: [{ kind: 'ServiceAccount', name: agent, namespace: serviceAccountNamespace }],
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name },
    },
  ])
}

function rulesFor(wanted: readonly ClusterResource[], verbs: readonly string[]): readonly RbacManifest[] {
  return [...new Set(wanted.map((resource) => resources[resource]))].map((group) => ({
    apiGroups: [group],
    resources: wanted.filter((resource) => resources[resource] === group),
    verbs,
  }))
}
