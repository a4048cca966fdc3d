/** Agents led through the proxy without `init`: the component for GitOps, Flux's postRenderers, and the cluster's own admission. */
import { mkdir, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { describe, expect, it } from 'vitest'
import { trustVariables } from '#cli/env.ts'
import { parse } from 'yaml'
import { deploy, hasKustomize, manifestsOf, nameOf, only, renderKustomization, top } from './parts.ts'
import type { Manifest } from './schemas.ts'

const kustomize = join(deploy, 'kustomize')
const variables = Object.entries(trustVariables('/etc/iron-proxy/ca.crt', '/etc/iron-proxy/ca.crt')).map(([name, value]) => ({
  name,
  value,
}))
const mount = { name: 'iron-proxy-ca', mountPath: '/etc/iron-proxy', readOnly: true }

const pod = {
  metadata: { labels: { agent: 'coder' } },
  spec: {
    initContainers: [{ name: 'setup', image: 'agent' }],
    containers: [
      {
        name: 'agent',
        image: 'agent',
        env: [{ name: 'HOME', value: '/home/agent' }],
        volumeMounts: [{ name: 'home', mountPath: '/home/agent' }],
      },
      { name: 'sidecar', image: 'sidecar' },
    ],
    volumes: [{ name: 'home', emptyDir: {} }],
  },
}
const workloads = [
  {
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: { name: 'coder' },
    spec: { serviceName: 'coder', selector: { matchLabels: { agent: 'coder' } }, template: pod },
  },
  {
    apiVersion: 'batch/v1',
    kind: 'CronJob',
    metadata: { name: 'nightly' },
    spec: { schedule: '0 3 * * *', jobTemplate: { spec: { template: pod } } },
  },
]

async function render(files: (from: (part: string) => string) => Readonly<Record<string, object>>): Promise<readonly Manifest[]> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'kustomize-')))
  try {
    await mkdir(join(folder, 'ours'))
    const from = (part: string): string => relative(folder, join(kustomize, part))
    for (const [name, content] of Object.entries(files(from))) await writeFile(join(folder, name), JSON.stringify(content))
    return await renderKustomization(folder)
  } finally {
    await rm(folder, { recursive: true })
  }
}

const list = { apiVersion: 'v1', kind: 'List', items: workloads }
// oxlint-disable-next-line typescript/no-explicit-any -- a tree whose shape is what the tests are about
const specOf = ({ kind, spec }: Manifest): any => (kind === 'CronJob' ? spec.jobTemplate.spec.template.spec : spec.template.spec)

describe.skipIf(!hasKustomize)('the component agent (skipped without kustomize 5 or a kubectl that has it)', () => {
  it('leads every workload of a kustomization through the proxy, as init does', async () => {
    const rendered = await render((from) => ({
      'kustomization.yaml': {
        resources: ['crew.yaml'],
        components: [from('components/agent'), from('components/agent-init-containers')],
      },
      'crew.yaml': list,
    }))
    expect(rendered.map(({ kind }) => kind)).toEqual(['CronJob', 'StatefulSet'])
    for (const spec of rendered.map(specOf)) {
      expect(spec).toMatchObject({
        dnsPolicy: 'None',
        dnsConfig: {
          nameservers: ['10.43.0.53'],
          searches: ['agents.svc.cluster.local', 'svc.cluster.local', 'cluster.local'],
          options: [{ name: 'ndots', value: '2' }],
        },
        automountServiceAccountToken: false,
      })
      expect(spec.volumes).toEqual([
        { name: 'home', emptyDir: {} },
        { name: 'iron-proxy-ca', configMap: { name: 'iron-proxy-ca' } },
      ])
      for (const container of [...spec.initContainers, ...spec.containers]) {
        expect(container.env).toEqual(expect.arrayContaining(variables))
        expect(container.volumeMounts).toContainEqual(mount)
      }
      expect(spec.containers[0].env[0]).toEqual({ name: 'HOME', value: '/home/agent' })
    }
  })

  it('takes other addresses from a patch that comes before it', async () => {
    const metadata = { name: 'iron-proxy-agent-pod' }
    const spec = { nameservers: ['10.96.0.53'], searches: ['crew.svc.cluster.local'] }
    const patch = { apiVersion: 'iron-proxy/v1', kind: 'AgentPod', metadata, spec }
    const [rendered] = await render((from) => ({
      'kustomization.yaml': {
        resources: ['crew.yaml'],
        components: [from('components/agent-pod'), 'ours', from('components/agent-edits')],
      },
      'crew.yaml': { ...list, items: [workloads[0]] },
      'ours/kustomization.yaml': {
        apiVersion: 'kustomize.config.k8s.io/v1alpha1',
        kind: 'Component',
        patches: [{ patch: JSON.stringify(patch) }],
      },
    }))
    expect(specOf(rendered as Manifest).dnsConfig).toMatchObject(spec)
  })
})

