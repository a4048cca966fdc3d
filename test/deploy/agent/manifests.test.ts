import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseAllDocuments } from 'yaml'
import { describe, expect, it } from 'vitest'
import { have, run } from '../../kit/clients.ts'
import { canonical, goldens, hasKustomize, manifestsOf as checkedOf, renderKustomization } from '../parts.ts'
import { mistakesOf, schemaFolder } from '../schemas.ts'
import { scripts } from './rig.ts'

interface Volume {
  readonly name: string
  readonly secret?: { readonly secretName: string }
}
interface Container {
  readonly name: string
  readonly command?: readonly string[]
  readonly env?: readonly { readonly name: string; readonly value?: string }[]
  readonly securityContext: object
  readonly livenessProbe?: object
  readonly volumeMounts: readonly { readonly name: string }[]
}
interface Pod {
  readonly dnsPolicy: string
  readonly dnsConfig: { readonly nameservers: readonly string[] }
  readonly securityContext: object
  readonly automountServiceAccountToken: boolean
  readonly initContainers: readonly Container[]
  readonly containers: readonly Container[]
  readonly volumes: readonly Volume[]
}
interface Template {
  readonly template: { readonly metadata: { readonly labels: Readonly<Record<string, string>> }; readonly spec: Pod }
}
interface Manifest {
  readonly kind: string
  readonly metadata: { readonly name: string }
  readonly spec: Template & {
    readonly serviceName: string
    readonly clusterIP: string
    readonly jobTemplate: { readonly spec: Template }
  }
}

const manifestsOf = (text: string): readonly Manifest[] =>
  parseAllDocuments(text)
    .map((document) => document.toJS() as Manifest | null)
    .filter((manifest) => manifest !== null)

const templateOf = ({ kind, spec }: Manifest) => (kind === 'CronJob' ? spec.jobTemplate.spec : spec).template
const podOf = (manifest: Manifest): Pod => templateOf(manifest).spec
const workloads = (manifests: readonly Manifest[]) => manifests.filter(({ kind }) => /StatefulSet|Job/.test(kind))

/** What holds for every pod in which an agent runs, however it was made. */
function expectConfined(manifest: Manifest): void {
  const pod = podOf(manifest)
  const mayStartRuns = pod.volumes.some(({ name }) => name === 'token')
  expect([manifest.metadata.name, templateOf(manifest).metadata.labels['iron-proxy/admin']]).toEqual([
    manifest.metadata.name,
    mayStartRuns ? 'true' : undefined,
  ])
  expect(pod.volumes).toContainEqual({
    name: 'ca',
    configMap: { name: 'iron-proxy-ca', items: [{ key: 'ca.crt', path: 'ca.crt' }] },
  })
  expect(pod).toMatchObject({
    dnsPolicy: 'None',
    dnsConfig: { nameservers: ['10.43.0.53'] },
    securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
  })
  for (const container of [...pod.initContainers, ...pod.containers]) {
    expect(container.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    })
    // Whoever may ask the proxy for runs is no agent.
    const holdsToken = container.volumeMounts.some(({ name }) => name === 'token')
    expect([container.name, holdsToken]).toEqual([
      container.name,
      /run-hook\.sh watch|run-once\.sh hold/.test(container.command?.join(' ') ?? ''),
    ])
  }
}

