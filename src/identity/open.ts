import type { Policy } from '#policy/types.ts'
import { ApiError, PodApi } from './api.ts'
import { Cluster } from './cluster.ts'
import type { ClusterOptions } from './cluster.ts'

export interface ClusterSettings {
  readonly kubernetes: boolean
  readonly kubernetesApi: { readonly server?: string | undefined; readonly token: string; readonly ca: string }
}

/**
 * The cluster we run in, or the one the settings name; `undefined`: settings say that there is none. Throws when there
 * should be one and nothing says where.
 */
export function openCluster(
  { kubernetes, kubernetesApi }: ClusterSettings,
  env: Readonly<Record<string, string | undefined>>,
  options: Omit<ClusterOptions, 'api'>,
): Cluster | undefined {
  if (!kubernetes) return undefined
  const { server = inCluster(env), token, ca } = kubernetesApi
  if (server === undefined)
    throw new ApiError(0, 'kubernetes: this is no pod (KUBERNETES_SERVICE_HOST is not set); name the API in kubernetesApi.server')
  return new Cluster({ ...options, api: new PodApi({ server: new URL(server), token, ca }) })
}

/** Watches what the policy names; without a cluster it says whom that leaves unknown. */
export function followPods(cluster: Cluster | undefined, policy: Policy, warn: (message: string) => void): void {
  if (cluster) return cluster.follow(policy)
  const agents = [...policy.agents.values()].flatMap(({ id, pods }) => (pods.length > 0 ? [id] : []))
  if (agents.length > 0) warn(`${agents.join(', ')}: speaks from pods, and \`kubernetes\` is off, so none of them is recognised`)
}

/** Variables that kubelet sets in every pod. */
function inCluster(env: Readonly<Record<string, string | undefined>>): string | undefined {
  const host = env['KUBERNETES_SERVICE_HOST']
  const port = env['KUBERNETES_SERVICE_PORT'] ?? '443'
  if (host === undefined || host === '') return undefined
  return `https://${host.includes(':') ? `[${host}]` : host}:${port}/`
}
