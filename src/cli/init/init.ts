import { isMap } from 'yaml'
import { formatIssue } from '#config/issue.ts'
import { loadPolicies } from '#config/load.ts'
import { addressClass, parseAddress } from '#base/address.ts'
import { exit, line, UsageError } from '../command.ts'
import type { Command, ExitCode, Input, Terminal } from '../command.ts'
import { readNamed } from '../files.ts'
import { readSettings, settingHelp, settingOptions } from '../settings.ts'
import { upstreamPolicy, upstreamPorts } from './egress.ts'
import { hasAliases, writeOutAliases } from './aliases.ts'
import { manifestsIn, nodeOf, plain, printObjects, printStream, readStream, textIn, valueOf, type Manifest } from './manifest.ts'
import { egressPolicy, ingressPolicy, type Around, type NetworkPolicy } from './network-policy.ts'
import { lock } from './pod.ts'
import { obstaclesOf, workloadIn } from './workload.ts'

export const init: Command = {
  name: 'init',
  summary: 'print an agent’s Kubernetes manifest with everything led through the proxy',
  usage: '--workload FILE --proxy ADDRESS [options] | --egress [options]',
  options: {
    ...settingOptions,
    workload: { type: 'string', short: 'w' },
    proxy: { type: 'string' },
    namespace: { type: 'string' },
    'agents-namespace': { type: 'string' },
    bundle: { type: 'string' },
    'cluster-domain': { type: 'string' },
    also: { type: 'string' },
    ingress: { type: 'boolean' },
    egress: { type: 'boolean' },
    'service-account-token': { type: 'boolean' },
  },
  help: {
    ...settingHelp,
    workload: 'manifests with a StatefulSet, Deployment, DaemonSet, Job, CronJob or Pod, as YAML or JSON; `-` is standard input',
    proxy: 'the fixed address of the proxy’s Service',
    namespace: 'where the proxy is (default iron-proxy)',
    'agents-namespace': 'where the agents will be, if the manifest does not say (`kubectl apply -n`)',
    bundle: 'ConfigMap with the CA bundle under ca.crt (default iron-proxy-ca), or secret/NAME',
    'cluster-domain': 'default cluster.local',
    also: 'services inside that stay reachable directly, as namespace:port, separated by commas',
    ingress: 'the NetworkPolicy on the proxy’s side too, where its namespace is closed',
    egress: 'print the NetworkPolicy by which the proxy reaches its upstreams, with every port that its policy allows',
    'service-account-token': 'leave the ServiceAccount token as it is',
  },
  settings: ['config', 'policies', 'upstream-allow-private'],
  examples: [
    'iron-proxy init --workload agent.yaml --proxy 10.43.0.53 | kubectl apply -f -',
    'iron-proxy init -w agent.yaml --proxy 10.43.0.53 --also nats:4222,matrix:8008',
    'iron-proxy init --egress --policies policies/ | kubectl apply -f -',
  ],
  async run(input, terminal) {
    if (input.values['egress'] === true) return printEgress(input, terminal)
    const { values } = input
    const { stdin, stdout, stderr } = terminal
    const { workload: file, proxy, namespace = 'iron-proxy', bundle = 'iron-proxy-ca', also = '' } = values
    if (typeof file !== 'string') throw new UsageError('say which manifest with --workload FILE')
    const address = parseAddress(String(proxy ?? ''))
    if (!address || ['loopback', 'unspecified'].includes(addressClass(address)))
      throw new UsageError('say where agents reach the proxy with --proxy ADDRESS, the fixed address of its Service')
    const around: Around = {
      namespace: String(namespace),
      ports: { dns: 1053, http: 10_080, https: 10_443, proxy: 8080 },
      also: others(String(also)),
    }
    const agents = values['agents-namespace'] === undefined ? undefined : String(values['agents-namespace'])
    const stream = readStream(file === '-' ? await textOf(stdin) : String(await readNamed(file)))
    if (!('documents' in stream)) {
      for (const each of stream) line(stderr, `${file}:${each}`)
      return exit.findings
    }
    const unclear = stream.documents.flatMap((each) => (hasAliases(each) ? (writeOutAliases(each) ?? []) : []))
    const manifests = manifestsIn(stream)
    const workloads = manifests.flatMap((each) => workloadIn(each) ?? [])
    const homeless = workloads.filter((each) => each.namespace === undefined && agents === undefined)
    const obstacles = [
      ...unclear,
      ...workloads.flatMap(obstaclesOf),
      ...(workloads.length === 0 ? ['there is no workload in it'] : []),
      ...(values['ingress'] ? homeless : []).map(
        ({ kind, name }) => `${kind} ${name}: --ingress needs its namespace; write metadata.namespace, or say --agents-namespace`,
      ),
    ]
    for (const each of obstacles) line(stderr, `${file}: ${each}`)
    if (obstacles.length > 0) return exit.findings
    for (const { kind, name } of homeless)
      line(
        stderr,
        `${file}: ${kind} ${name}: no namespace, so services of its own are reached as NAME.NAMESPACE; write metadata.namespace, or say --agents-namespace`,
      )
    const plan = {
      proxy: address,
      bundle: String(bundle),
      clusterDomain: String(values['cluster-domain'] ?? 'cluster.local'),
      namespace: agents,
      keepToken: values['service-account-token'] === true,
    }
    for (const each of workloads) lock(each, plan)
    const policies = workloads.flatMap((each) => [
      egressPolicy(each, around),
      ...(values['ingress'] ? [ingressPolicy(each, around, each.namespace ?? agents ?? '')] : []),
    ])
    line(
      stdout,
      printStream(
        stream,
        policies.filter((each) => !isThere(each, manifests)),
      ),
    )
    return exit.ok
  },
}

