import { copyFile, cp, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parse } from 'yaml'
import { describe, expect, it } from 'vitest'
import { settingsSchema } from '#config/settings-schema.ts'
import { have, run } from '../kit/clients.ts'
import { canonical, deploy, goldens, manifestsOf, nameOf, only, outputOf, yamlOf } from './parts.ts'
import { mistakesOf, schemaFolder } from './schemas.ts'
import type { Manifest } from './schemas.ts'

// `go install helm.sh/helm/v3/cmd/helm@latest github.com/yannh/kubeconform/cmd/kubeconform@latest` makes both.
const hasHelm = have('helm')
const chart = join(deploy, 'helm', 'iron-proxy')
const cases = ['single', 'ha', 'bare', 'runs'] as const
const goldenOf = (name: string): readonly Manifest[] => manifestsOf(readFileSync(join(goldens, `helm-${name}.yaml`), 'utf8'))

function template(folder: string, name: string, more: readonly string[] = []): readonly string[] {
  const values = join(chart, 'ci', `${name}-values.yaml`)
  // A helm that was built by `go install` believes in Kubernetes 1.20.
  const cluster = ['--namespace', 'iron-proxy', '--kube-version', '1.34.0']
  return ['template', 'iron-proxy', folder, ...cluster, '--values', values, ...more]
}

const settingsOf = (name: string) =>
  settingsSchema.parse(parse(only(goldenOf(name), 'ConfigMap', 'iron-proxy-settings')['data']['iron-proxy.yaml']))

describe.each(cases)('the chart with the values of %s', (name) => {
  it.skipIf(!hasHelm)('renders to its golden (skipped without helm)', async () => {
    const rendered = manifestsOf(await outputOf('helm', template(chart, name)))
    await expect(canonical(rendered)).toMatchFileSnapshot(join(goldens, `helm-${name}.yaml`))
  })

  it.skipIf(!hasHelm)('passes helm’s own lint (skipped without helm)', async () => {
    const values = join(chart, 'ci', `${name}-values.yaml`)
    expect(await outputOf('helm', ['lint', '--strict', '--kube-version', '1.34.0', chart, '--values', values])).toContain(
      ' 0 chart(s) failed',
    )
  })

  it.skipIf(!hasHelm || !have('kubeconform'))('satisfies kubeconform (skipped without it)', async () => {
    const location = `${schemaFolder}/{{.ResourceKind}}{{.KindSuffix}}.json`
    const text = await outputOf('helm', template(chart, name))
    await outputOf('kubeconform', ['-strict', '-schema-location', location, '-'], text)
  })

  it('makes only what a cluster would take', () => {
    expect(goldenOf(name).flatMap(mistakesOf)).toEqual([])
  })

  it('makes settings that the process reads, and everything else follows their ports', () => {
    const { listen, shutdown } = settingsOf(name)
    const port = (door: keyof typeof listen) => {
      const place = listen[door]
      return place === 'off' || 'socket' in place ? 0 : place.port
    }
    const manifests = goldenOf(name)
    const workload = manifests.find(({ kind }) => kind === 'StatefulSet' || kind === 'Deployment')
    const pod = workload?.['spec'].template.spec
    expect(pod.containers[0].ports.map(({ containerPort }: { containerPort: number }) => containerPort)).toEqual([
      port('dns'),
      port('dns'),
      port('http'),
      port('https'),
      port('proxy'),
      port('metrics'),
      ...(name === 'runs' ? [port('admin')] : []),
    ])
    expect(pod.terminationGracePeriodSeconds).toBe(shutdown.lameDuck + shutdown.deadline + 25)
    const doors = [port('dns'), port('dns'), port('http'), port('https'), port('proxy')]
    const walls = manifests.filter(({ kind, metadata }) => kind === 'NetworkPolicy' && !metadata.name.endsWith('-admin'))
    for (const { spec } of walls) {
      const [rule] = spec.ingress ?? spec.egress
      expect(rule.ports.map((each: { port: number }) => each.port)).toEqual(doors)
    }
  })
})

