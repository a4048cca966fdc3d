/** The proxy's own way out, as its policy needs it: an upstream on a port of its own must pass the NetworkPolicy too. */
import type { Cidr } from '#base/address.ts'
import type { Snapshot } from '#contracts/snapshot.ts'
import type { NetworkPolicy } from './network-policy.ts'

/** What is private, shared (RFC 6598), link-local or the metadata of a cloud: never an upstream, unless the settings allow it. */
const closed = {
  '0.0.0.0/0': ['10.0.0.0/8', '100.64.0.0/10', '169.254.0.0/16', '172.16.0.0/12', '192.168.0.0/16'],
  '::/0': ['64:ff9b::/96', 'fc00::/7', 'fe80::/10'],
} as const

/** Every port that a rule allows or a token endpoint has; 80 and 443 among them. */
export function upstreamPorts({ policy, credentials }: Pick<Snapshot, 'policy' | 'credentials'>): readonly number[] {
  const ofRules = policy.rules.filter(({ effect }) => effect === 'allow').flatMap(({ ports }) => [...(ports ?? [])])
  const ofCalls = [...credentials.values()].flatMap(({ lease }) => (lease ? [lease.endpoint.port] : []))
  return [...new Set([80, 443, ...ofRules, ...ofCalls])].toSorted((one, other) => one - other)
}

/** Lets the proxy reach its upstreams, and the private ranges that the settings allow. */
export function upstreamPolicy(ports: readonly number[], allowPrivate: readonly Cidr[], namespace: string): NetworkPolicy {
  const world = Object.entries(closed).map(([cidr, except]) => ({ ipBlock: { cidr, except: [...except] } }))
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: 'iron-proxy-out-upstreams', namespace },
    spec: {
      podSelector: { matchLabels: { 'app.kubernetes.io/name': 'iron-proxy' } },
      policyTypes: ['Egress'],
      egress: [
        {
          to: [
            ...world,
            ...allowPrivate.map(({ text }) => ({
              ipBlock: { cidr: text.includes('/') ? text : `${text}/${text.includes(':') ? 128 : 32}` },
            })),
          ],
          ports: ports.map((port) => ({ protocol: 'TCP', port })),
        },
      ],
    },
  }
}