async function printEgress(input: Input, terminal: Terminal): Promise<ExitCode> {
  const { values } = input
  if (values['workload'] !== undefined) throw new UsageError('--egress is of the proxy itself and takes no --workload')
  const given = Object.fromEntries(Object.entries(values).filter(([name]) => Object.hasOwn(settingOptions, name)))
  const { settings } = await readSettings({ ...input, values: given }, terminal)
  if (!settings) return exit.config
  const { snapshot, issues } = await loadPolicies(settings.policies)
  if (!snapshot) {
    for (const issue of issues) line(terminal.stderr, formatIssue(issue))
    return exit.config
  }
  const policy = upstreamPolicy(
    upstreamPorts(snapshot),
    settings.upstream.allowPrivate,
    String(values['namespace'] ?? 'iron-proxy'),
  )
  line(terminal.stdout, printObjects([policy]))
  return exit.ok
}

/** Whether a stream has this policy already; one that was made with other options is brought up to date. */
function isThere(policy: NetworkPolicy, manifests: readonly Manifest[]): boolean {
  const { name, namespace } = policy.metadata
  const found = manifests.find(({ kind, node }) => {
    const metadata = node.get('metadata')
    return (
      kind === 'NetworkPolicy' &&
      isMap(metadata) &&
      textIn(metadata, 'name') === name &&
      textIn(metadata, 'namespace') === namespace
    )
  })
  if (!found) return false
  const spec = nodeOf(policy.spec)
  if (JSON.stringify(valueOf(found.node.get('spec'))) !== JSON.stringify(valueOf(spec))) found.node.set(plain('spec'), spec)
  return true
}

async function textOf(stdin: AsyncIterable<unknown>): Promise<string> {
  const chunks: string[] = []
  for await (const chunk of stdin) chunks.push(String(chunk))
  return chunks.join('')
}

function others(text: string): Around['also'] {
  return text
    .split(',')
    .filter((each) => each !== '')
    .map((each) => {
      const [, namespace, port] = /^([a-z0-9-]+):(\d{1,5})$/.exec(each) ?? []
      if (namespace === undefined) throw new UsageError(`--also takes namespace:port, and ${JSON.stringify(each)} is none`)
      return { namespace, port: Number(port) }
    })
}
