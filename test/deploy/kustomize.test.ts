import { mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { parse } from 'yaml'
import { describe, expect, it } from 'vitest'
import { isLocalHost } from '#admin/guard.ts'
import { loadPolicies } from '#config/load.ts'
import { loadSettings } from '#config/settings.ts'
import { settingsSchema } from '#config/settings-schema.ts'
import type { Settings } from '#config/settings-schema.ts'
import { canonical, deploy, goldens, hasKustomize, manifestsOf, nameOf, only, renderKustomization, yamlOf } from './parts.ts'
import { mistakesOf } from './schemas.ts'
import type { Manifest } from './schemas.ts'

const kustomizations = {
  single: 'overlays/single',
  ha: 'overlays/ha',
  full: 'overlays/full',
  runs: 'overlays/runs',
  'single-to-ha': 'single-to-ha',
  agents: 'agents',
  'agents-external-secrets': 'agents/external-secrets',
} as const

const goldenOf = (name: string): readonly Manifest[] => manifestsOf(readFileSync(join(goldens, `${name}.yaml`), 'utf8'))

function settingsOf(manifests: readonly Manifest[]): Settings {
  const map = manifests.find(({ kind, metadata }) => kind === 'ConfigMap' && metadata.name.startsWith('iron-proxy-settings'))
  return settingsSchema.parse(parse(map?.['data']['iron-proxy.yaml'] ?? ''))
}

describe.each(Object.entries(kustomizations))('the kustomization %s', (name, folder) => {
  it.skipIf(!hasKustomize)('renders to its golden (skipped without kustomize 5 or a kubectl that has it)', async () => {
    const rendered = await renderKustomization(join(deploy, 'kustomize', folder))
    await expect(canonical(rendered)).toMatchFileSnapshot(join(goldens, `${name}.yaml`))
  })

  it('holds only what a cluster would take', () => {
    const manifests = goldenOf(name)
    expect(manifests.length).toBeGreaterThan(0)
    expect(manifests.flatMap(mistakesOf)).toEqual([])
  })

  it('names no object twice', () => {
    const names = goldenOf(name).map(nameOf)
    expect(names.filter((each, i) => names.indexOf(each) !== i)).toEqual([])
  })
})

describe.each(['single', 'ha', 'full'])('the proxy of %s', (name) => {
  const manifests = goldenOf(name)
  const workload = only(manifests, name === 'single' ? 'StatefulSet' : 'Deployment', 'iron-proxy')
  const pod = workload['spec'].template.spec
  const [container] = pod.containers
  const ports = new Map<string, number>(
    container.ports.map(({ name: port, containerPort }: { name: string; containerPort: number }) => [port, containerPort]),
  )

  it('runs without any privilege, as the restricted profile asks', () => {
    expect(pod.securityContext).toMatchObject({
      runAsNonRoot: true,
      runAsUser: 65532,
      seccompProfile: { type: 'RuntimeDefault' },
    })
    expect(container.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    })
    expect(only(manifests, 'Namespace').metadata.labels).toMatchObject({ 'pod-security.kubernetes.io/enforce': 'restricted' })
    expect([...ports.values()].every((port) => port > 1023)).toBe(true)
  })

  it('listens where its Service, its probes and its NetworkPolicies say', () => {
    const { listen } = settingsOf(manifests)
    const listening = (door: keyof typeof listen) => {
      const place = listen[door]
      return place === 'off' || 'socket' in place ? undefined : place.port
    }
    expect(Object.fromEntries(ports)).toEqual({
      'dns-udp': listening('dns'),
      'dns-tcp': listening('dns'),
      http: listening('http'),
      https: listening('https'),
      proxy: listening('proxy'),
      metrics: listening('metrics'),
    })
    expect(listen.admin).toMatchObject({ address: '127.0.0.1' })
    const served = only(manifests, 'Service', 'iron-proxy')['spec'].ports as {
      port: number
      targetPort: string
      protocol: string
    }[]
    expect(served.map(({ port, targetPort, protocol }) => `${port}/${protocol} ${targetPort}`)).toEqual([
      '53/UDP dns-udp',
      '53/TCP dns-tcp',
      '80/TCP http',
      '443/TCP https',
      '8080/TCP proxy',
    ])
    const doors = [...ports].filter(([port]) => port !== 'metrics').map(([, port]) => port)
    const walls = [
      only(manifests, 'NetworkPolicy', 'iron-proxy-in')['spec'].ingress[0],
      only(goldenOf('agents'), 'NetworkPolicy', 'agents-to-iron-proxy')['spec'].egress[0],
    ]
    for (const wall of walls) expect(wall.ports.map(({ port }: { port: number }) => port)).toEqual(doors)
    for (const probe of ['startupProbe', 'readinessProbe', 'livenessProbe']) expect(container[probe].httpGet.port).toBe('metrics')
  })

  it('answers DNS with the address of its Service', () => {
    const address = only(manifests, 'Service', 'iron-proxy')['spec'].clusterIP as string
    expect(container.env).toContainEqual({ name: 'IRON_PROXY_ADVERTISE', value: address })
    // The static band of a /16: its first 256 addresses.
    expect(address).toMatch(/^10\.43\.0\.\d+$/)
  })

  it('has the time that its own shutdown takes', () => {
    const { shutdown } = settingsOf(manifests)
    expect(pod.terminationGracePeriodSeconds).toBeGreaterThan(shutdown.lameDuck + shutdown.deadline + 10)
  })

  it('reads its policy from a directory whose name never changes, so that an edit restarts nobody', () => {
    expect(manifests.map(nameOf)).toContain('ConfigMap/iron-proxy-policy')
    expect(container.volumeMounts.filter((mount: { subPath?: string }) => mount.subPath !== undefined)).toEqual([])
    expect(pod.volumes).toContainEqual({ name: 'policy', configMap: { name: 'iron-proxy-policy' } })
  })

  it('may read pods where agents live and nothing else, and only since it watches them', () => {
    expect(pod.automountServiceAccountToken).toBe(true)
    expect(container.env).toContainEqual({ name: 'IRON_PROXY_KUBERNETES', value: 'on' })
    expect(manifests.filter(({ kind }) => kind.includes('Role'))).toEqual([])
    expect(only(goldenOf('agents'), 'Role')['rules']).toEqual([
      { apiGroups: [''], resources: ['pods'], verbs: ['get', 'list', 'watch'] },
    ])
    expect(only(goldenOf('agents'), 'RoleBinding')['subjects']).toEqual([
      { kind: 'ServiceAccount', name: 'iron-proxy', namespace: 'iron-proxy' },
    ])
  })
})