describe('the chart', () => {
  it('names the namespace of each object, so that its output may go to kubectl as it is', () => {
    for (const name of cases) {
      const without = goldenOf(name).filter(({ kind, metadata }) => kind !== 'PriorityClass' && metadata.namespace === undefined)
      expect(without.map(nameOf)).toEqual([])
    }
  })

  it('keeps the wall of agents when it is uninstalled', () => {
    const wall = only(goldenOf('single'), 'NetworkPolicy', 'agents-to-iron-proxy')
    expect(wall.metadata.annotations).toMatchObject({ 'helm.sh/resource-policy': 'keep' })
  })

  it.skipIf(!hasHelm)(
    'makes the namespaces of agents where that is asked for, and leaves them alone where it is not (skipped without helm)',
    async () => {
      const made = async (...set: readonly string[]) =>
        manifestsOf(
          await outputOf(
            'helm',
            template(
              chart,
              'single',
              set.flatMap((each) => ['--set', each]),
            ),
          ),
        )
      const namespace = only(await made('podIdentity.createNamespaces=true'), 'Namespace', 'agents')
      expect(namespace.metadata).toMatchObject({
        labels: { 'iron-proxy/agents': 'true', 'pod-security.kubernetes.io/enforce': 'restricted' },
        annotations: { 'helm.sh/resource-policy': 'keep' },
      })
      const alone = await made('podIdentity.manageNamespaces=false')
      expect(new Set(alone.map(({ metadata }) => metadata.namespace))).toEqual(new Set(['iron-proxy', undefined]))
      const labelled = await made('monitoring.podMonitor=true', 'monitoring.prometheusRule=true', 'monitoring.labels.release=kps')
      for (const kind of ['PodMonitor', 'PrometheusRule'])
        expect(only(labelled, kind).metadata.labels).toMatchObject({ release: 'kps' })
    },
  )

  it('makes the same as the overlays', () => {
    const kinds = (manifests: readonly Manifest[]) =>
      manifests.filter(({ kind }) => !/NetworkPolicy|Namespace|Role/.test(kind)).map(nameOf)
    const overlay = manifestsOf(readFileSync(join(goldens, 'single.yaml'), 'utf8'))
    expect(kinds(goldenOf('single')).toSorted()).toEqual(
      kinds(overlay)
        .map((name) => name.replace(/(settings)-\w+$/, '$1'))
        .toSorted(),
    )
  })

  it('opens the admin listener to the same pods as the overlay, and only when it is told to', () => {
    const overlay = manifestsOf(readFileSync(join(goldens, 'runs.yaml'), 'utf8'))
    const rule = only(overlay, 'NetworkPolicy', 'iron-proxy-in-admin')['spec'].ingress[0]
    expect(only(goldenOf('runs'), 'NetworkPolicy', 'iron-proxy')['spec'].ingress).toContainEqual(rule)
    const { podSelector, egress } = only(goldenOf('runs'), 'NetworkPolicy', 'agents-to-iron-proxy-admin')['spec']
    expect([podSelector, egress[0].ports]).toEqual([rule.from[0].podSelector, rule.ports])
    const portsOf = (manifests: readonly Manifest[]) => only(manifests, 'Service', 'iron-proxy-admin')['spec'].ports as unknown
    expect(portsOf(goldenOf('runs'))).toEqual(portsOf(overlay))
    expect(settingsOf('runs')).toMatchObject({
      adminToken: '/etc/iron-proxy/admin/token',
      listen: { admin: { address: '0.0.0.0' } },
    })
    for (const name of ['single', 'ha', 'bare'])
      expect([settingsOf(name).listen.admin, settingsOf(name).adminToken]).toMatchObject([{ address: '127.0.0.1' }, undefined])
  })

  it('knows each of its values, and no other', () => {
    const compare = (values: unknown, schema: Schema, place: string): readonly string[] => {
      if (schema.additionalProperties !== false || typeof values !== 'object' || values === null) return []
      const known = Object.keys(schema.properties ?? {}).filter((key) => key !== 'global')
      const given = Object.keys(values)
      return [
        ...known.filter((key) => !given.includes(key)).map((key) => `${place}.${key} is not in values.yaml`),
        ...given.filter((key) => !known.includes(key)).map((key) => `${place}.${key} is not in values.schema.json`),
        ...Object.entries(values).flatMap(([key, value]) => compare(value, schema.properties?.[key] ?? {}, `${place}.${key}`)),
      ]
    }
    const schema = JSON.parse(readFileSync(join(chart, 'values.schema.json'), 'utf8')) as Schema
    expect(schema.additionalProperties).toBe(false)
    expect(compare(yamlOf('deploy/helm/iron-proxy/values.yaml'), schema, 'values')).toEqual([])
  })

  it('has the version of the product', () => {
    const { version } = JSON.parse(readFileSync(join(deploy, '..', 'package.json'), 'utf8')) as { version: string }
    expect(yamlOf('deploy/helm/iron-proxy/Chart.yaml')).toMatchObject({ version, appVersion: version })
  })
})