// `go install helm.sh/helm/v3/cmd/helm@latest` makes one.
describe.skipIf(!have('helm'))('the chart of agents (skipped without helm)', () => {
  const template = (...more: readonly string[]) =>
    run('helm', ['template', 'crew', join(scripts, 'helm'), '--namespace', 'agents', '--kube-version', '1.34.0', ...more])
  const crew = async (...more: readonly string[]) => template('--values', join(scripts, 'helm/ci/crew-values.yaml'), ...more)

  it('passes helm’s own lint', async () => {
    const done = await run('helm', [
      'lint',
      '--strict',
      '--kube-version',
      '1.34.0',
      join(scripts, 'helm'),
      '--values',
      join(scripts, 'helm/ci/crew-values.yaml'),
    ])
    expect(done.stdout).toContain(' 0 chart(s) failed')
  })

  it('makes confined pods, each behind a name of its own', async () => {
    const manifests = manifestsOf((await crew()).stdout)
    const names = (kind: string) => manifests.filter((each) => each.kind === kind).map(({ metadata }) => metadata.name)
    const agents = ['example-infrabot', 'example-devbot', 'example-pmbot']
    expect([names('StatefulSet'), names('Service'), names('ServiceAccount')]).toEqual([agents, agents, agents])
    expect(manifests.filter(({ kind }) => kind === 'Service').map(({ spec }) => spec.clusterIP)).toEqual(['None', 'None', 'None'])
    for (const each of workloads(manifests)) expectConfined(each)
    const sets = manifests.filter(({ kind }) => kind === 'StatefulSet')
    expect(sets.map((set) => podOf(set).automountServiceAccountToken)).toEqual([true, false, false])
    for (const set of sets)
      expect(podOf(set).containers[0]?.livenessProbe).toMatchObject({
        exec: { command: [expect.stringContaining('heartbeat.sh')] },
      })
    const devbot = podOf(sets[1] ?? ({} as Manifest))
    expect(devbot.initContainers.map(({ name }) => name)).toEqual(['setup', 'runs'])
    expect(devbot.containers[0]?.env).toEqual(
      expect.arrayContaining([
        { name: 'PRIMARY_REPO', value: 'project' },
        { name: 'RUN_WATCHED', value: '1' },
      ]),
    )
  })

  it('has agents for one task, off by default, whose run a sidecar holds', async () => {
    const manifests = manifestsOf((await crew()).stdout)
    const jobs = manifests.filter(({ kind }) => /Job/.test(kind))
    expect(jobs.map(({ kind }) => kind).toSorted()).toEqual(['CronJob', 'Job'])
    for (const job of jobs) expect(podOf(job).initContainers.map(({ name }) => name)).toEqual(['setup', 'run'])
    const plain = manifestsOf((await template('--set', 'image.repository=x', '--set', 'agents[0].name=bot')).stdout)
    expect(plain.map(({ kind }) => kind).toSorted()).toEqual(['Service', 'ServiceAccount', 'StatefulSet'])
    expect(podOf(plain.find(({ kind }) => kind === 'StatefulSet') ?? ({} as Manifest)).volumes.map(({ name }) => name)).toEqual([
      'tmp',
      'ca',
    ])
  })

  it('renders to its golden', async () => {
    await expect(canonical(checkedOf((await crew()).stdout))).toMatchFileSnapshot(join(goldens, 'agent-helm.yaml'))
  })

  it.skipIf(!have('kubeconform'))('satisfies kubeconform (skipped without it)', async () => {
    const location = `${schemaFolder}/{{.ResourceKind}}{{.KindSuffix}}.json`
    const done = await run('kubeconform', ['-strict', '-schema-location', location, '-'], { input: (await crew()).stdout })
    expect([done.code, done.stdout]).toEqual([0, ''])
  })

  it('takes the bundle from a Secret where that is what a secret manager makes', async () => {
    const manifests = manifestsOf((await crew('--set', 'proxy.caSecret=from-manager')).stdout)
    for (const each of workloads(manifests))
      expect(podOf(each).volumes).toContainEqual({
        name: 'ca',
        secret: { secretName: 'from-manager', items: [{ key: 'ca.crt', path: 'ca.crt' }] },
      })
  })

  it.skipIf(!hasKustomize)('makes the same jobs as the kustomizations (skipped without kustomize)', async () => {
    const withoutPolicy = (manifest: Manifest): unknown =>
      JSON.parse(JSON.stringify(templateOf(manifest)), (key, value: unknown) => (key === 'imagePullPolicy' ? undefined : value))
    const made = manifestsOf((await crew()).stdout).filter(({ kind }) => /Job/.test(kind))
    for (const [kind, folder] of Object.entries({ Job: 'pr-reviewer', CronJob: 'stale-pull-requests' })) {
      const [other] = await kustomized(folder)
      expect(other?.kind).toBe(kind)
      const own = made.find((each) => each.kind === kind)
      expect(withoutPolicy(other as Manifest)).toEqual(withoutPolicy(own as Manifest))
    }
  })

  it.each([
    [
      'a name where the listener takes addresses',
      ['--set', 'proxy.adminUrl=http://iron-proxy-admin.iron-proxy.svc:9465'],
      /adminUrl/,
    ],
    ['no image', ['--set', 'image.repository='], /image/],
    ['runs without the token that they take', ['--set', 'proxy.adminTokenSecret='], /proxy\.adminTokenSecret/],
    ['a review of nothing', ['--set', 'jobs.prReviewer.pullRequest='], /which one\?/],
    ['a key that nobody knows', ['--set', 'agents[0].name=a,agents[0].colour=red'], /colour/],
  ])('refuses %s', async (_case, more, words) => {
    const done = await crew(...more)
    expect(done.code).not.toBe(0)
    expect(done.stderr).toMatch(words)
  })
})

