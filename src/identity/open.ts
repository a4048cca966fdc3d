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

/** Variables that kubelet sets in every pod. */
function inCluster(env: Readonly<Record<string, string | undefined>>): string | undefined {
  const host = env['KUBERNETES_SERVICE_HOST']
  const port = env['KUBERNETES_SERVICE_PORT'] ?? '443'
  if (host === undefined || host === '') return undefined
  return `https://${host.includes(':') ? `[${host}]` : host}:${port}/`
}
