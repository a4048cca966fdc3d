/** From one replica to two on a real API server, with controllers and a scheduler; the test does what a kubelet would. */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { run } from '../kit/clients.ts'
import { startControlPlane, whyNoControlPlane, type ControlPlane } from '../kit/control-plane.ts'
import { within } from '../kit/within.ts'

const reason = whyNoControlPlane()
const deploy = join(import.meta.dirname, '../../deploy')

interface Pod {
  readonly metadata: {
    readonly name: string
    readonly deletionTimestamp?: string
    readonly labels: Readonly<Record<string, string>>
  }
  readonly spec: { readonly nodeName?: string; readonly containers: readonly { readonly name: string }[] }
  readonly status: { readonly phase: string }
}

/** Starts what is scheduled, ends what is deleted, and has Jobs succeed; `seen` notes which pods ran at once. */
async function actAsKubelet(plane: ControlPlane, namespace: string, signal: AbortSignal, seen: Set<string>): Promise<void> {
  const at = `/api/v1/namespaces/${namespace}/pods`
  while (!signal.aborted) {
    const { items } = (await plane.api('GET', at)) as unknown as { readonly items: readonly Pod[] }
    seen.add(
      items
        .filter(({ status }) => status.phase === 'Running')
        .map(({ metadata }) => metadata.labels['app.kubernetes.io/name'] ?? '')
        .toSorted()
        .join(' '),
    )
    for (const { metadata, spec, status } of items) {
      const own = `${at}/${metadata.name}`
      if (metadata.deletionTimestamp !== undefined) await plane.api('DELETE', `${own}?gracePeriodSeconds=0`).catch(() => {})
      else if (spec.nodeName !== undefined && status.phase === 'Pending') {
        const isJob = metadata.labels['batch.kubernetes.io/job-name'] !== undefined
        const state = isJob
          ? { terminated: { exitCode: 0, reason: 'Completed' } }
          : { running: { startedAt: new Date().toISOString() } }
        const containerStatuses = spec.containers.map(({ name }) => ({
          name,
          image: 'i',
          imageID: 'i',
          ready: !isJob,
          started: true,
          restartCount: 0,
          state,
        }))
        const ready = isJob ? 'False' : 'True'
        const conditions = ['Ready', 'ContainersReady', 'Initialized'].map((type) => ({
          type,
          status: ready,
          lastTransitionTime: new Date().toISOString(),
        }))
        const now = {
          phase: isJob ? 'Succeeded' : 'Running',
          conditions,
          containerStatuses,
          podIP: '10.1.0.1',
          podIPs: [{ ip: '10.1.0.1' }],
        }
        await plane.api('PATCH', `${own}/status`, { status: now }, 'application/strategic-merge-patch+json').catch(() => {})
      }
    }
    await sleep(200)
  }
}

describe.skipIf(reason !== undefined)(`single to ha${reason === undefined ? '' : ` (${reason})`}`, () => {
  test('moves with one command, never with two proxies of different state at once', { timeout: 240_000 }, async () => {
    await using plane = await startControlPlane()
    const succeeds = async (args: readonly string[], input?: string): Promise<string> => {
      const done = await plane.kubectl(args, input === undefined ? {} : { input })
      if (done.code !== 0) throw new Error(`kubectl ${args.join(' ')}: ${done.stderr}`)
      return done.stdout
    }
    await plane.api('POST', '/api/v1/nodes', { metadata: { name: 'n1', labels: { 'kubernetes.io/hostname': 'n1' } } })
    // A new node is taken for not ready until a controller, which does not run here, says otherwise.
    await plane.api('PATCH', '/api/v1/nodes/n1', { spec: { taints: null } }, 'application/merge-patch+json')
    const room = { cpu: '8', memory: '16Gi', pods: '110' }
    await plane.api(
      'PATCH',
      '/api/v1/nodes/n1/status',
      { status: { capacity: room, allocatable: room, conditions: [{ type: 'Ready', status: 'True' }] } },
      'application/strategic-merge-patch+json',
    )
    for (const name of ['one', 'two'])
      await plane.api('POST', '/api/v1/persistentvolumes', {
        metadata: { name },
        spec: { capacity: { storage: '1Gi' }, accessModes: ['ReadWriteOncePod'], hostPath: { path: `/tmp/${name}` } },
      })
    await succeeds(['apply', '-k', join(deploy, 'kustomize/overlays/single')])
    for (const [name, key] of [
      ['iron-proxy-ca', 'ca.crt'],
      ['iron-proxy-seal', 'seal.key'],
      ['iron-proxy-redis', 'password'],
    ])
      await succeeds([
        '-n',
        'iron-proxy',
        'create',
        'secret',
        'generic',
        name ?? '',
        `--from-literal=${key}=${randomBytes(8).toString('hex')}`,
      ])
    const stop = new AbortController()
    const seen = new Set<string>()
    const kubelet = actAsKubelet(plane, 'iron-proxy', stop.signal, seen)
    try {
      const ready = async (): Promise<boolean> =>
        (await plane.kubectl(['-n', 'iron-proxy', 'get', 'statefulset', 'iron-proxy', '-o', 'jsonpath={.status.readyReplicas}']))
          .stdout === '1'
      expect(await within(ready, 60_000)).toBeDefined()
      const moved = await run('sh', [join(deploy, 'single-to-ha.sh')], {
        env: { KUBECONFIG: plane.kubeconfig },
        timeout: 150_000,
      })
      expect(moved.code, moved.stderr).toBe(0)
    } finally {
      stop.abort()
      await kubelet
    }
    const left = await succeeds(['-n', 'iron-proxy', 'get', 'deployments,statefulsets,jobs,persistentvolumeclaims', '-o', 'name'])
    expect(left.trim().split('\n').toSorted()).toEqual([
      'deployment.apps/iron-proxy',
      'persistentvolumeclaim/data-iron-proxy-redis-0',
      'persistentvolumeclaim/state-iron-proxy-0',
      'statefulset.apps/iron-proxy-redis',
    ])
    expect(
      await succeeds(['-n', 'iron-proxy', 'get', 'deployment', 'iron-proxy', '-o', 'jsonpath={.status.readyReplicas}']),
    ).toBe('2')
    // One, then none and the Redis, then two: the old one and a new one never ran together.
    expect([...seen].filter((each) => /^iron-proxy iron-proxy$/.test(each))).toEqual([])
    expect(seen).toContain('iron-proxy-redis')
  })
})