interface Schema {
  readonly additionalProperties?: unknown
  readonly properties?: Readonly<Record<string, Schema>>
}

describe.skipIf(!hasHelm)('contradictions (skipped without helm)', () => {
  const nobody = 'state.redis.url='
  it.each([
    ['a key that is not known', 'single', ['--set', 'replica=2'], "additional properties 'replica' not allowed"],
    ['no image', 'single', ['--set', 'image.repository='], 'image.repository: say where'],
    ['two writers of one embedded state', 'ha', ['--set', nobody], 'replicas: more than one needs state.redis.url'],
    ['one port twice', 'single', ['--set', 'listeners.http=10443'], 'listeners: two listeners have the same port'],
    ['a privileged port', 'single', ['--set', 'listeners.dns=53'], 'listeners/dns'],
    ['a setting that the chart sets', 'single', ['--set', 'settings.listen.dns=off'], 'settings.listen: the chart sets this'],
    ['two who scrape', 'ha', ['--set', 'monitoring.serviceMonitor=true'], 'would scrape everything twice'],
    ['one address twice', 'runs', ['--set', 'admin.clusterIP=10.43.0.53'], 'admin.clusterIP: is the address'],
    ['two admin tokens', 'runs', ['--set', 'settings.adminToken=x'], 'settings.adminToken: the chart sets this'],
    [
      'the password of no Redis',
      'single',
      ['--set', 'state.redis.existingSecret=x'],
      'state.redis.existingSecret: is the password',
    ],
    [
      'one Secret for two things',
      'single',
      ['--set', 'seal.existingSecret=iron-proxy-ca'],
      'existingSecret: ca, seal and credentials',
    ],
    ['a heap as large as the memory', 'single', ['--set', 'heapLimit=512'], 'heapLimit: 512 MiB do not fit'],
    ['the same in larger units', 'single', ['--set', 'resources.limits.memory=1Gi,heapLimit=1100'], 'heapLimit: 1100 MiB'],
    ['pods of no namespace', 'single', ['--set', 'podIdentity.namespaces=null'], 'podIdentity.namespaces'],
  ])('are refused: %s', async (_name, values, more, message) => {
    const done = await run('helm', template(chart, values, more))
    expect(done.code).not.toBe(0)
    expect(done.stderr).toContain(message)
  })
})

describe.skipIf(!hasHelm)('the notes (skipped without helm)', () => {
  it('say the address that agents need, and warn where nothing locks them in', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'chart-'))
    try {
      // Helm shows notes only to a cluster; as a template they are rendered all the same.
      await cp(chart, folder, { recursive: true })
      await copyFile(join(chart, 'templates', 'NOTES.txt'), join(folder, 'notes.txt'))
      const object = 'apiVersion: v1\nkind: Notes\nmetadata: {name: notes}\ntext: {{ tpl (.Files.Get "notes.txt") . | quote }}\n'
      await writeFile(join(folder, 'templates', 'notes.yaml'), object)
      const notesOf = async (name: string): Promise<string> =>
        only(manifestsOf(await outputOf('helm', template(folder, name))), 'Notes')['text'] as string
      const notes = await notesOf('single')
      expect(notes).toContain('nameservers: [10.43.0.53]')
      expect(notes).toContain('kubectl label namespace NAMESPACE iron-proxy/agents=true')
      expect(notes).not.toContain('go around')
      expect(await notesOf('bare')).toContain('nothing stops an agent from going around the proxy')
    } finally {
      await rm(folder, { recursive: true })
    }
  })
})
