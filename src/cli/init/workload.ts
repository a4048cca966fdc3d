/** Turns a manifest of an agent into one whose every packet goes to the proxy. Comments and all else stay as they are. */
import { isMap, isSeq, type Document } from 'yaml'
import { trustVariables } from '../env.ts'

export interface PodPlan {
  /** Of the proxy's Service. */
  readonly proxy: string
  readonly clusterDomain: string
  /** ConfigMap with the bundle under `ca.crt`, or `secret/NAME`. */
  readonly bundle: string
  /** Leave the ServiceAccount token as it is. */
  readonly keepToken: boolean
}

/** A workload found in a file. */
export interface Workload {
  readonly document: Document
  readonly kind: string
  readonly name: string
  readonly namespace: string | undefined
  /** Of its pods. */
  readonly labels: Readonly<Record<string, string>>
  /** Where its pod stands in the document. */
  readonly pod: readonly string[]
}

type Path = readonly (string | number)[]

const podOf: Readonly<Record<string, readonly string[]>> = {
  Pod: [],
  Deployment: ['spec', 'template'],
  StatefulSet: ['spec', 'template'],
  DaemonSet: ['spec', 'template'],
  ReplicaSet: ['spec', 'template'],
  Job: ['spec', 'template'],
  CronJob: ['spec', 'jobTemplate', 'spec', 'template'],
}

/** Where the bundle is inside the containers. */
const mountPath = '/etc/iron-proxy'
const volume = 'iron-proxy-ca'
const bundlePath = `${mountPath}/ca.crt`

/** The workload in a document; `undefined`: it is another object. */
export function workloadIn(document: Document): Workload | undefined {
  const kind = textAt(document, ['kind'])
  const pod = podOf[kind ?? '']
  if (kind === undefined || !pod || !isMap(document.getIn([...pod, 'spec']))) return undefined
  const labels = valueAt(document, [...pod, 'metadata', 'labels'])
  return {
    document,
    kind,
    name: textAt(document, ['metadata', 'name']) ?? 'agent',
    namespace: textAt(document, ['metadata', 'namespace']),
    labels: (labels ?? {}) as Record<string, string>,
    pod,
  }
}

/** Why this workload cannot be locked, in words for its author. */
export function obstaclesOf({ document, pod, labels, kind, name }: Workload): readonly string[] {
  const spec = [...pod, 'spec']
  const of = `${kind} ${name}`
  return [
    ...(valueAt(document, [...spec, 'hostNetwork']) === true
      ? [`${of}: hostNetwork is on: its address is its node’s, so nobody can tell who speaks; remove it`]
      : []),
    ...(Object.keys(labels).length === 0
      ? [`${of}: its pods carry no label that a NetworkPolicy or the policy could name them by`]
      : []),
    ...containersOf(document, spec).flatMap((path) =>
      valueAt(document, [...path, 'securityContext', 'privileged']) === true
        ? [`${of}: container ${textAt(document, [...path, 'name']) ?? '?'} is privileged: it could undo all of this; remove it`]
        : [],
    ),
  ]
}

/** Patches the pod in place; done twice, it is as done once. */
export function lock({ document, pod, namespace = 'default' }: Workload, plan: PodPlan): void {
  const spec: Path = [...pod, 'spec']
  const { clusterDomain } = plan
  document.setIn([...spec, 'dnsPolicy'], 'None')
  document.setIn(
    [...spec, 'dnsConfig'],
    document.createNode({
      nameservers: [plan.proxy],
      searches: [`${namespace}.svc.${clusterDomain}`, `svc.${clusterDomain}`, clusterDomain],
      // With the usual 5 every name of the outside is first asked three times inside.
      options: [{ name: 'ndots', value: '2' }],
    }),
  )
  if (!plan.keepToken) document.setIn([...spec, 'automountServiceAccountToken'], false)
  putNamed(document, [...spec, 'volumes'], { name: volume, ...bundleSource(plan.bundle) })
  for (const container of containersOf(document, spec)) lockContainer(document, container)
}

/** Of a Secret one file alone: whatever else lies in it is none of an agent's business. */
function bundleSource(bundle: string): object {
  const [, secretName] = /^secret\/(.+)$/.exec(bundle) ?? []
  return secretName === undefined
    ? { configMap: { name: bundle } }
    : { secret: { secretName, items: [{ key: 'ca.crt', path: 'ca.crt' }] } }
}

function lockContainer(document: Document, container: Path): void {
  putNamed(document, [...container, 'volumeMounts'], { name: volume, mountPath, readOnly: true })
  for (const [name, value] of Object.entries(trustVariables(bundlePath, bundlePath)))
    putNamed(document, [...container, 'env'], { name, value })
  const drop: Path = [...container, 'securityContext', 'capabilities', 'drop']
  const dropped = (valueAt(document, drop) as readonly string[] | undefined) ?? []
  // Raw sockets forge source addresses, and an address is who one is.
  if (!dropped.some((each) => each === 'ALL' || each === 'NET_RAW'))
    document.setIn(drop, document.createNode([...dropped, 'NET_RAW']))
  const add: Path = [...container, 'securityContext', 'capabilities', 'add']
  const added = (valueAt(document, add) as readonly string[] | undefined) ?? []
  const risky = new Set(['ALL', 'NET_RAW', 'NET_ADMIN', 'SYS_ADMIN'])
  if (added.some((each) => risky.has(each))) document.setIn(add, document.createNode(added.filter((each) => !risky.has(each))))
}

function containersOf(document: Document, spec: Path): readonly Path[] {
  return ['initContainers', 'containers'].flatMap((list) => {
    const node = document.getIn([...spec, list])
    return isSeq(node) ? node.items.map((_, index) => [...spec, list, index]) : []
  })
}

/** Replaces the item of that name, or adds it. */
function putNamed(document: Document, path: Path, item: { readonly name: string } & Readonly<Record<string, unknown>>): void {
  const list = document.getIn(path)
  const items = isSeq(list) ? list.items : []
  const index = items.findIndex((each) => isMap(each) && each.get('name') === item.name)
  if (index >= 0) document.setIn([...path, index], document.createNode(item))
  else if (items.length > 0) document.addIn(path, document.createNode(item))
  else document.setIn(path, document.createNode([item]))
}

function textAt(document: Document, path: Path): string | undefined {
  const value = document.getIn(path)
  return typeof value === 'string' ? value : undefined
}

function valueAt(document: Document, path: Path): unknown {
  return path.reduce<unknown>(
    (value, key) => (typeof value === 'object' && value !== null ? (value as Record<string | number, unknown>)[key] : undefined),
    document.toJS(),
  )
}