describe('postRenderers of a HelmRelease', () => {
  it.skipIf(!hasKustomize)(
    'do to a chart of somebody else what init does to a manifest (skipped without kustomize 5)',
    async () => {
      const release = only(manifestsOf(await readFile(join(kustomize, 'flux', 'agents-helmrelease.yaml'), 'utf8')), 'HelmRelease')
      const [{ kustomize: inline }] = release['spec'].postRenderers
      const [rendered] = await render(() => ({
        'kustomization.yaml': { resources: ['crew.yaml'], patches: inline.patches },
        'crew.yaml': { ...list, items: [workloads[0]] },
      }))
      const spec = specOf(rendered as Manifest)
      expect(spec).toMatchObject({
        dnsPolicy: 'None',
        automountServiceAccountToken: false,
        dnsConfig: { nameservers: ['10.43.0.53'] },
      })
      expect(spec.containers[0].env).toEqual(expect.arrayContaining(variables))
      expect(spec.containers[0].volumeMounts).toContainEqual(mount)
      expect(spec.volumes).toHaveLength(2)
    },
  )
})

describe('the page for crews that move here', () => {
  const page = join(deploy, 'MOVING.md')

  it('has no more than eight steps, each with what one sees', async () => {
    const steps = [...(await readFile(page, 'utf8')).matchAll(/^\| (\d+) \| (.+) \| (.+) \|$/gm)]
    expect(steps.map(([, step]) => Number(step))).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
  })

  it.skipIf(!hasKustomize)('has a patch that fits the chart they come from (skipped without kustomize 5)', async () => {
    const block =
      [...(await readFile(page, 'utf8')).matchAll(/^```yaml\n([^]*?)^```$/gm)].map(([, text = '']) => text).at(-1) ?? ''
    const [{ kustomize: inline }] = (parse(block) as { spec: { postRenderers: [{ kustomize: { patches: object[] } }] } }).spec
      .postRenderers
    const crew = await readFile(join(top, 'test/fixtures/manifests/crew-to-move.yaml'), 'utf8')
    const items = manifestsOf(crew)
    const rendered = await render(() => ({
      'kustomization.yaml': { resources: ['crew.yaml'], patches: inline.patches },
      'crew.yaml': { ...list, items },
    }))
    const sets = rendered.filter(({ kind }) => kind === 'StatefulSet')
    expect(sets.map(nameOf)).toEqual(['StatefulSet/devbot', 'StatefulSet/pmbot'])
    for (const [index, set] of sets.entries()) {
      const spec = specOf(set)
      const before = specOf(items.filter(({ kind }) => kind === 'StatefulSet')[index] as Manifest)
      expect(spec.dnsConfig).toEqual({
        ...before.dnsConfig,
        nameservers: ['10.43.0.53'],
        options: [{ name: 'ndots', value: '2' }],
      })
      for (const [lists, at] of [...before.initContainers.keys()]
        .map((each: number) => ['initContainers', each])
        .concat([['containers', 0]]) as [string, number][]) {
        const container = spec[lists][at]
        expect(container.env).toEqual(expect.arrayContaining(variables))
        expect(container.env).toEqual(expect.arrayContaining(before[lists][at].env))
        expect(container.volumeMounts).toEqual(expect.arrayContaining([...before[lists][at].volumeMounts, mount]))
      }
      expect(spec.volumes.map(({ name }: { name: string }) => name).toSorted()).toEqual(['iron-proxy-ca', 'persona', 'shared'])
    }
  })
})

describe('a ClusterSecretStore', () => {
  it.each(['infisical', 'vault', 'aws'])('of %s is under the name that the ExternalSecrets use', async (name) => {
    const text = await readFile(join(kustomize, 'components/external-secrets/stores', `${name}.yaml`), 'utf8')
    const [store] = manifestsOf(text)
    expect([store?.kind, store?.apiVersion, store?.metadata.name]).toEqual([
      'ClusterSecretStore',
      'external-secrets.io/v1',
      'secret-manager',
    ])
    expect(Object.keys(store?.['spec'].provider as object)).toEqual([name])
  })
})

describe('the admission policy', () => {
  it('sets the variables that init sets, and names its address once', async () => {
    const text = await readFile(join(kustomize, 'components', 'admission', 'policy.yaml'), 'utf8')
    const policy = only(manifestsOf(text), 'MutatingAdmissionPolicy')
    const { expression } = policy['spec'].variables.find(({ name }: { name: string }) => name === 'trusted')
    expect(JSON.parse(expression)).toEqual(variables.map(({ name }) => name))
    expect(text.match(/'10\.43\.0\.53'/g)).toHaveLength(1)
  })
})