describe('replicas', () => {
  it('are one with embedded state, and more with Redis alone', () => {
    const single = only(goldenOf('single'), 'StatefulSet', 'iron-proxy')['spec']
    expect(single.replicas).toBe(1)
    expect(single.volumeClaimTemplates[0].spec.accessModes).toEqual(['ReadWriteOncePod'])
    const ha = only(goldenOf('ha'), 'Deployment', 'iron-proxy')['spec']
    expect(ha.replicas).toBeGreaterThan(1)
    expect(ha.strategy.rollingUpdate).toEqual({ maxUnavailable: 0, maxSurge: 1 })
    const { env } = ha.template.spec.containers[0]
    expect(env).toContainEqual({ name: 'IRON_PROXY_STATE', value: 'redis://iron-proxy-redis:6379/0' })
    expect(env).toContainEqual({ name: 'IRON_PROXY_REPLICAS', value: String(ha.replicas) })
  })

  it('can be drained from their nodes', () => {
    expect(only(goldenOf('single'), 'PodDisruptionBudget')['spec']).toMatchObject({ maxUnavailable: 1 })
    expect(only(goldenOf('ha'), 'PodDisruptionBudget')['spec']).toMatchObject({ minAvailable: 1 })
    for (const name of ['single', 'ha'])
      expect(only(goldenOf(name), 'PodDisruptionBudget')['spec'].selector).toEqual({
        matchLabels: { 'app.kubernetes.io/name': 'iron-proxy' },
      })
  })
})

