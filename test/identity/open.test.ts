import { expect, it } from 'vitest'
import { followPods, openCluster } from '#identity/open.ts'
import { systemClock } from '#observe/system-clock.ts'
import { snapshotOf } from '../kit/policy.ts'

const options = { clock: systemClock, random: Math.random, say: () => {}, left: () => {} }
const settings = { kubernetes: true, kubernetesApi: { token: 'token', ca: 'ca.crt' } }

it('there is no cluster where the settings say so', () => {
  expect(openCluster({ ...settings, kubernetes: false }, { KUBERNETES_SERVICE_HOST: '10.0.0.1' }, options)).toBeUndefined()
})

it.each([
  ['as kubelet says', {}, { KUBERNETES_SERVICE_HOST: '10.43.0.1', KUBERNETES_SERVICE_PORT: '6443' }],
  ['as kubelet says, over IPv6', {}, { KUBERNETES_SERVICE_HOST: 'fd00::1' }],
  ['as the settings say', { server: 'https://api.test:6443' }, {}],
])('the API is %s', async (_, api, env) => {
  const cluster = openCluster({ ...settings, kubernetesApi: { ...settings.kubernetesApi, ...api } }, env, options)
  expect(cluster?.ready).toBe(false)
  await cluster?.close()
})

it('outside of a cluster somebody must say where it is', () => {
  expect(() => openCluster(settings, {}, options)).toThrow(/kubernetesApi\.server/)
})

it('agents of pods are named where no cluster is watched, and others are not', async () => {
  const said: string[] = []
  const { policy } = await snapshotOf('agents: {a: {from: [{pod: {namespace: x}}]}, b: {from: [{cidr: 10.0.0.1}]}}')
  followPods(undefined, policy, (message) => said.push(message))
  expect(said).toEqual(['a: speaks from pods, and `kubernetes` is off, so none of them is recognised'])
})