const kustomizations = ['example-crew', 'pr-reviewer', 'stale-pull-requests'] as const

const kustomized = async (folder: string): Promise<readonly Manifest[]> =>
  (await renderKustomization(join(scripts, 'kustomize', folder))) as readonly unknown[] as readonly Manifest[]

describe.skipIf(!hasKustomize)('the kustomization of agents (skipped without kustomize 5 or a kubectl that has it)', () => {
  it('makes the same pods', async () => {
    const sets = workloads(await kustomized('example-crew'))
    expect(sets.map(({ spec }) => spec.serviceName)).toEqual([
      'example-devbot-agent',
      'example-infrabot-agent',
      'example-pmbot-agent',
    ])
    for (const set of sets) {
      expectConfined(set)
      expect(podOf(set).automountServiceAccountToken).toBe(false)
      expect(podOf(set).containers[0]?.livenessProbe).toBeDefined()
    }
  })

  it('has no agent for one task, which are kustomizations of their own', async () => {
    expect((await kustomized('example-crew')).filter(({ kind }) => /Job/.test(kind))).toEqual([])
    for (const folder of ['pr-reviewer', 'stale-pull-requests']) for (const each of await kustomized(folder)) expectConfined(each)
  })

  it.each(kustomizations)('renders to its golden: %s', async (folder) => {
    const rendered = await renderKustomization(join(scripts, 'kustomize', folder))
    await expect(canonical(rendered)).toMatchFileSnapshot(join(goldens, `agent-${folder}.yaml`))
  })
})

describe('what chart and kustomizations make', () => {
  it.each(['helm', ...kustomizations])('is only what a cluster would take: %s', (name) => {
    const made = checkedOf(readFileSync(join(goldens, `agent-${name}.yaml`), 'utf8'))
    expect(made.length).toBeGreaterThan(0)
    expect(made.flatMap(mistakesOf)).toEqual([])
  })
})

describe('the image of agents', () => {
  const image = readFileSync(join(scripts, 'Dockerfile'), 'utf8')

  it('is nobody’s root, pins what it installs, and trusts the proxy from the first process on', () => {
    expect(image).toMatch(/^USER 10001:10001$/m)
    expect(image).toMatch(/^ENV NODE_EXTRA_CA_CERTS=\/home\/agent\/\.agent\/ca-bundle\.crt/m)
    const installed = [...image.matchAll(/"([^"\s]+)@\$\{(\w+)\}"/g)].map(([, name, argument]) => [name, argument])
    expect(installed.length).toBe(4)
    for (const [, argument] of installed) expect(image).toContain(`ARG ${argument}=""\n`)
    expect(image).not.toMatch(/@latest|curl [^\n]*\|/)
  })

  it('holds every file that it copies', () => {
    const ignored = readFileSync(join(scripts, 'Dockerfile.dockerignore'), 'utf8')
    const copied = [...image.matchAll(/^COPY ((?!--from)[^\n]+) \S+$/gm)].flatMap(([, files = '']) => files.split(' '))
    expect(copied.length).toBeGreaterThan(5)
    for (const file of copied) expect(ignored).toContain(`!${file}\n`)
  })
})