/** What an overlay of an operator renders to; `from` is a folder of ours as the overlay names it. */
async function renderOverlay(
  files: (from: (part: string) => string) => Readonly<Record<string, object>>,
): Promise<readonly Manifest[]> {
  const folder = mkdtempSync(join(tmpdir(), 'kustomize-'))
  const from = (part: string) => relative(realpathSync(folder), join(deploy, 'kustomize', part))
  for (const [name, content] of Object.entries(files(from))) {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), JSON.stringify(content))
  }
  try {
    return await renderKustomization(folder)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

describe('the component addresses', () => {
  it.skipIf(!hasKustomize)(
    'writes each address wherever it belongs (skipped without kustomize 5 or a kubectl that has it)',
    async () => {
      const range = { ipBlock: { cidr: '172.20.0.1/32' } }
      const spec = { proxy: '10.96.0.53', admin: '10.96.0.54', clusterDns: '10.96.0.10', apiServer: [range] }
      const patch = { apiVersion: 'iron-proxy/v1', kind: 'Addresses', metadata: { name: 'iron-proxy-addresses' }, spec }
      const moved = await renderOverlay((from) => ({
        'kustomization.yaml': {
          resources: [from('overlays/ha')],
          components: [from('components/admin'), 'ours', from('components/addresses')],
        },
        'ours/kustomization.yaml': {
          apiVersion: 'kustomize.config.k8s.io/v1alpha1',
          kind: 'Component',
          patches: [{ patch: JSON.stringify(patch) }],
        },
      }))
      expect(only(moved, 'Service', 'iron-proxy')['spec'].clusterIP).toBe(spec.proxy)
      expect(only(moved, 'Service', 'iron-proxy-admin')['spec'].clusterIP).toBe(spec.admin)
      const [container] = only(moved, 'Deployment', 'iron-proxy')['spec'].template.spec.containers
      expect(container.env).toContainEqual({ name: 'IRON_PROXY_ADVERTISE', value: spec.proxy })
      expect(only(moved, 'ConfigMap', 'iron-proxy-policy')['data']['cluster-dns.yaml']).toContain("to: ['10.96.0.10']}")
      expect(only(moved, 'NetworkPolicy', 'iron-proxy-out-apiserver')['spec'].egress[0].to).toEqual([range])
      expect(JSON.stringify(moved)).not.toContain('10.43.')
      expect(moved.filter(({ kind }) => kind === 'Addresses')).toEqual([])
    },
  )
})

describe('the component admin', () => {
  it.skipIf(!hasKustomize)('opens the door of replicas too (skipped without kustomize 5 or a kubectl that has it)', async () => {
    const rendered = await renderOverlay((from) => ({
      'kustomization.yaml': {
        resources: [from('overlays/ha')],
        components: [from('components/admin'), from('components/addresses')],
      },
    }))
    const { containers, volumes } = only(rendered, 'Deployment', 'iron-proxy')['spec'].template.spec
    expect(containers[0].ports).toContainEqual({ name: 'admin', containerPort: 9465, protocol: 'TCP' })
    expect(volumes.map(({ name }: { name: string }) => name)).toContain('admin')
  })
})

describe('agents', () => {
  const manifests = goldenOf('agents')

  it('stay in their own namespace, whatever the overlay of the proxy says', () => {
    expect(manifests.filter(({ kind }) => kind !== 'Namespace').map(({ metadata }) => metadata.namespace)).toEqual(
      Array.from({ length: manifests.length - 1 }, () => 'agents'),
    )
  })

  it('reach the proxy and nobody else: no address, no QUIC, no other DNS', () => {
    const { spec } = only(manifests, 'NetworkPolicy', 'agents-to-iron-proxy')
    expect(spec.podSelector).toEqual({})
    expect(spec.policyTypes).toEqual(['Egress', 'Ingress'])
    expect(spec.egress).toHaveLength(1)
    expect(JSON.stringify(spec.egress)).not.toContain('ipBlock')
  })

  it('are sent certificates and never a key', () => {
    const sent = [...goldenOf('agents-external-secrets'), ...goldenOf('full').filter(({ kind }) => kind === 'Bundle')]
    expect(sent.map(({ kind }) => kind).toSorted()).toEqual(['Bundle', 'ClusterExternalSecret'])
    expect(JSON.stringify(sent)).not.toMatch(/key["\w]*:\s*"?[^"]*(?:CA_KEY|ca\.key|tls\.key)/i)
    const published = only(goldenOf('full'), 'PushSecret')['spec'].data as { match: { secretKey: string } }[]
    expect(published.map(({ match }) => match.secretKey)).toEqual(['bundle'])
  })
})

describe('the admin listener', () => {
  it('is for its own machine, unless it is opened to those who start runs', () => {
    for (const name of ['single', 'ha', 'full']) expect(JSON.stringify(goldenOf(name))).not.toMatch(/LISTEN_ADMIN|"admin"/)
    const manifests = goldenOf('runs')
    const [container] = only(manifests, 'StatefulSet', 'iron-proxy')['spec'].template.spec.containers
    expect(container.env).toContainEqual({ name: 'IRON_PROXY_LISTEN_ADMIN', value: '0.0.0.0:9465' })
    expect(container.env).toContainEqual({ name: 'IRON_PROXY_ADMIN_TOKEN', value: '/etc/iron-proxy/admin/token' })
    expect(container.volumeMounts).toContainEqual({ name: 'admin', mountPath: '/etc/iron-proxy/admin', readOnly: true })
    expect(only(manifests, 'Service', 'iron-proxy-admin')['spec'].ports).toEqual([
      { name: 'admin', port: 9465, targetPort: 'admin', protocol: 'TCP' },
    ])
    // No other Service and no other policy leads there.
    const others = manifests.filter(
      ({ kind, metadata }) => /Service|NetworkPolicy/.test(kind) && !metadata.name.endsWith('-admin'),
    )
    expect(JSON.stringify(others)).not.toMatch(/9465|"admin"/)
  })

  it('lets in the pods that its label names, from namespaces of agents, and lets no others out to it', async () => {
    const [rule] = only(goldenOf('runs'), 'NetworkPolicy', 'iron-proxy-in-admin')['spec'].ingress
    const labelled = { matchLabels: { 'iron-proxy/admin': 'true' } }
    expect(rule).toEqual({
      from: [{ namespaceSelector: { matchLabels: { 'iron-proxy/agents': 'true' } }, podSelector: labelled }],
      ports: [{ protocol: 'TCP', port: 9465 }],
    })
    const more = manifestsOf(readFileSync(join(deploy, 'kustomize', 'agents', 'admin', 'networkpolicy.yaml'), 'utf8'))
    expect(more.flatMap(mistakesOf)).toEqual([])
    const { podSelector, policyTypes, egress } = only(more, 'NetworkPolicy')['spec']
    expect([podSelector, policyTypes]).toEqual([labelled, ['Egress']])
    expect(egress).toEqual([
      {
        to: only(goldenOf('agents'), 'NetworkPolicy', 'agents-to-iron-proxy')['spec'].egress[0].to,
        ports: [{ protocol: 'TCP', port: 9465 }],
      },
    ])
  })

  it('is asked by an address, which the listener takes, and not by a name, which it refuses', () => {
    const address = only(goldenOf('runs'), 'Service', 'iron-proxy-admin')['spec'].clusterIP as string
    expect(isLocalHost(`${address}:9465`)).toBe(true)
    expect(isLocalHost('iron-proxy-admin.iron-proxy.svc:9465')).toBe(false)
    const asked = [
      yamlOf('deploy/agent/helm/values.yaml') as { readonly proxy: { readonly adminUrl: string } },
      yamlOf('deploy/helm/iron-proxy/values.yaml') as { readonly admin: { readonly clusterIP: string } },
    ] as const
    expect([asked[0].proxy.adminUrl, asked[1].admin.clusterIP]).toEqual([`http://${address}:9465`, address])
  })
})

describe('what every object says of secrets', () => {
  it('is a name: no manifest holds a value', () => {
    const all = Object.keys(kustomizations).flatMap((name) => goldenOf(name))
    expect(all.filter(({ kind }) => kind === 'Secret')).toEqual([])
  })

  it('is safe from Flux, which replaces what looks like a variable', () => {
    const maps = goldenOf('full').filter(({ kind }) => kind === 'ConfigMap')
    const endangered = maps.filter(({ metadata, ...map }) => {
      const spared = metadata.annotations?.['kustomize.toolkit.fluxcd.io/substitute'] === 'disabled'
      return !spared && /\$\{|\$[a-z_]/i.test(JSON.stringify(map['data']))
    })
    expect(endangered.map(nameOf)).toEqual([])
  })
})

describe('the policy and the settings of the base', () => {
  it('load', async () => {
    const { issues, snapshot } = await loadPolicies(join(deploy, 'kustomize', 'base', 'policies'))
    expect(issues.filter(({ severity }) => severity === 'error')).toEqual([])
    expect(snapshot).toBeDefined()
    const file = join(deploy, 'kustomize', 'base', 'settings', 'iron-proxy.yaml')
    const loaded = await loadSettings({
      file,
      env: { IRON_PROXY_ADVERTISE: '10.43.0.53', IRON_PROXY_KUBERNETES: 'on' },
      flags: {},
    })
    expect(loaded.issues.filter(({ severity }) => severity === 'error')).toEqual([])
    expect(loaded.settings?.advertise).toBe('10.43.0.53')
  })
})

describe('the example for Flux', () => {
  it('is what Flux would take', () => {
    const manifests = manifestsOf(readFileSync(join(deploy, 'kustomize', 'flux', 'iron-proxy.yaml'), 'utf8'))
    expect(manifests.flatMap(mistakesOf)).toEqual([])
  })
})

describe('a component', () => {
  const used = Object.values(kustomizations).map((folder) =>
    readFileSync(join(deploy, 'kustomize', folder, 'kustomization.yaml'), 'utf8'),
  )
  // Those for agents' own kustomizations have tests of their own, in agent-component.test.ts.
  const ofOverlays = readdirSync(join(deploy, 'kustomize', 'components')).filter((each) => !/^(?:agent|admission)/.test(each))
  it.each(ofOverlays)('%s is in an overlay that is checked', (component) => {
    expect(used.some((text) => text.includes(`components/${component}\n`))).toBe(true)
  })

  it.skipIf(!hasKustomize)('of named services may be added to the agents', async () => {
    const rendered = await renderKustomization(join(deploy, 'kustomize', 'agents'))
    const more = readFileSync(join(deploy, 'kustomize', 'agents', 'named-services', 'networkpolicy.yaml'), 'utf8')
    expect([...rendered, ...manifestsOf(more)].flatMap(mistakesOf)).toEqual([])
  })
})

describe('the schemas', () => {
  it('find a key that is not known, a wrong type and a missing field', () => {
    const service = only(goldenOf('single'), 'Service', 'iron-proxy')
    const broken = { ...service, spec: { ...service['spec'], clusterIp: '10.0.0.1', ports: [{ port: '53', name: 'dns' }, {}] } }
    expect(mistakesOf(broken)).toEqual([
      'Service/iron-proxy.spec.ports[0].port: is not integer',
      'Service/iron-proxy.spec.ports[1].port: is missing',
      'Service/iron-proxy.spec.clusterIp: is not known',
    ])
  })
})
