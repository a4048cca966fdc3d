/** Which objects of a stream run agents, and why one of them cannot be led through the proxy. */
import { isMap, isSeq, type Document, type YAMLMap } from 'yaml'
import { textIn, valueOf, type Manifest } from './manifest.ts'

/** A workload found in a stream. */
export interface Workload {
  readonly document: Document
  readonly kind: string
  readonly name: string
  readonly namespace: string | undefined
  /** What a NetworkPolicy chooses its pods by: `matchLabels`, and `matchExpressions` where it has some. */
  readonly selector: Readonly<Record<string, unknown>>
  /** Its pods have labels. */
  readonly isLabelled: boolean
  /** Its `PodSpec`. */
  readonly spec: YAMLMap
}

const podOf: Readonly<Record<string, readonly string[]>> = {
  Pod: [],
  Deployment: ['spec', 'template'],
  StatefulSet: ['spec', 'template'],
  DaemonSet: ['spec', 'template'],
  ReplicaSet: ['spec', 'template'],
  ReplicationController: ['spec', 'template'],
  Job: ['spec', 'template'],
  CronJob: ['spec', 'jobTemplate', 'spec', 'template'],
}

/** Labels that change from one release or one pod to the next: a policy that chose by them would lose its pods. */
const volatile =
  /^(?:pod-template-hash|pod-template-generation|controller-revision-hash|controller-uid|job-name|batch\.kubernetes\.io\/.+|statefulset\.kubernetes\.io\/.+|apps\.kubernetes\.io\/pod-index|helm\.sh\/chart|chart|heritage|release|app\.kubernetes\.io\/(?:version|managed-by))$/

/** The workload that an object is; `undefined`: it is another object. */
export function workloadIn({ document, kind, node }: Manifest): Workload | undefined {
  const pod = podOf[kind]
  const spec = pod && node.getIn([...pod, 'spec'])
  if (!pod || !isMap(spec)) return undefined
  const metadata = node.get('metadata')
  return {
    document,
    kind,
    name:
      (isMap(metadata) ? (textIn(metadata, 'name') ?? textIn(metadata, 'generateName')?.replace(/-$/, '')) : undefined) ??
      'agent',
    namespace: isMap(metadata) ? textIn(metadata, 'namespace') : undefined,
    selector: selectorOf(kind, node, pod),
    isLabelled: isFilled(valueOf(node.getIn([...pod, 'metadata', 'labels']))),
    spec,
  }
}

/** The workload's own selector. A Job's and a Pod's is their labels, without those that change. */
function selectorOf(kind: string, node: YAMLMap, pod: readonly string[]): Workload['selector'] {
  const selector = valueOf(node.getIn(['spec', 'selector']))
  if (isFilled(selector) && kind === 'ReplicationController') return { matchLabels: selector }
  if (isFilled(selector) && kind !== 'Job' && kind !== 'Pod') return selector
  const labels = valueOf(node.getIn([...pod, 'metadata', 'labels']))
  if (!isFilled(labels)) return {}
  const all = Object.entries(labels)
  const lasting = all.filter(([name]) => !volatile.test(name))
  return { matchLabels: Object.fromEntries(lasting.length > 0 ? lasting : all) }
}

function isFilled(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && Object.keys(value).length > 0
}

/** Why this workload cannot be led through the proxy, in words for its author. */
export function obstaclesOf({ spec, isLabelled, kind, name }: Workload): readonly string[] {
  const of = `${kind} ${name}`
  return [
    ...(valueOf(spec.get('hostNetwork', true)) === true
      ? [`${of}: hostNetwork is on: its address is its node’s, so the proxy cannot tell which agent speaks; remove it`]
      : []),
    ...(!isLabelled ? [`${of}: its pods carry no label that a NetworkPolicy or the policy could name them by`] : []),
    ...containersOf(spec).flatMap((container) => {
      const called = textIn(container, 'name') ?? '?'
      const mounts = container.get('volumeMounts')
      const taken = isSeq(mounts)
        ? mounts.items.some(
            (each) =>
              isMap(each) && textIn(each, 'mountPath')?.replace(/\/$/, '') === mountPath && textIn(each, 'name') !== volume,
          )
        : false
      return [
        ...(valueOf(container.getIn(['securityContext', 'privileged'], true)) === true
          ? [`${of}: container ${called} is privileged: it could undo all of this; remove it`]
          : []),
        ...(taken
          ? [`${of}: container ${called} mounts a volume of its own at ${mountPath}, where the bundle goes; mount it elsewhere`]
          : []),
      ]
    }),
  ]
}

/** Where the bundle is inside the containers, and the volume that has it. */
export const mountPath = '/etc/iron-proxy'
export const volume = 'iron-proxy-ca'

/** Every container of a pod. */
export function containersOf(spec: YAMLMap): readonly YAMLMap[] {
  return ['initContainers', 'containers'].flatMap((list) => {
    const node = spec.get(list)
    return isSeq(node) ? node.items.filter((each) => isMap(each)) : []
  })
}
