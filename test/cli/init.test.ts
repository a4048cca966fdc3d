import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { trustVariables } from '#cli/env.ts'
import { dispatched, type Dispatched } from '../kit/dispatched.ts'

const agent = `# the crew
apiVersion: v1
kind: ServiceAccount
metadata: {name: coder}
---
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: coder
  namespace: agents # where agents live
spec:
  selector: {matchLabels: {agent: coder}}
  template:
    metadata: {labels: {agent: coder}}
    spec:
      dnsPolicy: ClusterFirst
      volumes: [{name: home, emptyDir: {}}]
      initContainers:
        - {name: setup, image: agent}
      containers:
        - name: agent # the one that thinks
          image: agent
          env:
            - {name: HOME, value: /home/agent}
            - {name: SSL_CERT_FILE, value: /old.crt}
          volumeMounts: [{name: home, mountPath: /home/agent}]
          securityContext: {capabilities: {drop: [SYS_CHROOT], add: [NET_RAW, CHOWN]}}
        - name: events
          image: events
          securityContext: {capabilities: {drop: [ALL]}}
`

let folder: string
beforeAll(async () => (folder = await mkdtemp(join(tmpdir(), 'init-'))))
afterAll(() => rm(folder, { recursive: true }))

async function init(text: string, ...args: readonly string[]): Promise<Dispatched> {
  const file = join(folder, 'agent.yaml')
  await writeFile(file, text)
  return dispatched(['init', '--workload', file, ...args])
}

interface Container {
  readonly name: string
  readonly env: readonly { readonly name: string; readonly value: string }[]
  readonly volumeMounts: readonly object[]
  readonly securityContext: { readonly capabilities: { readonly drop: readonly string[]; readonly add?: readonly string[] } }
}
interface Spec {
  readonly dnsPolicy: string
  readonly dnsConfig: object
  readonly automountServiceAccountToken: boolean
  readonly volumes: readonly object[]
  readonly initContainers: readonly Container[]
  readonly containers: readonly Container[]
}

const objects = (text: string): readonly Record<string, never>[] =>
  parseAllDocuments(text).map((each) => each.toJS() as Record<string, never>)
const specOf = (text: string): Spec =>
  (objects(text).find(({ kind }) => kind === 'StatefulSet') as unknown as { spec: { template: { spec: Spec } } }).spec.template
    .spec

describe('a workload', () => {
  const proxy = ['--proxy', '10.43.0.53'] as const

  it('has its DNS at the proxy, the bundle in every container, no raw sockets and no token', async () => {
    const { code, stdout } = await init(agent, ...proxy)
    expect(code).toBe(0)
    const spec = specOf(stdout)
    expect(spec).toMatchObject({
      dnsPolicy: 'None',
      dnsConfig: {
        nameservers: ['10.43.0.53'],
        searches: ['agents.svc.cluster.local', 'svc.cluster.local', 'cluster.local'],
        options: [{ name: 'ndots', value: '2' }],
      },
      automountServiceAccountToken: false,
      volumes: [
        { name: 'home', emptyDir: {} },
        { name: 'iron-proxy-ca', configMap: { name: 'iron-proxy-ca' } },
      ],
    })
    for (const { env, volumeMounts } of [...spec.initContainers, ...spec.containers]) {
      const set = Object.fromEntries(env.map(({ name, value }) => [name, value]))
      expect(set).toMatchObject(trustVariables('/etc/iron-proxy/ca.crt', '/etc/iron-proxy/ca.crt'))
      expect(env.filter(({ name }) => name === 'SSL_CERT_FILE')).toHaveLength(1)
      expect(volumeMounts).toContainEqual({ name: 'iron-proxy-ca', mountPath: '/etc/iron-proxy', readOnly: true })
    }
    const [main, events] = spec.containers
    expect(main?.env[0]).toEqual({ name: 'HOME', value: '/home/agent' })
    expect(main?.securityContext.capabilities).toEqual({ drop: ['SYS_CHROOT', 'NET_RAW'], add: ['CHOWN'] })
    expect(events?.securityContext.capabilities.drop).toEqual(['ALL'])
    expect(spec.initContainers[0]?.securityContext.capabilities.drop).toEqual(['NET_RAW'])
  })

  it('keeps its comments and what else is in the file, and is the same when it is done again', async () => {
    const { stdout } = await init(agent, ...proxy)
    for (const kept of ['# the crew', '# where agents live', '# the one that thinks', 'kind: ServiceAccount'])
      expect(stdout).toContain(kept)
    const alone = stdout.split('\n---\n').slice(0, 2).join('\n---\n')
    expect((await init(alone, ...proxy)).stdout).toBe(stdout)
  })

  it('may reach the proxy at the ports of its pods, what is named besides, and nothing else', async () => {
    const { stdout } = await init(agent, ...proxy, '--also', 'nats:4222', '--ingress')
    const [egress, ingress] = objects(stdout).slice(2)
    expect(egress).toEqual({
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { name: 'coder-through-iron-proxy', namespace: 'agents' },
      spec: {
        podSelector: { matchLabels: { agent: 'coder' } },
        policyTypes: ['Egress'],
        egress: [
          {
            to: [
              {
                namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'iron-proxy' } },
                podSelector: { matchLabels: { 'app.kubernetes.io/name': 'iron-proxy' } },
              },
            ],
            ports: [{ protocol: 'UDP', port: 1053 }, ...[1053, 10_080, 10_443, 8080].map((port) => ({ protocol: 'TCP', port }))],
          },
          {
            to: [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'nats' } } }],
            ports: [{ protocol: 'TCP', port: 4222 }],
          },
        ],
      },
    })
    expect(ingress).toMatchObject({ metadata: { namespace: 'iron-proxy' }, spec: { policyTypes: ['Ingress'] } })
  })

  it.each([
    ['Deployment', 'apps/v1', (pod: string) => `spec: {template: ${pod}}`],
    ['Job', 'batch/v1', (pod: string) => `spec: {template: ${pod}}`],
    ['CronJob', 'batch/v1', (pod: string) => `spec: {jobTemplate: {spec: {template: ${pod}}}}`],
    ['Pod', 'v1', (pod: string) => pod.slice(1, -1).replace('metadata: {', 'metadata: {name: one, ')],
  ])('may be a %s', async (kind, version, place) => {
    const pod = '{metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}'
    const body =
      kind === 'Pod'
        ? `{apiVersion: ${version}, kind: ${kind}, ${place(pod)}}`
        : `apiVersion: ${version}\nkind: ${kind}\nmetadata: {name: one}\n${place(pod)}`
    const { code, stdout } = await init(body, ...proxy)
    expect(code).toBe(0)
    expect(stdout).toMatch(/dnsPolicy: None/)
    expect(stdout).toMatch(/NODE_EXTRA_CA_CERTS/)
  })

  it('takes the bundle from a Secret where that is what there is, and nothing else of it', async () => {
    const { stdout } = await init(agent, ...proxy, '--bundle', 'secret/iron-proxy-ca')
    const volumes = specOf(stdout).volumes as readonly { readonly name: string }[]
    expect(volumes.filter(({ name }) => name === 'iron-proxy-ca')).toEqual([
      { name: 'iron-proxy-ca', secret: { secretName: 'iron-proxy-ca', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
    ])
    expect((await init(stdout.split('\n---\n')[0] ?? '', ...proxy)).stdout).not.toContain('secretName: iron-proxy-ca')
  })

  it('keeps its token where that is asked for, and comes from standard input', async () => {
    const { stdout } = await dispatched(['init', '-w', '-', ...proxy, '--service-account-token'], {
      stdin: Readable.from([agent]),
    })
    expect(specOf(stdout).automountServiceAccountToken).toBeUndefined()
  })

  it.each([
    [
      'on the network of its node',
      (text: string) => text.replace('dnsPolicy: ClusterFirst', 'hostNetwork: true'),
      /hostNetwork is on/,
    ],
    [
      'with a privileged container',
      (text: string) => text.replace('{drop: [ALL]}', '{drop: [ALL]}, privileged: true'),
      /container events is privileged/,
    ],
    ['without labels', (text: string) => text.replace('metadata: {labels: {agent: coder}}', 'metadata: {}'), /no label/],
    ['that is none', () => 'kind: ConfigMap\n', /no workload/],
    ['that is no YAML', () => 'a: [', /agent\.yaml/],
  ])('%s is refused, with the reason', async (_, spoil, reason) => {
    const { code, stdout, stderr } = await init(spoil(agent), ...proxy)
    expect([code, stdout]).toEqual([1, ''])
    expect(stderr).toMatch(reason)
  })
})

