/** What `deploy/` and `init` write, judged by a real API server. */
import { randomBytes } from 'node:crypto'
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse, stringify } from 'yaml'
import { have, run } from '../kit/clients.ts'
import { startControlPlane, whyNoControlPlane, type ControlPlane } from '../kit/control-plane.ts'
import { dispatched } from '../kit/dispatched.ts'
import { within } from '../kit/within.ts'

const reason = whyNoControlPlane()
const top = join(import.meta.dirname, '../..')
const deploy = join(top, 'deploy')
const cleanUp = new AsyncDisposableStack()
let plane: ControlPlane
let folder: string

/** Kinds of operators that are not here, open to every field: the objects are judged by schemas elsewhere. */
const operators = [
  ['monitoring.coreos.com', 'v1', ['PodMonitor', 'PrometheusRule', 'ServiceMonitor']],
  ['operator.victoriametrics.com', 'v1beta1', ['VMPodScrape', 'VMRule']],
  ['external-secrets.io', 'v1', ['ExternalSecret', 'ClusterExternalSecret']],
  ['external-secrets.io', 'v1alpha1', ['PushSecret']],
  ['trust.cert-manager.io', 'v1alpha1', ['Bundle']],
] as const

function definitionsOf(): readonly object[] {
  return operators.flatMap(([group, version, kinds]) =>
    kinds.map((kind) => {
      const plural = `${kind.toLowerCase()}s`
      const schema = { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } }
      return {
        apiVersion: 'apiextensions.k8s.io/v1',
        kind: 'CustomResourceDefinition',
        metadata: { name: `${plural}.${group}` },
        spec: {
          group,
          scope: kind === 'Bundle' || kind.startsWith('Cluster') ? 'Cluster' : 'Namespaced',
          names: { plural, singular: kind.toLowerCase(), kind },
          versions: [{ name: version, served: true, storage: true, schema }],
        },
      }
    }),
  )
}

beforeAll(async () => {
  if (reason !== undefined) return
  folder = await mkdtemp(join(tmpdir(), 'kubernetes-'))
  cleanUp.defer(() => rm(folder, { recursive: true }))
  plane = cleanUp.use(await startControlPlane())
  const definitions = definitionsOf().map((each) => stringify(each))
  await succeeds(['apply', '-f', '-'], definitions.join('---\n'))
  for (const name of ['agents', 'research', 'iron-proxy']) await succeeds(['create', 'namespace', name])
}, 120_000)
afterAll(() => cleanUp.disposeAsync())

async function succeeds(args: readonly string[], input?: string, cwd?: string): Promise<string> {
  const done = await plane.kubectl(args, { ...(input !== undefined && { input }), ...(cwd !== undefined && { cwd }) })
  if (done.code !== 0) throw new Error(`kubectl ${args.join(' ')}: ${done.stderr}`)
  return done.stdout
}

async function init(text: string): Promise<string> {
  const { code, stdout, stderr } = await dispatched(['init', '-w', '-', '--proxy', '10.43.0.53'], {
    stdin: Readable.from([text]),
  })
  expect(code, stderr).toBe(0)
  return stdout
}

