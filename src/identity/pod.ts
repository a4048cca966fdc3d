/**
 * identity/ answers: which pod has this address? It lists and watches the pods of the namespaces that the policy names.
 * Neighbours: journey/ asks it through the port `Owners` and finds the agent by the policy's selectors, app.ts has the
 * doors close what a pod that is gone has left open.
 */
import { parseAddress } from '#base/address.ts'
import type { Address } from '#base/address.ts'
import type { Pod } from '#policy/pods.ts'

/** A pod that runs, with where it is. */
export interface Placed {
  readonly pod: Pod
  /** Empty until it has one, and for a pod on the network of its node: that address is not its own. */
  readonly addresses: readonly Address[]
  /** Of the node it runs on. */
  readonly node: readonly Address[]
}

/** What one object of the API says. `gone`: its containers have ended, so its address may be another's at any moment. */
export type PodReading = ({ readonly kind: 'placed' } & Placed) | { readonly kind: 'gone'; readonly uid: string }

/** Reads an object of `/api/v1/namespaces/…/pods` (core/v1 Pod). `undefined`: it is none, or one without a name of its own. */
export function readPod(object: unknown): PodReading | undefined {
  const metadata = at(object, 'metadata')
  const uid = text(at(metadata, 'uid'))
  const name = text(at(metadata, 'name'))
  const namespace = text(at(metadata, 'namespace'))
  if (!uid || !name || !namespace) return undefined
  if (hasEnded(object)) return { kind: 'gone', uid }
  const spec = at(object, 'spec')
  const status = at(object, 'status')
  const own = at(spec, 'hostNetwork') === true ? [] : addressesOf(status, 'podIP')
  return {
    kind: 'placed',
    pod: { uid, name, namespace, labels: textsOf(at(metadata, 'labels')), serviceAccount: text(at(spec, 'serviceAccountName')) },
    addresses: own,
    node: addressesOf(status, 'hostIP'),
  }
}

/** The version a watch goes on from (API concepts, "resource versions"): opaque, only ever handed back. */
export function versionOf(object: unknown): string | undefined {
  return text(at(at(object, 'metadata'), 'resourceVersion')) || undefined
}

/** The member of that name; `undefined` for whatever has none. */
export function at(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined
}

export function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

/** A pod that is being deleted may speak until its grace ends; once no container runs, its network is taken down. */
function hasEnded(object: unknown): boolean {
  const status = at(object, 'status')
  const phase = at(status, 'phase')
  if (phase === 'Succeeded' || phase === 'Failed') return true
  const containers = at(status, 'containerStatuses')
  return (
    text(at(at(object, 'metadata'), 'deletionTimestamp')) !== '' &&
    Array.isArray(containers) &&
    containers.length > 0 &&
    containers.every((each) => at(at(each, 'state'), 'terminated') !== undefined)
  )
}

/** `podIP` and `podIPs: [{ip}]`, where the second repeats the first: one for each family. */
function addressesOf(status: unknown, field: 'podIP' | 'hostIP'): readonly Address[] {
  const list = at(status, `${field}s`)
  const all = [at(status, field), ...(Array.isArray(list) ? list.map((each) => at(each, 'ip')) : [])]
  return [...new Set(all.flatMap((each) => parseAddress(text(each)) ?? []))]
}

function textsOf(value: unknown): Readonly<Record<string, string>> {
  if (typeof value !== 'object' || value === null) return {}
  return Object.fromEntries(Object.entries(value).flatMap(([name, each]) => (typeof each === 'string' ? [[name, each]] : [])))
}