test.each([
  [['init'], 64, /--workload FILE/],
  [['init', '-w', 'x'], 64, /--proxy ADDRESS/],
  [['init', '-w', 'x', '--proxy', '127.0.0.1'], 64, /fixed address/],
  [['init', '-w', 'no-such-file', '--proxy', '10.43.0.53'], 66, /cannot be read/],
])('%j is answered with %i', async (argv, code, words) => {
  const done = await dispatched(argv)
  expect(done.code).toBe(code)
  expect(done.stderr).toMatch(words)
})

describe('--egress', () => {
  const policies = async (text: string): Promise<string> => {
    const directory = await mkdtemp(join(folder, 'policies-'))
    await writeFile(join(directory, 'crew.yaml'), text)
    return directory
  }

  it('lets the proxy out on every port that its policy allows, and to the private ranges of its settings', async () => {
    const directory = await policies(
      `version: 1\nagents: {a: {from: [{cidr: 10.0.0.1}]}}\nrules:\n  - {id: registry, hosts: [registry.test], ports: [443, 5000]}\n  - {id: no, effect: deny, hosts: [x.test], ports: [25]}\n`,
    )
    const { code, stdout, stderr } = await dispatched([
      'init',
      '--egress',
      '--policies',
      directory,
      '--upstream-allow-private',
      '10.1.2.3',
      '--namespace',
      'gate',
    ])
    expect([code, stderr]).toEqual([0, ''])
    const [policy] = objects(stdout) as unknown as readonly {
      metadata: object
      spec: { egress: readonly { to: readonly object[]; ports: readonly object[] }[] }
    }[]
    expect(policy?.metadata).toEqual({ name: 'iron-proxy-out-upstreams', namespace: 'gate' })
    expect(policy?.spec.egress[0]?.ports).toEqual([80, 443, 5000].map((port) => ({ protocol: 'TCP', port })))
    expect(policy?.spec.egress[0]?.to).toContainEqual({ ipBlock: { cidr: '10.1.2.3/32' } })
    expect(JSON.stringify(policy)).toContain('169.254.0.0/16')
  })

  it('says what is wrong with the policy, and takes no workload', async () => {
    const broken = await dispatched(['init', '--egress', '--policies', await policies('version: 1\nrules: 3\n')])
    expect([broken.code, broken.stdout]).toEqual([78, ''])
    expect(broken.stderr).toMatch(/crew\.yaml/)
    expect((await dispatched(['init', '--egress', '-w', 'x'])).code).toBe(64)
  })
})
