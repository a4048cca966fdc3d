import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { settingsSchema } from '#config/settings-schema.ts'
import { run } from '../kit/clients.ts'
import { deploy, goldens, manifestsOf, only, yamlOf } from './parts.ts'

const golden = (name: string) => manifestsOf(readFileSync(join(goldens, `${name}.yaml`), 'utf8'))

describe('the Job that carries a state from single to ha', () => {
  const job = only(golden('single-to-ha'), 'Job', 'iron-proxy-single-to-ha')
  const { spec, metadata } = job['spec'].template
  const [copy] = spec.containers
  const env = (container: { env: readonly { name: string; value: string }[] }) =>
    Object.fromEntries(container.env.map(({ name, value }) => [name, value]))

  it('reads the file and volume of single, and writes where the pods of ha read', () => {
    const single = only(golden('single'), 'StatefulSet', 'iron-proxy')
    const settings = settingsSchema.parse(yamlOf('deploy', 'kustomize', 'base', 'settings', 'iron-proxy.yaml'))
    expect(copy.args).toEqual(['state', 'copy', '--from', settings.state])
    expect(spec.volumes).toContainEqual({ name: 'state', persistentVolumeClaim: { claimName: 'state-iron-proxy-0' } })
    expect(single['spec'].volumeClaimTemplates[0].metadata.name).toBe('state')
    const [proxy] = only(golden('ha'), 'Deployment', 'iron-proxy')['spec'].template.spec.containers
    for (const name of ['IRON_PROXY_STATE', 'IRON_PROXY_REDIS_PASSWORD']) expect(env(copy)[name]).toBe(env(proxy)[name])
    expect(env(copy)['IRON_PROXY_SEAL_KEY']).toBe(settings.sealKey)
    expect([copy.image, spec.securityContext]).toEqual([
      proxy.image,
      expect.objectContaining({ runAsNonRoot: true, fsGroup: 65532 }),
    ])
  })

  it('is no endpoint of the proxy, and Redis lets it in', () => {
    const label = metadata.labels['app.kubernetes.io/name']
    expect(label).not.toBe(only(golden('single'), 'Service', 'iron-proxy')['spec'].selector['app.kubernetes.io/name'])
    const policy = only(golden('single-to-ha'), 'NetworkPolicy', 'iron-proxy-redis-single-to-ha')
    expect(policy['spec'].ingress[0].from).toEqual([{ podSelector: { matchLabels: { 'app.kubernetes.io/name': label } } }])
  })
})

describe('single-to-ha.sh (over a kubectl that only notes what it is asked)', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'single-to-ha-'))
    const kubectl = `#!/bin/sh\necho "$*" >> "${folder}/asked"\ncase "$*" in *"$FAIL"*) exit 1;; esac\n`
    writeFileSync(join(folder, 'kubectl'), kubectl)
    chmodSync(join(folder, 'kubectl'), 0o755)
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  const move = async (fail = 'nothing', ...args: readonly string[]) => {
    const PATH = `${folder}:${process.env['PATH'] ?? ''}`
    const done = await run('sh', [join(deploy, 'single-to-ha.sh'), ...args], { env: { PATH, FAIL: fail } })
    const asked = readFileSync(join(folder, 'asked'), 'utf8')
      .trim()
      .split('\n')
      .map((text) => text.replace('--namespace iron-proxy ', '').replace(`${deploy}/`, ''))
    return { ...done, asked }
  }

  it('ends the old pod before it copies, copies before it starts the new ones, and never deletes the volume', async () => {
    const { code, asked } = await move()
    expect(code).toBe(0)
    expect(asked).toEqual([
      'get secret/iron-proxy-redis secret/iron-proxy-seal',
      'get persistentvolumeclaim/state-iron-proxy-0',
      'scale statefulset/iron-proxy --replicas=0',
      'wait --for=delete pod/iron-proxy-0 --timeout=400s',
      'delete job/iron-proxy-single-to-ha --ignore-not-found',
      'apply -k kustomize/single-to-ha',
      'wait --for=condition=complete job/iron-proxy-single-to-ha --timeout=330s',
      'logs job/iron-proxy-single-to-ha',
      'delete statefulset/iron-proxy',
      'apply -k kustomize/overlays/ha',
      'rollout status deployment/iron-proxy --timeout=300s',
      'delete job/iron-proxy-single-to-ha networkpolicy/iron-proxy-redis-single-to-ha',
    ])
  })

  it('runs what it is given in place of the overlay', async () => {
    const { asked } = await move('nothing', 'kubectl', 'apply', '-k', 'my/overlay')
    expect(asked).toContain('apply -k my/overlay')
    expect(asked).not.toContain('apply -k kustomize/overlays/ha')
  })

  it.each([
    ['get secret', 'changes nothing'],
    ['get persistentvolumeclaim', 'changes nothing'],
    ['wait --for=delete', 'says how to go back'],
    ['wait --for=condition=complete', 'says how to go back'],
  ])('where `%s` fails, starts no second proxy and %s', async (fail, what) => {
    const { code, asked, stderr } = await move(fail)
    expect(code).toBe(1)
    expect(asked.filter((each) => /overlays\/ha|delete statefulset/.test(each))).toEqual([])
    expect(stderr.includes('scale statefulset/iron-proxy --replicas=1')).toBe(what === 'says how to go back')
    if (what === 'changes nothing') expect(asked.every((each) => each.startsWith('get '))).toBe(true)
  })
})
