/** Turns a pod of an agent into one whose every packet goes to the proxy. Comments and all else stay as they are. */
import { isMap, isScalar, isSeq, YAMLMap, YAMLSeq, type Scalar } from 'yaml'
import { trustVariables } from '../env.ts'
import { nodeOf, plain, textIn, valueOf } from './manifest.ts'
import { containersOf, mountPath, volume, type Workload } from './workload.ts'

export interface PodPlan {
  /** Of the proxy's Service. */
  readonly proxy: string
  readonly clusterDomain: string
  /** Of the agents, where the manifest names none. */
  readonly namespace: string | undefined
  /** ConfigMap with the bundle under `ca.crt`, or `secret/NAME`. */
  readonly bundle: string
  /** Leave the ServiceAccount token as it is. */
  readonly keepToken: boolean
}

const bundlePath = `${mountPath}/ca.crt`
/** With the usual 5 every name of the outside is first asked three times inside. */
const ndots = '2'

/** Patches the pod in place; done twice, it is as done once. */
export function lock({ spec, namespace }: Workload, plan: PodPlan): void {
  put(spec, 'dnsPolicy', plain('None'))
  lockDns(mapIn(spec, 'dnsConfig'), plan, namespace ?? plan.namespace)
  if (!plan.keepToken) put(spec, 'automountServiceAccountToken', plain('false'))
  putNamed(listIn(spec, 'volumes'), { name: volume, ...bundleSource(plan.bundle) })
  for (const container of containersOf(spec)) lockContainer(container)
}

/**
 * The proxy is the only resolver. The author's search domains and options stay. Where the namespace is not known, names
 * need it (`nats.agents`): a wrong domain would be worse than none.
 */
function lockDns(config: YAMLMap, { proxy, clusterDomain }: PodPlan, namespace: string | undefined): void {
  config.set(plain('nameservers'), nodeOf([proxy]))
  const wanted = [
    ...(namespace === undefined ? [] : [`${namespace}.svc.${clusterDomain}`]),
    `svc.${clusterDomain}`,
    clusterDomain,
  ]
  const searches = listIn(config, 'searches')
  const given = new Set(searches.items.map(valueOf))
  searches.items.unshift(...wanted.filter((each) => !given.has(each)).map(nodeOf))
  const options = listIn(config, 'options')
  if (indexOf(options, 'ndots') >= 0) return
  options.items.push(nodeOf({ name: 'ndots', value: ndots }))
}

/** Of a Secret one file alone: whatever else lies in it is none of an agent's business. */
function bundleSource(bundle: string): object {
  const [, secretName] = /^secret\/(.+)$/.exec(bundle) ?? []
  return secretName === undefined
    ? { configMap: { name: bundle } }
    : { secret: { secretName, items: [{ key: 'ca.crt', path: 'ca.crt' }] } }
}

function lockContainer(container: YAMLMap): void {
  putNamed(listIn(container, 'volumeMounts'), { name: volume, mountPath, readOnly: true })
  const env = listIn(container, 'env')
  for (const [name, value] of Object.entries(trustVariables(bundlePath, bundlePath))) putNamed(env, { name, value })
  const capabilities = mapIn(mapIn(container, 'securityContext'), 'capabilities')
  const drop = listIn(capabilities, 'drop')
  // Raw sockets forge source addresses, and an address is who one is.
  if (!drop.items.some((each) => ['ALL', 'NET_RAW'].includes(capability(each)))) drop.items.push(plain('NET_RAW'))
  const add = capabilities.get('add')
  const risky = new Set(['ALL', 'NET_RAW', 'NET_ADMIN', 'SYS_ADMIN'])
  if (isSeq(add)) add.items = add.items.filter((each) => !risky.has(capability(each)))
  if (isSeq(add) && add.items.length === 0) capabilities.delete('add')
}

/** The API takes CAP_NET_RAW and net_raw for NET_RAW, as the container runtimes do. */
function capability(node: unknown): string {
  return String(isScalar(node) ? node.value : '')
    .toUpperCase()
    .replace(/^CAP_/, '')
}

/** Sets a value where it is another one, and keeps the comment of the one before. */
function put(map: YAMLMap, key: string, value: Scalar): void {
  const before = map.get(key, true)
  if (!isScalar(before)) return map.set(plain(key), value)
  if (valueOf(before) === valueOf(value)) return
  before.value = value.value
  before.type = value.type ?? 'PLAIN'
}

/** The map at a key; one is made where there is none, or `null`. */
function mapIn(map: YAMLMap, key: string): YAMLMap {
  const found = map.get(key)
  if (isMap(found)) return found
  const made = new YAMLMap()
  map.set(plain(key), made)
  return made
}

function listIn(map: YAMLMap, key: string): YAMLSeq {
  const found = map.get(key)
  if (isSeq(found)) return found
  const made = new YAMLSeq()
  map.set(plain(key), made)
  return made
}

function indexOf(list: YAMLSeq, name: string): number {
  return list.items.findIndex((each) => isMap(each) && textIn(each, 'name') === name)
}

/** Makes the item of that name be so, or adds it; of several with one name Kubernetes takes the last, so they go. */
function putNamed(list: YAMLSeq, item: { readonly name: string } & Readonly<Record<string, unknown>>): void {
  const index = indexOf(list, item.name)
  const found = list.items[index]
  if (!isMap(found)) return void list.items.push(nodeOf(item))
  found.items = found.items.filter(({ key }) => isScalar(key) && Object.hasOwn(item, String(key.value)))
  for (const [key, value] of Object.entries(item)) {
    const node = nodeOf(value)
    if (isScalar(node)) put(found, key, node)
    else if (JSON.stringify(valueOf(found.get(key))) !== JSON.stringify(valueOf(node))) found.set(plain(key), node)
  }
  list.items = list.items.filter((each, i) => i <= index || !(isMap(each) && textIn(each, 'name') === item.name))
}
