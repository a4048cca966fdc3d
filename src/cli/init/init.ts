import { LineCounter, parseAllDocuments, stringify, type Document } from 'yaml'
import { addressClass, parseAddress } from '#base/address.ts'
import { complaint, syntaxErrors } from '#config/document.ts'
import { exit, line, UsageError } from '../command.ts'
import type { Command } from '../command.ts'
import { readNamed } from '../files.ts'
import { egressPolicy, ingressPolicy, type Around } from './network-policy.ts'
import { lock, obstaclesOf, workloadIn } from './workload.ts'

export const init: Command = {
  name: 'init',
  summary: 'print an agent’s Kubernetes manifest with everything led through the proxy',
  usage: '--workload FILE --proxy ADDRESS [options]',
  options: {
    workload: { type: 'string', short: 'w' },
    proxy: { type: 'string' },
    namespace: { type: 'string' },
    bundle: { type: 'string' },
    'cluster-domain': { type: 'string' },
    also: { type: 'string' },
    ingress: { type: 'boolean' },
    'service-account-token': { type: 'boolean' },
  },
  help: {
    workload: 'manifest with a StatefulSet, Deployment, DaemonSet, Job, CronJob or Pod; `-` is standard input',
    proxy: 'the fixed address of the proxy’s Service',
    namespace: 'where the proxy is (default iron-proxy)',
    bundle: 'ConfigMap with the CA bundle under ca.crt (default iron-proxy-ca), or secret/NAME',
    'cluster-domain': 'default cluster.local',
    also: 'services inside that stay reachable directly, as namespace:port, separated by commas',
    ingress: 'the NetworkPolicy on the proxy’s side too, where its namespace is closed',
    'service-account-token': 'leave the ServiceAccount token as it is',
  },
  examples: [
    'iron-proxy init --workload agent.yaml --proxy 10.43.0.53 | kubectl apply -f -',
    'iron-proxy init -w agent.yaml --proxy 10.43.0.53 --also nats:4222,matrix:8008',
  ],
  async run({ values }, { stdin, stdout, stderr }) {
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
    const text = file === '-' ? await textOf(stdin) : String(await readNamed(file))
    const lines = new LineCounter()
    const documents: readonly Document[] = [...parseAllDocuments(text, { prettyErrors: false, lineCounter: lines })].filter(
      (each) => each.contents !== null,
    )
    const broken = documents.flatMap(syntaxErrors).map((error) => {
      const { line: row, col } = lines.linePos(error.pos[0])
      return `${file}:${row}:${col} ${complaint(error)}`
    })
    const workloads = broken.length > 0 ? [] : documents.flatMap((each) => workloadIn(each) ?? [])
    const obstacles = workloads.flatMap(obstaclesOf)
    if (broken.length === 0 && workloads.length === 0) obstacles.push('there is no workload in it')
    for (const each of broken) line(stderr, each)
    for (const each of obstacles) line(stderr, `${file}: ${each}`)
    if (broken.length + obstacles.length > 0) return exit.findings
    const plan = {
      proxy: address,
      bundle: String(bundle),
      clusterDomain: String(values['cluster-domain'] ?? 'cluster.local'),
      keepToken: values['service-account-token'] === true,
    }
    for (const each of workloads) lock(each, plan)
    const policies = workloads.flatMap((each) => [
      egressPolicy(each, around),
      ...(values['ingress'] ? [ingressPolicy(each, around)] : []),
    ])
    const printed = [
      ...documents.map((each) => each.toString({ lineWidth: 0, directives: false })),
      ...policies.map((each) => stringify(each)),
    ]
    line(stdout, printed.map((each) => each.trimEnd()).join('\n---\n'))
    return exit.ok
  },
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