describe.skipIf(reason !== undefined)(`on a real API server${reason === undefined ? '' : ` (${reason})`}`, () => {
  const shapes = join(top, 'test/fixtures/manifests')

  test(
    'init makes what the API takes of 31 shapes of manifests, and the same when it is done again',
    { timeout: 300_000 },
    async () => {
      const names = await readdir(shapes)
      expect(names.length).toBeGreaterThanOrEqual(30)
      const wrong: string[] = []
      for (const name of names) {
        const once = await init(await readFile(join(shapes, name), 'utf8'))
        for (const text of [once, await init(once)]) {
          const done = await plane.kubectl(['apply', '--validate=strict', '--dry-run=server', '-f', '-'], { input: text })
          if (done.code !== 0) wrong.push(`${name}: ${done.stderr}`)
        }
      }
      expect(wrong).toEqual([])
    },
  )

  test.each([
    'overlays/single',
    'overlays/ha',
    'overlays/runs',
    'overlays/full',
    'single-to-ha',
    'agents',
    'agents/external-secrets',
  ])('the kustomization %s is applied, and applied again it changes nothing', { timeout: 120_000 }, async (path) => {
    const from = join(deploy, 'kustomize', path)
    await succeeds(['apply', '--server-side', '--force-conflicts', '-k', from])
    // What the API drops or writes otherwise is a difference for ever to who compares, as Flux and Argo do.
    const difference = await plane.kubectl(['diff', '--server-side', '--force-conflicts', '-k', from])
    expect(difference.stdout).toBe('')
    await succeeds(['delete', '--ignore-not-found', '--wait=false', '-k', from])
    for (const name of ['agents', 'iron-proxy']) await returns(name)
  })

  test(
    'the ways without init lead a crew through the proxy: the component, and the cluster’s own admission',
    { timeout: 120_000 },
    async () => {
      const ours = join(folder, 'crew')
      await mkdir(ours)
      await cp(join(deploy, 'kustomize', 'components'), join(ours, 'components'), { recursive: true })
      const crew = await readFile(join(shapes, 'statefulset-volumes.yaml'), 'utf8')
      await writeFile(join(ours, 'crew.yaml'), crew)
      await writeFile(
        join(ours, 'kustomization.yaml'),
        JSON.stringify({ resources: ['crew.yaml'], components: ['components/agent', 'components/agent-init-containers'] }),
      )
      await succeeds(['apply', '--dry-run=server', '-k', ours])
      await succeeds(['label', 'namespace', 'agents', 'iron-proxy/agents=true', '--overwrite'])
      await succeeds(['apply', '-f', join(deploy, 'kustomize/components/admission/policy.yaml')])
      const pod = {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'plain', namespace: 'agents' },
        spec: {
          initContainers: [{ name: 'i', image: 'i' }],
          containers: [
            { name: 'a', image: 'a' },
            { name: 'b', image: 'b', env: [{ name: 'SSL_CERT_FILE', value: 'old' }] },
          ],
        },
      }
      interface Led {
        readonly spec: {
          readonly dnsPolicy: string
          readonly dnsConfig: { readonly nameservers: readonly string[] }
          readonly volumes: readonly { readonly name: string }[]
          readonly initContainers: readonly {
            readonly env: readonly object[]
            readonly volumeMounts: readonly { readonly name: string }[]
          }[]
          readonly containers: readonly {
            readonly env: readonly object[]
            readonly volumeMounts: readonly { readonly name: string }[]
          }[]
        }
      }
      const dry = '/api/v1/namespaces/agents/pods?dryRun=All'
      const led = await settled(async () => {
        const made = (await plane.api('POST', dry, pod)) as unknown as Led
        return made.spec.dnsPolicy === 'None' ? made : undefined
      })
      expect(led?.spec.dnsConfig.nameservers).toEqual(['10.43.0.53'])
      expect(led?.spec.volumes.map(({ name }) => name)).toEqual(['iron-proxy-ca'])
      for (const { env, volumeMounts } of [...(led?.spec.initContainers ?? []), ...(led?.spec.containers ?? [])]) {
        expect(env).toContainEqual({ name: 'SSL_CERT_FILE', value: '/etc/iron-proxy/ca.crt' })
        expect(volumeMounts.map(({ name }) => name)).toEqual(['iron-proxy-ca'])
      }
      await succeeds(['delete', '-f', join(deploy, 'kustomize/components/admission/policy.yaml')])
    },
  )

  test.skipIf(!have('helm'))('every chart is applied (skipped without helm)', { timeout: 120_000 }, async () => {
    for (const [chart, values] of [
      ...['single', 'ha', 'bare', 'runs'].map((name) => [join(deploy, 'helm/iron-proxy'), `ci/${name}-values.yaml`] as const),
      [join(deploy, 'agent/helm'), 'ci/crew-values.yaml'] as const,
    ]) {
      const namespace = chart.includes('agent') ? 'agents' : 'iron-proxy'
      const rendered = await run('helm', [
        'template',
        'iron-proxy',
        chart,
        '--namespace',
        namespace,
        '--kube-version',
        '1.36.0',
        '-f',
        join(chart, values),
      ])
      expect(rendered.code, rendered.stderr).toBe(0)
      const args = namespace === 'agents' ? ['-n', 'agents'] : []
      await succeeds(['apply', '--server-side', '--force-conflicts', ...args, '-f', '-'], rendered.stdout)
      await succeeds(['delete', '--ignore-not-found', '--wait=false', ...args, '-f', '-'], rendered.stdout)
    }
    // Into a namespace that `kubectl -n` names, where the chart leaves the agents' own alone.
    const alone = await run('helm', [
      'template',
      'iron-proxy',
      join(deploy, 'helm/iron-proxy'),
      '--namespace',
      'iron-proxy',
      '--kube-version',
      '1.36.0',
      '-f',
      join(deploy, 'helm/iron-proxy/ci/single-values.yaml'),
      '--set',
      'podIdentity.manageNamespaces=false',
    ])
    await succeeds(['apply', '--dry-run=server', '-n', 'iron-proxy', '-f', '-'], alone.stdout)
  })

  test.skipIf(!have('helm'))(
    'helm asks for a namespace of agents that is not there, and keeps the wall when it leaves (skipped without helm)',
    { timeout: 120_000 },
    async () => {
      const helm = (...args: readonly string[]) => run('helm', args, { env: { KUBECONFIG: plane.kubeconfig } })
      const chart = join(deploy, 'helm/iron-proxy')
      const values = [
        '--namespace',
        'gate',
        '--set',
        'image.repository=registry.example.com/iron-proxy',
        '--set',
        'podIdentity.namespaces={crew}',
        '--set',
        'service.clusterIP=10.43.0.63',
        '--set',
        'priorityClass.name=gate',
      ]
      const refused = await helm('install', 'gate', chart, '--create-namespace', ...values)
      expect(refused.stderr).toContain('the cluster has no namespace crew; make it, or set podIdentity.createNamespaces')
      const installed = await helm(
        'install',
        'gate',
        chart,
        '--create-namespace',
        ...values,
        '--set',
        'podIdentity.createNamespaces=true',
      )
      expect(installed.code, installed.stderr).toBe(0)
      expect((await helm('uninstall', 'gate', '--namespace', 'gate')).code).toBe(0)
      expect(await succeeds(['-n', 'crew', 'get', 'networkpolicy', '-o', 'name'])).toContain('agents-to-iron-proxy')
    },
  )

  test('the table of the page is true, line by line', { timeout: 180_000 }, async () => {
    const page = await readFile(join(deploy, 'README.md'), 'utf8')
    const lines = [...page.matchAll(/^\| (\d+) \| `([^`]+)`[^|]*(?:\|[^|]*)?\|/gm)].map(
      ([, step, command = '']) => [Number(step), command.replaceAll('\\|', '|')] as const,
    )
    expect(lines.map(([step]) => step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9])
    const home = join(folder, 'operator')
    await mkdir(home)
    await symlink(deploy, join(home, 'deploy'))
    await writeFile(join(home, 'github-token'), randomBytes(8).toString('hex'))
    await cp(join(shapes, 'statefulset-volumes.yaml'), join(home, 'crew.yaml'))
    const program = join(home, 'iron-proxy')
    await writeFile(program, `#!/bin/sh\nexec '${process.execPath}' '${join(top, 'src/bin.js')}' "$@"\n`)
    await chmod(program, 0o755)
    const env = { KUBECONFIG: plane.kubeconfig, PATH: `${home}:${process.env['PATH'] ?? ''}` }
    for (const name of ['agents', 'iron-proxy'])
      await succeeds(['delete', 'namespace', name, '--wait=true', '--ignore-not-found'])
    // The last is done in a container, and no container runs here.
    for (const [step, command] of lines.slice(0, 8)) {
      const done = await run('sh', ['-c', command], { cwd: home, env })
      expect(done.code, `step ${step}: ${command}\n${done.stderr}`).toBe(0)
    }
    const policy = parse(await succeeds(['-n', 'agents', 'get', 'networkpolicy', 'coder-through-iron-proxy', '-o', 'yaml'])) as {
      spec: { podSelector: object }
    }
    expect(policy.spec.podSelector).toEqual({ matchLabels: { agent: 'coder' } })
    expect(await succeeds(['-n', 'iron-proxy', 'get', 'secrets', '-o', 'name'])).toContain('secret/iron-proxy-seal')
  })
})

/** A namespace that a kustomization has deleted, made again. */
async function returns(name: string): Promise<void> {
  await settled(async () => {
    const found = await plane.kubectl(['get', 'namespace', name, '-o', 'jsonpath={.status.phase}'])
    if (found.stdout === 'Active') return true
    if (found.code !== 0) await plane.kubectl(['create', 'namespace', name])
    return undefined
  })
}

/** What an attempt gives once it gives something; `undefined` after half a minute. */
async function settled<Result>(attempt: () => Promise<Result | undefined>): Promise<Result | undefined> {
  let result: Result | undefined
  await within(async () => (result = await attempt().catch(() => undefined)) !== undefined, 30_000)
  return result
}
