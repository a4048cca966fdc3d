import type { Workload } from './workload.ts'

export interface Around {
  /** Namespace of the proxy. */
  readonly namespace: string
  /** Ports its pods listen on: a NetworkPolicy sees packets after the Service has turned them (its target ports). */
  readonly ports: { readonly dns: number; readonly http: number; readonly https: number; readonly proxy: number }
  /** Services inside the cluster that agents may reach directly. */
  readonly also: readonly { readonly namespace: string; readonly port: number }[]
}

export interface NetworkPolicy {
  readonly apiVersion: 'networking.k8s.io/v1'
  readonly kind: 'NetworkPolicy'
  readonly metadata: { readonly name: string; readonly namespace?: string }
  readonly spec: object
}

/** The label by which every namespace can be named. */
const nameLabel = 'kubernetes.io/metadata.name'

/** Lets a workload reach the proxy, and what is named besides, and nothing else: no direct address, no QUIC, no other resolver. */
export function egressPolicy(
  { name, namespace, selector }: Workload,
  { namespace: proxies, ports, also }: Around,
): NetworkPolicy {
  const { dns, ...rest } = ports
  const tcp = [dns, ...Object.values(rest)].map((port) => ({ protocol: 'TCP', port }))
  const inside = also.map(({ namespace: other, port }) => ({
    to: [{ namespaceSelector: { matchLabels: { [nameLabel]: other } } }],
    ports: [{ protocol: 'TCP', port }],
  }))
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: `${name}-through-iron-proxy`, ...(namespace !== undefined && { namespace }) },
    spec: {
      podSelector: selector,
      policyTypes: ['Egress'],
      egress: [
        {
          to: [
            {
              namespaceSelector: { matchLabels: { [nameLabel]: proxies } },
              podSelector: { matchLabels: { 'app.kubernetes.io/name': 'iron-proxy' } },
            },
          ],
          ports: [{ protocol: 'UDP', port: dns }, ...tcp],
        },
        ...inside,
      ],
    },
  }
}

/** Lets the pods of a workload in at the proxy; it has effect only where the proxy's namespace is closed to others. */
export function ingressPolicy(
  { name, selector }: Workload,
  { namespace: proxies, ports }: Around,
  namespace: string,
): NetworkPolicy {
  const { dns, ...rest } = ports
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: `from-${namespace}-${name}`, namespace: proxies },
    spec: {
      podSelector: { matchLabels: { 'app.kubernetes.io/name': 'iron-proxy' } },
      policyTypes: ['Ingress'],
      ingress: [
        {
          from: [{ namespaceSelector: { matchLabels: { [nameLabel]: namespace } }, podSelector: selector }],
          ports: [{ protocol: 'UDP', port: dns }, ...[dns, ...Object.values(rest)].map((port) => ({ protocol: 'TCP', port }))],
        },
      ],
    },
  }
}
